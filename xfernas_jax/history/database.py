"""Opens the database behind a storage URL and words its errors in one line."""

import contextlib
import importlib
import json
import os
import pathlib
import random
import sqlite3
import time
import warnings
from collections.abc import Iterator
from typing import Any

import optuna
import sqlalchemy
import sqlalchemy.exc
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url

from xfernas_jax.errors import MissingExtraError, StorageError
from xfernas_jax.history import lease

BUSY_TIMEOUT_SECONDS = 30.0  # how long a writer waits for another before it gives up
_CONNECT_TIMEOUT_SECONDS = 10
_OPEN_ATTEMPTS = 8  # processes that create the tables at the same moment disturb each other
_FORMS = "sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
_EVALUATION_INDEX = "xfernas_jax_evaluation_key"
_OPTUNA_TABLES = frozenset({"studies", "trials", "version_info"})


def default_storage_url(workdir: str | pathlib.Path) -> str:
    """Returns the URL of the SQLite file that a work directory holds."""
    return f"sqlite:///{_absolute(workdir) / 'history.db'}"


def sqlite_file(url: str) -> pathlib.Path | None:
    """Returns the file of a SQLite URL, which may not exist; None for another database."""
    parsed = parse_url(url)
    is_file = parsed.get_backend_name() == "sqlite"
    return pathlib.Path(parsed.database or "") if is_file else None


def _absolute(path: str | pathlib.Path) -> pathlib.Path:
    try:
        return pathlib.Path(path).expanduser().absolute()
    except RuntimeError as error:  # the home folder of nobody
        raise StorageError(f"Storage {os.fspath(path)!r:.160}: {error}") from error


def parse_url(url: str) -> URL:
    """Checks a storage URL; a SQLite path becomes absolute, PostgreSQL gets its driver.

    Raises:
      StorageError: no URL, an unknown scheme, or a SQLite URL without a file.
      MissingExtraError: PostgreSQL without the driver.
    """
    try:
        parsed = make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise StorageError(f"Storage {url!r:.120} is not a URL; write {_FORMS}.") from error
    backend = parsed.drivername.partition("+")[0]
    if backend == "sqlite":
        return _sqlite_url(parsed)
    if backend in ("postgresql", "postgres"):
        _check_psycopg()
        return parsed.set(drivername="postgresql+psycopg")
    raise StorageError(f"Storage scheme {parsed.drivername!r:.60} is not known; write {_FORMS}.")


def _sqlite_url(parsed: URL) -> URL:
    shown = parsed.render_as_string()
    if parsed.host or parsed.query or parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise StorageError(
            f"Storage {shown!r:.160}: a SQLite URL is sqlite:/// and a path, relative "
            "(sqlite:///runs/history.db) or absolute (sqlite:////data/history.db), no options."
        )
    if parsed.database in (None, "", ":memory:"):
        raise StorageError(f"Storage {shown!r} would forget everything; write sqlite:///FILE.")
    assert parsed.database is not None
    return URL.create("sqlite", database=str(_absolute(parsed.database)))


def _check_psycopg() -> None:
    try:
        importlib.import_module("psycopg")  # fails where libpq is missing, too
    except ImportError as error:
        raise MissingExtraError(
            "A PostgreSQL storage needs the driver psycopg; run `make setup EXTRAS=postgres`."
        ) from error


@contextlib.contextmanager
def storage_errors(shown_url: str) -> Iterator[None]:
    """Turns a failure of the database into one line; integrity errors pass through.

    Args:
      shown_url: the URL without its password.

    Raises:
      StorageError: in place of what SQLAlchemy, Optuna, SQLite or the system raised.
    """
    try:
        yield
    except sqlalchemy.exc.IntegrityError:
        raise
    except (
        sqlalchemy.exc.SQLAlchemyError,
        optuna.exceptions.OptunaError,
        sqlite3.Error,
        OSError,
    ) as error:
        raise StorageError(f"Storage {shown_url}: {_reason(error)}") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise StorageError(
            f"Storage {shown_url}: a stored value is damaged ({error}); restore a copy, or "
            "import a JSON Lines export into another storage."
        ) from error


def _reason(error: BaseException) -> str:
    """Returns the innermost message in one line, with a way out where one is known."""
    while True:
        inner = getattr(error, "orig", None) or error.__cause__
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = " ".join(str(error).split()) or type(error).__name__
    ways = {
        "not a database": "the file is of another kind; name another file",
        "malformed": "the file is damaged; restore a copy, or import a JSON Lines export",
        "unable to open": "check that the folder exists and that you may write there",
        "readonly": "you need write permission for the file and its folder",
        "locked": f"another program kept it locked for {BUSY_TIMEOUT_SECONDS:.0f} s; end it",
        lease.TABLE: "let the owner of the tables open the storage once and grant them to you",
        "full": "free some space and run the same command again",
        "connection": "check that the server runs and that host, port, user and database fit",
    }
    way = next((way for word, way in ways.items() if word in text.lower()), "")
    return f"{text:.300}; {way}." if way else f"{text:.300}."


@contextlib.contextmanager
def quiet_optuna() -> Iterator[None]:
    """Silences Optuna's log below warnings and its experimental warnings, here only."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(level, optuna.logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def open_database(url: URL, *, create: bool) -> RDBStorage:
    """Opens Optuna's storage with our settings; makes file, folder and tables if asked to.

    SQLite runs in write-ahead mode with `synchronous=FULL`: an evaluation is one commit, so
    it survives `kill -9` and a power cut for the price of one flush to disk.

    Raises:
      StorageError: the database cannot be opened, or the file is another program's.
    """
    shown = url.render_as_string()
    if url.get_backend_name() == "sqlite":
        _prepare_file(pathlib.Path(url.database or ""), shown, create)
    for attempt in range(_OPEN_ATTEMPTS):
        try:
            with storage_errors(shown), quiet_optuna():
                return _connect(url)
        except (sqlalchemy.exc.IntegrityError, StorageError) as error:
            lost_race = not isinstance(error, StorageError) or "already exists" in str(error)
            if lost_race and attempt < _OPEN_ATTEMPTS - 1:
                time.sleep(0.05 + random.random() * 0.2)
                continue
            if isinstance(error, StorageError):
                raise
            raise StorageError(f"Storage {shown}: {_reason(error)}") from error
        except RuntimeError as error:  # the version check of Optuna
            raise StorageError(
                f"Storage {shown} has the tables of another version of Optuna: {error}"
            ) from error
    raise AssertionError("unreachable")


def _prepare_file(path: pathlib.Path, shown: str, create: bool) -> None:
    if os.path.isdir(path):
        raise StorageError(f"Storage {shown} is a folder; name a file in it.")
    if not create and not os.path.exists(path):
        raise StorageError(f"Storage {shown} does not exist; check the path or --workdir.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError for NUL
        raise StorageError(
            f"Storage {shown}: folder {path.parent} cannot be made "
            f"({getattr(error, 'strerror', error)})."
        ) from error


def _connect(url: URL) -> RDBStorage:
    kwargs: dict[str, Any]
    if url.get_backend_name() == "sqlite":
        path = url.database or ""
        _check_foreign(path)
        kwargs = {"creator": lambda: _connect_sqlite(path)}
    else:
        kwargs = {
            "pool_pre_ping": True,  # a server that was restarted meanwhile is no error
            "connect_args": {"connect_timeout": _CONNECT_TIMEOUT_SECONDS},
        }
    text = url.render_as_string(hide_password=False)
    escaped = text.replace("{", "{{").replace("}", "}}")  # Optuna treats URLs as templates
    storage = RDBStorage.__new__(RDBStorage)  # whose engine is closed where its __init__ fails
    try:
        storage.__init__(escaped, engine_kwargs=kwargs)
        _drop_index(storage.engine)
        lease.make_table(storage.engine)
        lease.check_fences(storage.scoped_session)
    except BaseException:
        if hasattr(storage, "engine"):
            storage.engine.dispose()
        raise
    return storage


def _connect_sqlite(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, check_same_thread=False)
    try:
        _use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switches the journal mode; SQLite does not wait for its lock here, so we do."""
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchone()
            return  # a file system without it keeps the old journal, which is as safe
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _check_foreign(path: str) -> None:
    """Raises where the SQLite file belongs to another program: we add no tables to it."""
    with contextlib.closing(_connect_sqlite(path)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {row[0] for row in rows}
    if tables and not tables & _OPTUNA_TABLES:
        raise StorageError(
            f"Storage {path} is the database of another program (tables "
            f"{', '.join(sorted(tables))!s:.80}); name another file."
        )


def _drop_index(engine: sqlalchemy.Engine) -> None:
    """Takes away an index of earlier versions, which refused a second evaluation of one key.

    It refused copies of a study too (`optuna.copy_study`). Readers drop the later one of two equal
    keys of a study. Without the right to it (the tables of a shared server are another user's) we
    go on.
    """
    table = "trial_user_attributes"
    names = {index["name"] for index in sqlalchemy.inspect(engine).get_indexes(table)}
    if _EVALUATION_INDEX not in names:
        return
    with (
        contextlib.suppress(sqlalchemy.exc.ProgrammingError, sqlalchemy.exc.OperationalError),
        engine.begin() as connection,
    ):
        connection.execute(sqlalchemy.text(f"DROP INDEX IF EXISTS {_EVALUATION_INDEX}"))
