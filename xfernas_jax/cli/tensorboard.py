"""TensorBoard event files of evaluations and trainings: a copy of the record for the eyes.

A study is a folder, each evaluation a run in it, and `incumbent` one more. What is on disk when a
study goes on is compared with the record: what is missing is appended, what differs is written
anew, so that no point is there twice.
"""

import contextlib
import errno
import io
import json
import os
import pathlib
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from xfernas_jax.cli import flags
from xfernas_jax.cli.progress import console
from xfernas_jax.errors import FlagError, MissingExtraError
from xfernas_jax.files import check_writable
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import ACCURACY, Metric
from xfernas_jax.history.record import Evaluation, Job
from xfernas_jax.search.desk import Listener
from xfernas_jax.space.base import Space

Scalars = Mapping[str, Sequence[tuple[int, float]]]
"""Points (step, value) of each tag, in the order of steps."""

_ENDED = "_hparams_/session_end_info"  # the tag that a finished run ends with
_HPARAMS = {"params": "parameters"}  # names of costs that are others there
_COUNTED = ("search", "collect")  # purposes of evaluations that the incumbent is taken from


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


class Run:
    """The event files of one run; a file is opened when there is something to write."""

    def __init__(self, folder: pathlib.Path) -> None:
        """Reads what an earlier process left there."""
        self._folder = folder
        self._points: dict[str, list[tuple[int, float]]] = {}
        self._file: io.FileIO | None = None
        self._has_ended = False
        for tag, step, value in _read(folder):
            self._has_ended |= tag == _ENDED
            if value is not None:
                self._points.setdefault(tag, []).append((step, value))

    def add(self, tag: str, step: int, value: float) -> None:
        """Writes a point, unless the run has this step; steps come in rising order."""
        points = self._points.setdefault(tag, [])
        if not points or step > points[-1][0]:
            from tensorboardX.summary import scalar

            self._write(scalar(tag, value), step)
            points.append((step, _single(value)))

    def bring_to(self, scalars: Scalars) -> None:
        """Makes the run hold these points: appends them, or writes all anew where it differs."""
        wanted = {t: [(step, _single(v)) for step, v in points] for t, points in scalars.items()}
        if any(points != wanted.get(t, [])[: len(points)] for t, points in self._points.items()):
            self._delete()
        for tag, points in scalars.items():
            for step, value in points:
                self.add(tag, step, value)

    def end(self, scalars: Scalars, hparams: Mapping[str, Any], metrics: Sequence[str]) -> None:
        """Makes the run hold these points and what the HParams page shows, and closes it."""
        from tensorboardX.summary import hparams as summaries

        with contextlib.closing(self):
            self.bring_to(scalars)
            if not self._has_ended:
                for summary in summaries(dict(hparams), dict.fromkeys(metrics, 0.0)):
                    self._write(summary, 0)
                self._has_ended = True

    def close(self) -> None:
        """Closes the file that is open."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _write(self, summary: Any, step: int) -> None:
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

        now = time.time()
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{now:.0f}.{os.getpid()}.{time.time_ns()}"
            self._file = (self._folder / name).open("xb", buffering=0)  # readers see each event
            _append(self._file, Event(wall_time=now, file_version="brain.Event:2"))
        _append(self._file, Event(wall_time=now, step=step, summary=summary))

    def _delete(self) -> None:
        self.close()
        for file in _files(self._folder):
            file.unlink()
        self._points, self._has_ended = {}, False


class EvaluationFiles:
    """Writes the runs of a study; a `Listener`. Errors end the writing and not the search."""

    def __init__(
        self,
        folder: pathlib.Path,
        space: Space,
        optimizer: str,
        recorded: Sequence[Evaluation],
        goal: Goal,
        is_trained: bool = True,
    ) -> None:
        """Writes what was recorded before.

        Args:
          folder: of the study.
          space: of the genotypes.
          optimizer: its name, for the HParams page.
          recorded: evaluations of the study, in the order of recording.
          goal: tells what may be the incumbent, and the metric.
          is_trained: whether values are measured on a validation part.
        """
        self._folder, self._space, self._optimizer, self._goal = folder, space, optimizer, goal
        self._tag = _tag_of(goal.metric, "valid" if is_trained else "")
        self._runs: dict[str, Run] = {}
        self._attempt = _Attempts()
        self._best: list[tuple[int, float]] = []
        self._num_counted = 0
        self._incumbent: Run | None = None
        for evaluation in recorded:
            self._count(evaluation)
            self._attempt(lambda e=evaluation: self._end(e))
        self._attempt(self._show_recorded)

    def started(self, job: Job) -> None:
        """Opens the run of an evaluation; one that begins anew goes on with it."""
        name = _name(job)
        if name not in self._runs:
            self._attempt(lambda: self._runs.update({name: Run(self._folder / name)}))

    def epoch(self, job: Job, epoch: int, value: float) -> None:
        """Writes a point of the learning curve."""
        run = self._runs.get(_name(job))
        if run is not None:
            self._attempt(lambda: run.add(self._tag, epoch, value))

    def finished(self, evaluation: Evaluation) -> None:
        """Ends the run of an evaluation."""
        self._attempt(lambda: self._end(evaluation))
        self._count(evaluation)
        self._attempt(self._show_latest)

    def close(self) -> None:
        """Closes all files."""
        runs = [*self._runs.values(), *([] if self._incumbent is None else [self._incumbent])]
        for run in runs:
            run.close()

    def _end(self, evaluation: Evaluation) -> None:
        name = _name(evaluation.job)
        run = self._runs.pop(name, None) or Run(self._folder / name)
        scalars = {self._tag: [*enumerate(evaluation.curve, start=1)]}
        if evaluation.value is not None:
            scalars[f"final_{self._tag}"] = [(len(evaluation.curve), evaluation.value)]
        hparams = {
            "number": evaluation.number,
            "purpose": evaluation.purpose,
            "optimizer": self._optimizer,
            **{_HPARAMS.get(cost, cost): value for cost, value in evaluation.costs.items()},
            "seed": evaluation.seed,
            "status": evaluation.status,
            "architecture": json.dumps(self._space.to_json(evaluation.genotype)),
        }
        run.end(scalars, hparams, [f"final_{self._tag}"])

    def _count(self, evaluation: Evaluation) -> None:
        """Takes account of a finished evaluation in the incumbent's curve."""
        if evaluation.purpose not in _COUNTED:
            return
        self._num_counted += 1
        best = self._goal.incumbent_after(self._best[-1][1] if self._best else None, evaluation)
        if best is not None:
            self._best.append((self._num_counted, best))

    def _show_recorded(self) -> None:
        self._incumbent = Run(self._folder / "incumbent")
        self._incumbent.bring_to({f"best_{self._tag}": self._best})

    def _show_latest(self) -> None:
        if self._incumbent is not None and self._best:
            self._incumbent.add(f"best_{self._tag}", *self._best[-1])


class TrainingFiles:
    """Writes the run of one training; errors end the writing and not the training."""

    def __init__(self, folder: pathlib.Path | None, metric: Metric = ACCURACY) -> None:
        """Takes the folder of the run, None to write nothing; what was written before stays."""
        self._attempt = _Attempts()
        self._metric, self._tag = metric, _tag_of(metric, "valid")
        self._run: Run | None = None
        if folder is not None:
            self._attempt(lambda: setattr(self, "_run", Run(folder)))

    def epoch(self, epoch: int, value: float) -> None:
        """Writes a point of the learning curve."""
        run = self._run
        if run is not None:
            self._attempt(lambda: run.add(self._tag, epoch, value))

    def end(self, result: Mapping[str, Any]) -> None:
        """Ends the run with what `train` found."""
        run, curve = self._run, result["curve"]
        valid, num_epochs = result["valid_value"], len(curve) or len(result["losses"])
        finals = {_tag_of(self._metric, "test"): [(num_epochs, result["test_value"])]}
        if valid is not None:  # else its images were trained on
            finals = {f"final_{self._tag}": [(num_epochs, valid)], **finals}
        scalars = {self._tag: [*enumerate(curve, start=1)], **finals}
        hparams = {
            "architecture": json.dumps(result.get("genotype")),
            "parameters": result["num_params"],
            "recipe": str(result.get("recipe")),
            "seed": result.get("seed"),
        }
        if run is not None:
            self._attempt(lambda: run.end(scalars, hparams, list(finals)))

    def close(self) -> None:
        """Closes the file."""
        if self._run is not None:
            self._run.close()


class Listeners:
    """Tells several listeners of progress, one after the other; a `Listener`."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def started(self, job: Job) -> None:
        for listener in self._listeners:
            listener.started(job)

    def epoch(self, job: Job, epoch: int, value: float) -> None:
        for listener in self._listeners:
            listener.epoch(job, epoch, value)

    def finished(self, evaluation: Evaluation) -> None:
        for listener in self._listeners:
            listener.finished(evaluation)


@contextlib.contextmanager
def with_files(
    progress: Listener,
    folder: pathlib.Path | None,
    space: Space,
    optimizer: str,
    recorded: Sequence[Evaluation],
    goal: Goal,
    is_trained: bool = True,
) -> Iterator[Listener]:
    """Gives a listener that writes event files too, where there is a folder for the study."""
    if folder is None:
        yield progress
        return
    files = EvaluationFiles(folder, space, optimizer, recorded, goal, is_trained)
    with contextlib.closing(files):
        yield Listeners(progress, files)


class _Attempts:
    """Calls what writes until one fails, which is said once."""

    def __init__(self) -> None:
        self._has_failed = False

    def __call__(self, write: Callable[[], None]) -> None:
        if self._has_failed:
            return
        try:
            write()
        except Exception as error:  # whatever it is, the search is worth more
            self._has_failed = True
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            console.print(f"TensorBoard files: no more are written ({reason:.200}).")


def _name(job: Job) -> str:
    return f"{job.purpose}_{job.number + 1:04d}"


def _tag_of(metric: Metric, part: str) -> str:
    """Returns the tag of a metric's values on a part of the data, "" where there are no parts."""
    return f"{part}_{metric.name}" if part else metric.name


def _single(value: float) -> float:
    """Returns what an event file keeps of a value: single precision."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


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
