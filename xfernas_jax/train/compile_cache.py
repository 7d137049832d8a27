"""Compiled programs on disk, within a bound: what ran once need not be compiled again.

JAX keeps the programs. Its own bound (`jax_compilation_cache_max_size`) reads two files for every
program that it holds whenever it adds one: a second at 8,000 small programs, which is a large part
of a short evaluation. This one lists the folder once for every hundredth of its programs.
"""

import contextlib
import functools
import os
import pathlib
import warnings

import jax

_USERS_FOLDER = "JAX_COMPILATION_CACHE_DIR"
_SUFFIX = "-cache"  # of JAX's files
_WRITE_EVENT = "/jax/compilation_cache/cache_misses"  # just before JAX writes a program
_KEPT_SHARE = 0.9  # of the bound that stays when it is reached


class _Bound:
    """Deletes a folder's least recently used programs beyond a size."""

    def __init__(self, folder: pathlib.Path, max_bytes: int) -> None:
        self._folder, self._max_bytes, self._writes_left = folder, max_bytes, 0
        self.enforce()

    def enforce(self) -> None:
        """Brings the folder below its bound; another process may be doing the same."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    try:
                        status = entry.stat()
                    except OSError:  # just deleted by another process
                        continue
                    used = max(status.st_atime_ns, status.st_mtime_ns)
                    found.append((used, status.st_size, entry.path))
        self._writes_left = len(found) // 100
        total = sum(size for _, size, _ in found)
        if total <= self._max_bytes:
            return
        for _, size, path in sorted(found):
            pathlib.Path(path).unlink(missing_ok=True)
            total -= size
            if total <= _KEPT_SHARE * self._max_bytes:
                return

    def count_write(self) -> None:
        """Enforces the bound where enough programs were written since the last time."""
        self._writes_left -= 1
        if self._writes_left < 0:
            self.enforce()


def use_compile_cache(folder: str | os.PathLike[str], max_gib: float = 2.0) -> None:
    """Keeps this process's compiled programs in a folder and takes them from there.

    A folder that the user named by JAX's own variable, JAX_COMPILATION_CACHE_DIR, is used instead
    and left to the user: it may hold other programs, so nothing in it is deleted.

    A program that cannot be read or written, as after a full disk, is compiled again and nothing
    is said. Processes may share the folder. Used last is what the file system says; where it
    keeps no access times, the oldest programs go first.

    Args:
      folder: made if need be; without permission to make it there is no cache.
      max_gib: size of the folder in GiB, exceeded at most by the latest hundredth of its programs
        and one; 0 switches the cache off and leaves the folder as it is.
    """
    global _bound
    _bound = None
    used = os.environ.get(_USERS_FOLDER) or None if max_gib > 0 else None
    if max_gib > 0 and not used:
        path = pathlib.Path(folder).absolute()
        with contextlib.suppress(OSError):
            path.mkdir(parents=True, exist_ok=True)
            _bound, used = _Bound(path, int(max_gib * 2**30)), str(path)
    _listen_to_writes()
    jax.config.update("jax_compilation_cache_dir", used)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)  # no lower limit
    warnings.filterwarnings("ignore", r"Error (reading|writing) persistent compilation cache")


_bound: _Bound | None = None  # of the folder in use


@functools.cache  # JAX takes a listener for good
def _listen_to_writes() -> None:
    def on_event(event: str, **_: str | int) -> None:
        if event == _WRITE_EVENT and _bound is not None:
            _bound.count_write()

    jax.monitoring.register_event_listener(on_event)
