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


class PostgresServer:
    """A server on loopback with a data folder of its own; `stop` and `start` as often as wanted.

    Attributes:
      url: of the server, without a database.
    """

    def __init__(self, programs: pathlib.Path, folder: pathlib.Path) -> None:
        """Makes an empty data folder and starts on a free port.

        Args:
          programs: of `find_postgres`.
          folder: an empty one.
        """
        self._programs, self._folder = programs, folder
        self._user = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
        if self._user:
            os.chown(folder, pwd.getpwnam(self._user).pw_uid, -1)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"postgresql+psycopg://{_USER}@127.0.0.1:{self._port}"
        self._call("initdb", "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
        self._call("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stops it at once, as a crash would: connections break, nothing is written out."""
        self._call("pg_ctl", "-m", "immediate", "stop")

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), "-D", str(self._folder / "data"), *arguments],
            check=True,
            user=self._user,
            cwd=self._folder,
            timeout=_TIMEOUT_SECONDS,
            stdout=subprocess.DEVNULL,
        )


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Starts a server that is gone at the end.

    Raises:
      StorageError: the programs are not on this machine.
    """
    programs = find_postgres()
    if programs is None:
        raise StorageError(
            "There are no PostgreSQL server programs (initdb) here; install the server, on Debian "
            "by `apt-get install postgresql`."
        )
    folder = pathlib.Path(tempfile.mkdtemp(prefix="xfernas_pg_"))
    server = PostgresServer(programs, folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
