"""How much memory this machine has for us, also inside a container with a limit of its own."""

import pathlib

import psutil

_CGROUP = pathlib.Path("/sys/fs/cgroup")  # of a container, from within; Linux, version 2


def total_memory() -> int:
    """Returns the bytes that all processes here can have at most."""
    return min(psutil.virtual_memory().total, _limit() or psutil.virtual_memory().total)


def free_memory() -> int:
    """Returns the bytes that can still be taken; what only caches files counts as free."""
    free, limit = psutil.virtual_memory().available, _limit()
    return free if limit is None else max(0, min(free, limit - _held()))


def _limit() -> int | None:
    """Returns the container's limit; None where there is none."""
    try:
        text = (_CGROUP / "memory.max").read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _held() -> int:
    """Returns the bytes that a container with a limit holds, without what only caches files."""
    try:
        current = int((_CGROUP / "memory.current").read_text())
        rows = (line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        cached = next((int(value) for name, value in rows if name == "inactive_file"), 0)
    except (OSError, ValueError):
        return 0
    return current - cached
