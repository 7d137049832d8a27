"""Names a process so that others can tell who it is, and on its own machine whether it lives."""

import dataclasses
import getpass
import json
import os
import pathlib
import socket

_PROC = pathlib.Path("/proc")


@dataclasses.dataclass(frozen=True)
class Holder:
    """A process, as a lease names it.

    Attributes:
      user: its user's name.
      host: name of its machine.
      pid: its number there.
      machine: the boot and the namespace in which `pid` counts; empty where the system tells none.
      started: of the process, in clock ticks after the boot: a later process may have its number.
    """

    user: str
    host: str
    pid: int
    machine: str
    started: int

    def __str__(self) -> str:
        return f"{self.user}@{self.host} (pid {self.pid})"

    def to_json(self) -> str:
        """Returns one line that `parse_holder` reads."""
        return json.dumps(dataclasses.asdict(self))


def parse_holder(text: str) -> Holder:
    """Reads a holder; one that is damaged counts as a process of an unknown machine."""
    try:
        value = json.loads(text)
        user, host, pid = str(value["user"]), str(value["host"]), int(value["pid"])
        return Holder(user, host, pid, str(value["machine"]), int(value["started"]))
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return Holder("unknown", "unknown", 0, "", 0)


def this_process() -> Holder:
    """Returns the process that calls."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container whose user has no name
        user = str(os.getuid())
    pid = os.getpid()
    _, started = _state(pid) or ("", 0)
    return Holder(user, socket.gethostname(), pid, _machine(), started)


def is_running(holder: Holder) -> bool | None:
    """Tells whether a process of this machine runs; None where that cannot be told from here."""
    if not holder.machine or holder.machine != _machine() or holder.pid <= 0:
        return None
    try:
        os.kill(holder.pid, 0)  # sends nothing; unlike /proc it sees every user's processes
    except ProcessLookupError:
        return False
    except OverflowError:
        return None
    except PermissionError:
        pass
    found = _state(holder.pid)
    if found is None:
        return None
    state, started = found
    return started == holder.started and state not in ("Z", "X")


def _machine() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def _state(pid: int) -> tuple[str, int] | None:
    """Returns a process's state letter and its start; None where there is no such file."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    return fields[0], int(fields[19])
