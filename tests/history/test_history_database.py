"""Storages that cannot be used: one line, nothing half-made."""

import contextlib
import os
import pathlib
import pwd
import sqlite3
import sys
import tempfile

import pytest
from history_space import get_space, make_evaluation, make_spec

from xfernas_jax.errors import MissingExtraError, StorageError
from xfernas_jax.history import database
from xfernas_jax.history.database import default_storage_url, parse_url
from xfernas_jax.history.storage import Storage, append_all


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("runs/history.db", "is not a URL; write sqlite:///FILE"),
        ("", "is not a URL"),
        ("mysql://host/db", "scheme 'mysql' is not known"),
        ("sqlite://runs/history.db", "sqlite:/// and a path"),
        ("sqlite:///a.db?mode=ro", "no options"),
        ("sqlite://", "would forget everything"),
        ("sqlite:///:memory:", "would forget everything"),
        ("postgresql+asyncpg://a:secret@host:port/db", "is not a URL"),
    ],
)
def test_wrong_urls_are_refused_with_the_right_form(url, rule):
    with pytest.raises(StorageError, match=rule) as caught:
        Storage(url)
    assert "\n" not in str(caught.value)


def test_folder_is_refused(tmp_path):
    with pytest.raises(StorageError, match="is a folder; name a file in it"):
        Storage(f"sqlite:///{tmp_path}")


def test_file_of_another_kind_is_refused_and_kept(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_bytes(b"these are notes, not a database\n" * 100)
    before = file.read_bytes()
    with pytest.raises(StorageError, match=r"file is not a database.*name another file"):
        Storage(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_database_of_another_program_is_refused_and_kept(tmp_path):
    file = tmp_path / "mail.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE letters (text TEXT)")
    connection.close()
    with pytest.raises(StorageError, match=r"another program \(tables letters\)"):
        Storage(f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("letters",)]
    connection.close()


def test_damaged_database_is_refused(tmp_path):
    file = tmp_path / "history.db"
    with Storage(f"sqlite:///{file}", get_space=get_space) as storage:
        append_all(storage, make_spec(), [make_evaluation(index) for index in range(5)])
    data = bytearray(file.read_bytes())
    data[200:] = b"\xff" * (len(data) - 200)
    file.write_bytes(data)
    with pytest.raises(StorageError, match=r"history\.db") as caught:
        Storage(f"sqlite:///{file}")
    assert "\n" not in str(caught.value)


def test_parent_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot be made"):
        Storage(f"sqlite:///{tmp_path / 'file' / 'history.db'}")


def test_missing_file_is_refused_where_none_may_be_created(tmp_path):
    file = tmp_path / "none" / "history.db"
    with pytest.raises(StorageError, match="does not exist; check the path"):
        Storage(f"sqlite:///{file}", create=False)
    assert not file.parent.exists()


@contextlib.contextmanager
def ordinary_user():
    """Root may read and write everything: where the tests run as root, drops that right."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("mode", "rule"), [(0o000, "unable to open"), (0o444, "readonly")])
def test_file_without_permission_is_refused(mode, rule):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        file = folder / "history.db"
        with Storage(f"sqlite:///{file}", get_space=get_space) as storage:
            storage.create_or_open(make_spec())
        file.chmod(mode)
        folder.chmod(0o555)
        try:
            with ordinary_user(), pytest.raises(StorageError, match=rule) as caught:
                Storage(f"sqlite:///{file}")
        finally:
            folder.chmod(0o755)
        assert str(caught.value).startswith(f"Storage sqlite:///{file}: ")
        assert "\n" not in str(caught.value)


def test_relative_path_keeps_its_meaning_when_the_folder_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Storage("sqlite:///runs/history.db", get_space=get_space) as storage:
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        append_all(storage, make_spec(), [make_evaluation(0)])
    with Storage(default_storage_url(tmp_path / "runs"), get_space=get_space) as storage:
        assert len(storage.evaluations("study")) == 1


@pytest.mark.parametrize("name", ["with space.db", "{curly}.db", "50%.db", "größe#1.db"])
def test_unusual_file_names_are_taken_as_they_are(tmp_path, name):
    with Storage(f"sqlite:///{tmp_path / name}", get_space=get_space) as storage:
        storage.create_or_open(make_spec())
    assert (tmp_path / name).is_file()


def test_sqlite_writes_ahead_and_flushes_every_commit(tmp_path):
    with Storage(f"sqlite:///{tmp_path / 'history.db'}") as storage:
        with storage._database.engine.connect() as connection:
            journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
            flushes = connection.exec_driver_sql("PRAGMA synchronous").scalar()
        assert (journal, flushes) == ("wal", 2)  # 2 is FULL


def test_locked_database_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_SECONDS", 0.1)
    file = tmp_path / "history.db"
    Storage(f"sqlite:///{file}").close()
    blocker = sqlite3.connect(file)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        with Storage(f"sqlite:///{file}") as storage, pytest.raises(StorageError, match="locked"):
            storage.create_or_open(make_spec())
    finally:
        blocker.close()


def test_postgres_without_its_driver_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match="make setup EXTRAS=postgres"):
        Storage("postgresql://me@localhost/db")


def test_server_that_is_not_there_is_one_line_without_the_password():
    pytest.importorskip("psycopg", reason="psycopg is not installed (make setup EXTRAS=postgres)")
    with pytest.raises(StorageError, match="check that the server runs") as caught:
        Storage("postgresql+psycopg://me:secret@127.0.0.1:1/db")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_postgres_scheme_gets_our_driver(scheme):
    pytest.importorskip("psycopg", reason="psycopg is not installed (make setup EXTRAS=postgres)")
    assert parse_url(f"{scheme}://me@host/db").drivername == "postgresql+psycopg"
