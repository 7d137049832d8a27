"""A PostgreSQL server of our own, for as long as a block lasts."""

import contextlib
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator

from xfernas_jax.errors import StorageError

_TIMEOUT_SECONDS = 60
_USER = "tester"


def find_postgres() -> pathlib.Path | None:
    """Returns the folder of the server's programs; None where there is none."""
    found = shutil.which("initdb")
    folders = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    candidates = [pathlib.Path(found).parent] if found else folders
    return candidates[-1] if candidates else None


@contextlib.contextmanager
def running_postgres() -> Iterator[str]:
    """Starts a server on loopback with an empty data folder; yields its URL, without a database.

    Raises:
      StorageError: the programs are not on this machine.
    """
    programs = find_postgres()
    if programs is None:
        raise StorageError(
            "There are no PostgreSQL server programs (initdb) here; install the server, on Debian "
            "by `apt-get install postgresql`."
        )
    user = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
    folder = pathlib.Path(tempfile.mkdtemp(prefix="xfernas_pg_"))
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    data = folder / "data"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def call(program: str, *arguments: str) -> None:
        command = [str(programs / program), "-D", str(data), *arguments]
        subprocess.run(
            command,
            check=True,
            user=user,
            cwd=folder,
            timeout=_TIMEOUT_SECONDS,
            stdout=subprocess.DEVNULL,
        )

    call("initdb", "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
    call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql+psycopg://{_USER}@127.0.0.1:{port}"
    finally:
        call("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
