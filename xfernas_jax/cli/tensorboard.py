"""TensorBoard event files of evaluations and trainings.

A study is a folder, each evaluation a run in it, and `incumbent` one more.
"""

import contextlib
import errno
import io
import os
import pathlib
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Any

from xfernas_jax.cli import flags, live
from xfernas_jax.cli.attempts import Attempts
from xfernas_jax.cli.live import Ending, View
from xfernas_jax.errors import FlagError, MissingExtraError
from xfernas_jax.files import check_writable

_ENDED = "_hparams_/session_end_info"  # the tag that a finished run ends with


def folder() -> pathlib.Path | None:
    """Returns --tensorboard_dir, None without one; called before anything is evaluated.

    Raises:
      MissingExtraError: tensorboardX is not installed.
      FlagError: the folder cannot be written.
    """
    if flags.TENSORBOARD_DIR.value is None:
        return None
    try:
        import tensorboardX  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "--tensorboard_dir needs tensorboardX; run `make setup EXTRAS=tensorboard`, or "
            "`pip install tensorboardX`."
        ) from error
    found = pathlib.Path(flags.TENSORBOARD_DIR.value).absolute()
    try:
        found.mkdir(parents=True, exist_ok=True)
        check_writable(found / "events")
    except OSError as error:
        raise FlagError(
            f"--tensorboard_dir={flags.TENSORBOARD_DIR.value} cannot be written "
            f"({error.strerror}); name a folder that you may write to."
        ) from error
    return found


class Run(live.Run):
    """The event files of one run; a file is opened when there is something to write."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Reads what an earlier process left there."""
        super().__init__()
        self._folder = folder
        self._file: io.FileIO | None = None
        for tag, step, value in _read(folder):
            self._has_ended |= tag == _ENDED
            if value is not None:
                self._points.setdefault(tag, []).append((step, value))

    def kept(self, value: float) -> float:
        """Returns what an event file keeps of a value: single precision."""
        try:
            return struct.unpack("<f", struct.pack("<f", value))[0]
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")

    def close(self) -> None:
        """Closes the file that is open."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _write(self, points: Sequence[tuple[str, int, float]]) -> None:
        from tensorboardX.summary import scalar

        for tag, step, value in points:
            self._write_summary(scalar(tag, value), step)

    def _write_ending(self, ending: Ending, metrics: Sequence[str]) -> None:
        from tensorboardX.summary import hparams

        status = {"status": ending.status} if ending.status else {}
        shown = {**ending.words, **ending.costs, **status}
        for summary in hparams(shown, dict.fromkeys(metrics, 0.0)):
            self._write_summary(summary, 0)

    def _write_summary(self, summary: Any, step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

        now = time.time()
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{now:.0f}.{os.getpid()}.{time.time_ns()}"
            self._file = (self._folder / name).open("xb", buffering=0)  # readers see each event
            _append(self._file, Event(wall_time=now, file_version="brain.Event:2"))
        _append(self._file, Event(wall_time=now, step=step, summary=summary))

    def _begin_anew(self) -> None:
        self.close()
        for file in _files(self._folder):
            file.unlink()


class EventFiles(View):
    """The event files of a study, or of trainings: a folder for each run."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Takes the folder of the runs, which is made when there is something to write."""
        self._folder = folder

    def attempts(self) -> Attempts:
        """Returns what writes until a file cannot be written."""
        return Attempts("TensorBoard files: no more are written")

    def study(self) -> Run:
        """Returns the run of the incumbent."""
        return self.run("incumbent")

    def run(self, name: str) -> Run:
        """Returns a run with what an earlier process wrote."""
        return Run(self._folder / name)


def _append(file: io.FileIO, event: Any) -> None:
    """Writes an event as a TFRecord: length, its checksum, content, its checksum."""
    from tensorboardX.record_writer import masked_crc32c

    content = event.SerializeToString()
    size = struct.pack("<Q", len(content))
    sums = (struct.pack("<I", masked_crc32c(part)) for part in (size, content))
    record = size + next(sums) + content + next(sums)
    if file.write(record) != len(record):  # what the disk had room for
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the event files of a run, the oldest first."""
    return sorted(folder.glob("events.out.tfevents.*"), key=lambda file: file.stat().st_mtime_ns)


def _read(folder: pathlib.Path) -> Iterator[tuple[str, int, float | None]]:
    """Yields tag, step and value (None: no scalar) of a run's events, up to a damaged one."""
    from google.protobuf.message import DecodeError
    from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

    for file in _files(folder):
        data, start = file.read_bytes(), 0
        while start + 12 <= len(data):
            (size,) = struct.unpack_from("<Q", data, start)
            content = data[start + 12 : start + 12 + size]
            start += size + 16
            if start > len(data):
                break
            with contextlib.suppress(DecodeError):
                event = Event.FromString(content)
                for value in event.summary.value:
                    is_scalar = value.WhichOneof("value") == "simple_value"
                    yield value.tag, event.step, value.simple_value if is_scalar else None
