import importlib
import os
import pathlib
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from history_space import get_space

from experiments.bench.postgres import find_postgres, running_postgres
from xfernas_jax.history.storage import Storage


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Starts a server of our own on loopback; yields its URL without a database name."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (make setup EXTRAS=postgres)")
    if find_postgres() is None:
        pytest.skip("no PostgreSQL server programs (initdb) on this machine")
    with running_postgres() as server:
        yield server.url


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """A new, empty database of the server."""
    psycopg = importlib.import_module("psycopg")
    name = f"test_{secrets.token_hex(6)}"
    admin = postgres_server.replace("+psycopg", "") + "/postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{postgres_server}/{name}"


@pytest.fixture(params=["sqlite", "postgres"])
def storage_url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """A new, empty database of each kind."""
    if request.param == "postgres":
        return request.getfixturevalue("postgres_url")
    return f"sqlite:///{tmp_path / 'new' / 'history.db'}"


@pytest.fixture
def open_storage(storage_url: str) -> Iterator[Callable[[], Storage]]:
    """Opens the test's database as often as asked, and closes all of it at the end."""
    opened: list[Storage] = []

    def open_one() -> Storage:
        opened.append(Storage(storage_url, get_space=get_space))
        return opened[-1]

    yield open_one
    for storage in opened:
        storage.close()


@pytest.fixture
def start_child(storage_url: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `history_child.py` on the test's database; kills what is left at the end."""
    script = pathlib.Path(__file__).with_name("history_child.py")
    root = script.parents[2]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    children: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        children.append(
            subprocess.Popen(
                [sys.executable, str(script), storage_url, *arguments],
                env={**os.environ, "PYTHONPATH": path},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.communicate()
