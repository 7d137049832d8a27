"""Files that are there in full or as they were before."""

import os
import pathlib
import secrets


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes beside `path`, flushes to disk and renames; makes missing folders.

    Raises:
      OSError: as the operating system says; `path` is then unchanged.
    """
    target = pathlib.Path(path)
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raises `OSError` where `write_atomically` would fail; leaves no file behind."""
    target = pathlib.Path(path)
    if target.is_dir():
        raise IsADirectoryError(21, os.strerror(21), str(target))
    target.parent.mkdir(parents=True, exist_ok=True)
    probe = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        probe.touch(exist_ok=False)
    finally:
        probe.unlink(missing_ok=True)
