"""Watches a case: what it writes, runs and imports, and how it refuses."""

import contextlib
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, settings

from xfernas_jax.errors import UserError

CANARY = "hostile_canary"  # a module that no data may import

_SCALE = int(os.environ.get("XFERNAS_HOSTILE_SCALE", "1"))
_RUNS = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen"}
_CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink"}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def cases(count: int) -> Callable[[Callable], Callable]:
    """Gives a property its number of cases, the same ones in every run.

    With XFERNAS_HOSTILE_SCALE=20 there are 20 times as many, and others in every run.
    """
    profile = settings(
        max_examples=count * _SCALE,
        derandomize=_SCALE == 1,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    def decorate(test: Callable) -> Callable:
        decorated: Any = profile(test)
        decorated.num_cases = count
        return decorated

    return decorate


class Bait:
    """Leaves a folder where it is unpickled."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


class _Watch:
    """Collects what happens outside of a folder, by Python's audit events."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.found: list[str] = []
        self.num_cases = 0
        sys.addaudithook(self._hear)

    def _hear(self, event: str, args: tuple) -> None:
        if self.folder is None:
            return
        if event == "pickle.find_class" or event in _RUNS:
            self.found.append(f"{event} {args!r:.200}")
        elif event == "import" and str(args[0]).startswith(CANARY):
            self.found.append(f"import of {args[0]}")
        elif event in _CHANGES or (event == "open" and _writes(args)):
            for path in args[:2] if event == "os.rename" else args[:1]:
                if not self._is_inside(path):
                    self.found.append(f"{event} {path!r:.200}")

    def _is_inside(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # a file that is open already
        name = os.path.abspath(os.fsdecode(path))
        is_of_python = "__pycache__" in name or "/.hypothesis" in name or name == os.devnull
        return is_of_python or name.startswith(str(self.folder))


def _writes(args: tuple) -> bool:
    flags = args[2] if len(args) > 2 and isinstance(args[2], int) else 0
    return bool(flags & _WRITING)


WATCH = _Watch()


@contextlib.contextmanager
def sandbox() -> Iterator[pathlib.Path]:
    """Gives a case a folder `work` inside another one, and raises for what it must not do.

    Nothing is unpickled, no program started, no canary imported, and nothing written beside
    `work`; no half-written file stays in it.
    """
    outside = pathlib.Path(tempfile.mkdtemp(prefix="hostile_")).resolve()
    work = outside / "work"
    work.mkdir()
    (outside / f"{CANARY}.py").write_text("NAME = 1\n")
    sys.path.insert(0, str(outside))
    WATCH.num_cases += 1
    WATCH.found, WATCH.folder = [], str(work)
    try:
        yield work
        WATCH.folder = None
        assert WATCH.found == [], WATCH.found
        assert sorted(os.listdir(outside)) == [f"{CANARY}.py", "work"]
        assert CANARY not in sys.modules
        assert not [path for path in work.rglob("*") if path.name.endswith(".tmp")]
    finally:
        WATCH.folder = None
        sys.path.remove(str(outside))
        sys.modules.pop(CANARY, None)
        shutil.rmtree(outside)


def refused(call: Callable[[], Any]) -> tuple[bool, Any]:
    """Calls; tells whether a user's mistake was named, and what was returned otherwise.

    Anything but a `UserError` of one line is a defect and passes through.
    """
    try:
        return False, call()
    except UserError as error:
        text = str(error)
    assert text.strip()
    assert len(text) < 12_000, f"{text:.400}"
    return True, None
