"""Files that are there in full or as they were before, and reading within a bound."""

import errno
import os
import pathlib
import secrets
import shutil


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


def read_bounded(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Reads a whole file that is meant to be small.

    Raises:
      OSError: as the operating system says; `EFBIG` for one of more than `max_bytes`.
    """
    with open(path, "rb") as stream:
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), os.fspath(path))
    return data


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


def check_room(folder: str | os.PathLike[str], num_bytes: int) -> None:
    """Raises `OSError` where a disk has less room; the folder need not exist yet.

    For libraries that write many files in threads of their own, and fail there at length.
    """
    place = pathlib.Path(folder).absolute()
    while not place.exists():
        place = place.parent
    if shutil.disk_usage(place).free < num_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
