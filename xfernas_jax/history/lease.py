"""Leases: at most one process controls a study, by a row in the study's own database.

A lease names its holder and ends 60 s after it was last renewed, both by the database's clock.
PostgreSQL has a clock of its own. SQLite has that of the process; its file serves one machine, and
there the system says whether the holder runs, which counts for more than any clock.

Whoever takes a lease writes a new token. What a controller records is committed together with a
check of its token, so one that was taken over (or slept, or was cut off) records nothing more.
"""

import contextlib
import dataclasses
import datetime
import secrets
import threading
from collections.abc import Callable, Iterator

import sqlalchemy
import sqlalchemy.exc
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.orm import Session, scoped_session

from xfernas_jax.errors import LeaseError
from xfernas_jax.history.holder import Holder, is_running, parse_holder, this_process

LEASE_SECONDS = 60.0
RENEW_SECONDS = 10.0
TABLE = "xfernas_jax_leases"
_JOIN_SECONDS = 5.0
_FENCE = "xfernas_jax:lease"
_CREATE = text(
    f"CREATE TABLE IF NOT EXISTS {TABLE} (study VARCHAR(512) PRIMARY KEY, "
    "token VARCHAR(32) NOT NULL, holder TEXT NOT NULL, since DOUBLE PRECISION NOT NULL, "
    "expires DOUBLE PRECISION NOT NULL)"
)
_NOW = {  # seconds since 1970
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)",
}


@dataclasses.dataclass(frozen=True)
class _Held:
    """A row of the table: since when who holds a study; all seconds by the database's clock."""

    token: str
    holder: Holder
    since: float
    expires: float
    seconds_left: float


def make_table(engine: Engine) -> None:
    """Adds the table where it is missing and the user may add it."""
    if sqlalchemy.inspect(engine).has_table(TABLE):
        return
    with (
        contextlib.suppress(sqlalchemy.exc.ProgrammingError, sqlalchemy.exc.IntegrityError),
        engine.begin() as connection,
    ):
        connection.execute(_CREATE)


class Lease:
    """A study's lease while this process holds it; `take_lease` makes one.

    Attributes:
      lost: whether another process was seen to have taken it.
    """

    def __init__(self, engine: Engine, study: str, token: str) -> None:
        self.lost = False
        self._engine, self._study, self._token = engine, study, token

    def renew(self, connection: Connection) -> bool:
        """Puts off the lease's end; False when it is another's by now.

        Until the connection's transaction ends, no other process can take the lease.
        """
        statement = (
            f"UPDATE {TABLE} SET expires = {_now(connection)} + :seconds "
            "WHERE study = :study AND token = :token"
        )
        values = {"seconds": LEASE_SECONDS, "study": self._study, "token": self._token}
        held = connection.execute(text(statement), values).rowcount == 1
        self.lost = not held
        return held

    @contextlib.contextmanager
    def renewed(self, on_lost: Callable[[], None]) -> Iterator[None]:
        """Renews the lease from a thread of its own, and gives it back at the end.

        Args:
          on_lost: called once in that thread when the lease is lost.
        """
        stop = threading.Event()

        def run() -> None:
            while not stop.wait(RENEW_SECONDS):
                # A database that is away for a while may come back before another takes over.
                with (
                    contextlib.suppress(sqlalchemy.exc.SQLAlchemyError),
                    self._engine.begin() as connection,
                ):
                    self.renew(connection)
                if self.lost:
                    if not stop.is_set():
                        on_lost()
                    return

        thread = threading.Thread(target=run, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(_JOIN_SECONDS)
            self._give_back()

    def error(self) -> LeaseError:
        """Returns what to tell a user whose process lost the lease."""
        by = "another process, which has ended"
        with (
            contextlib.suppress(sqlalchemy.exc.SQLAlchemyError),
            self._engine.connect() as connection,
        ):
            held = _read(connection, self._study)
            by = by if held is None else f"{held.holder} at {_utc(held.since)}"
        return LeaseError(
            f"Study {self._study!r} was taken over by {by}; this process records no more of it."
        )

    def _give_back(self) -> None:
        """Frees the study; without the database the lease ends by itself."""
        statement = text(f"DELETE FROM {TABLE} WHERE study = :study AND token = :token")
        with (
            contextlib.suppress(sqlalchemy.exc.SQLAlchemyError),
            self._engine.begin() as connection,
        ):
            connection.execute(statement, {"study": self._study, "token": self._token})


def take_lease(engine: Engine, study: str, *, take_over: bool = False) -> Lease:
    """Takes the lease of a study, whether or not the study exists yet.

    Free is a lease that nobody holds, whose holder was a process of this machine that runs no
    more, or whose holder runs elsewhere and has not renewed it in time.

    Raises:
      LeaseError: another process holds it and `take_over` is False.
    """
    token = secrets.token_hex(16)
    values = {"study": study, "token": token, "holder": this_process().to_json()}
    while True:
        with engine.begin() as connection:
            now = _now(connection)
            insert = (
                f"INSERT INTO {TABLE} (study, token, holder, since, expires) "
                f"VALUES (:study, :token, :holder, {now}, {now} + :seconds) "
                "ON CONFLICT (study) DO NOTHING"
            )
            if connection.execute(text(insert), {**values, "seconds": LEASE_SECONDS}).rowcount:
                return Lease(engine, study, token)
            held = _read(connection, study)
        if held is None:
            continue  # was given back just now
        if not take_over:
            _check_free(study, held)
        update = (
            f"UPDATE {TABLE} SET token = :token, holder = :holder, since = {now}, "
            f"expires = {now} + :seconds WHERE study = :study AND token = :old_token "
            "AND (:take_over = 1 OR expires = :old_expires)"  # unless it was renewed meanwhile
        )
        seen = {"old_token": held.token, "old_expires": held.expires, "take_over": int(take_over)}
        with engine.begin() as connection:
            taken = connection.execute(
                text(update), {**values, **seen, "seconds": LEASE_SECONDS}
            ).rowcount
        if taken:
            return Lease(engine, study, token)


@contextlib.contextmanager
def fenced(sessions: scoped_session[Session], lease: Lease | None) -> Iterator[None]:
    """Lets this thread's session commit only while the lease is held.

    Raises:
      LeaseError: it is not; nothing was committed.
    """
    if lease is None:
        yield
        return
    session = sessions()
    session.info[_FENCE] = lease
    try:
        yield
    finally:
        del session.info[_FENCE]


def check_fences(sessions: scoped_session[Session]) -> None:
    """Makes the sessions heed `fenced`; once for each storage."""
    event.listen(sessions, "before_commit", _check_fence)


def _check_fence(session: Session) -> None:
    lease: Lease | None = session.info.get(_FENCE)
    if lease is not None and not lease.renew(session.connection()):
        raise lease.error()


def _read(connection: Connection, study: str) -> _Held | None:
    statement = (
        f"SELECT token, holder, since, expires, expires - {_now(connection)} "
        f"FROM {TABLE} WHERE study = :study"
    )
    row = connection.execute(text(statement), {"study": study}).one_or_none()
    return None if row is None else _Held(row[0], parse_holder(row[1]), *row[2:])


def _check_free(study: str, held: _Held) -> None:
    running = is_running(held.holder)
    if running is False or (running is None and held.seconds_left <= 0):
        return
    ends = "" if running else f"; its lease ends in {held.seconds_left:.0f} s unless it is renewed"
    raise LeaseError(
        f"Study {study!r} is controlled by {held.holder} since {_utc(held.since)}{ends}. Let it "
        "end, or end it with --take_over."
    )


def _now(connection: Connection) -> str:
    return _NOW[connection.dialect.name]


def _utc(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
