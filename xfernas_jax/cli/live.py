"""Evaluations and trainings shown as they come: what TensorBoard and MLflow have in common.

A view holds runs: one for each evaluation, with its learning curve and what is known at its end,
and one for the study, with the incumbent. It is a copy of the record for the eyes. What it holds
when a study goes on is compared with the record: what is missing is appended, what differs is
written anew, so that no point is there twice.
"""

import abc
import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from xfernas_jax.cli.attempts import Attempts
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import ACCURACY, Metric
from xfernas_jax.history.record import Evaluation, Job
from xfernas_jax.search.desk import Listener
from xfernas_jax.space.base import Space

Scalars = Mapping[str, Sequence[tuple[int, float]]]
"""Points (step, value) of each tag, in the order of steps."""

_COUNTED = ("search", "collect")  # purposes of evaluations that the incumbent is taken from
_COST_NAMES = {"params": "parameters"}  # names of costs that are others in a view


@dataclasses.dataclass(frozen=True)
class Ending:
    """What is known of a run at its end.

    Attributes:
      settings: what was asked, by name.
      costs: what it cost, by name; "seconds" are kept apart.
      label: what the network is called, where that is known; it may not be known later.
      status: of the result, "" where there is none.
      seconds: wall time; None where it is not known.
    """

    settings: Mapping[str, Any]
    costs: Mapping[str, float]
    label: str = ""
    status: str = ""
    seconds: float | None = None

    @property
    def words(self) -> dict[str, Any]:
        """The settings, and the label where there is one."""
        return {**self.settings, **({"network": self.label} if self.label else {})}


class Run(abc.ABC):
    """Points of one run, and how it ended; a view writes them."""

    def __init__(self) -> None:
        self._points: dict[str, list[tuple[int, float]]] = {}
        self._has_ended = False

    def add(self, tag: str, step: int, value: float) -> None:
        """Writes a point, unless the run has this step; steps come in rising order."""
        self._append({tag: [(step, value)]})

    def bring_to(self, scalars: Scalars) -> None:
        """Makes the run hold these points: appends them, or writes all anew where it differs."""
        wanted = {t: [(step, self.kept(v)) for step, v in ps] for t, ps in scalars.items()}
        if any(points != wanted.get(t, [])[: len(points)] for t, points in self._points.items()):
            self._begin_anew()
            self._points, self._has_ended = {}, False
        self._append(scalars)

    def end(self, scalars: Scalars, ending: Ending, metrics: Sequence[str]) -> None:
        """Makes the run hold these points and its ending, and closes it.

        Args:
          scalars: all points of the run.
          ending: what is known of it.
          metrics: tags of the values that it is judged by.
        """
        with contextlib.closing(self):
            self.bring_to(scalars)
            if not self._has_ended:
                self._write_ending(ending, metrics)
                self._has_ended = True

    def kept(self, value: float) -> float:
        """Returns what the view keeps of a value."""
        return value

    def close(self) -> None:
        """Frees what the run holds open; it may be written to again."""
        return None

    def interrupt(self) -> None:
        """Says that nothing more comes for now."""
        return None

    def _append(self, scalars: Scalars) -> None:
        new = []
        for tag, points in scalars.items():
            known = self._points.get(tag)
            last = known[-1][0] if known else None
            new += [(tag, step, value) for step, value in points if last is None or step > last]
        if not new:
            return
        self._write(new)
        for tag, step, value in new:
            self._points.setdefault(tag, []).append((step, self.kept(value)))

    @abc.abstractmethod
    def _write(self, points: Sequence[tuple[str, int, float]]) -> None:
        """Writes points (tag, step, value)."""

    @abc.abstractmethod
    def _write_ending(self, ending: Ending, metrics: Sequence[str]) -> None:
        """Writes how the run ended."""

    @abc.abstractmethod
    def _begin_anew(self) -> None:
        """Puts away what was written, which is not what the record says."""


class View(abc.ABC):
    """Where the runs of a study, or one training, are shown.

    Attributes:
      shows_result: whether `finish` does anything.
    """

    shows_result = False

    @abc.abstractmethod
    def attempts(self) -> Attempts:
        """Returns what calls whatever writes."""

    @abc.abstractmethod
    def study(self) -> Run:
        """Returns the run of the study; asked for before any other."""

    @abc.abstractmethod
    def run(self, name: str) -> Run:
        """Returns a run with what was written to it before."""

    def finish(self, values: Mapping[str, float], facts: Mapping[str, str], step: int) -> None:
        """Shows the result of the study.

        Args:
          values: numbers by tag.
          facts: words by name.
          step: evaluations that led to it.
        """
        raise NotImplementedError


class EvaluationRuns:
    """Shows the evaluations of a study; a `Listener`. Errors end the writing and not the search."""

    def __init__(
        self,
        view: View,
        space: Space,
        optimizer: str,
        recorded: Sequence[Evaluation],
        goal: Goal,
        is_trained: bool = True,
        name_of: Callable[[Job], str] = lambda _: "",
    ) -> None:
        """Shows what was recorded before.

        Args:
          view: that shows.
          space: of the genotypes.
          optimizer: its name.
          recorded: evaluations of the study, in the order of recording.
          goal: tells what may be the incumbent, and the metric.
          is_trained: whether values are measured on a validation part.
          name_of: says what an architecture is, where that is known.
        """
        self._view, self._space, self._goal, self._name_of = view, space, goal, name_of
        self._optimizer, self._part = optimizer, "valid" if is_trained else ""
        self._tag = _tag_of(goal.metric, self._part)
        self._runs: dict[str, Run] = {}
        self._attempt = view.attempts()
        self._best: list[tuple[int, float]] = []
        self._num_counted = 0
        self._study: Run | None = None
        for evaluation in recorded:
            self._count(evaluation)
        self._attempt(lambda best=tuple(self._best): self._show_study(best))
        for evaluation in recorded:
            self._attempt(lambda e=evaluation: self._end(e))

    def started(self, job: Job) -> None:
        """Opens the run of an evaluation; one that begins anew goes on with it."""
        self._attempt(lambda: self._open(_name(job)))

    def epoch(self, job: Job, epoch: int, value: float) -> None:
        """Shows a point of the learning curve."""
        self._attempt(lambda: self._add(_name(job), epoch, value))

    def finished(self, evaluation: Evaluation) -> None:
        """Ends the run of an evaluation."""
        self._attempt(lambda: self._end(evaluation))
        self._count(evaluation)
        self._attempt(lambda best=tuple(self._best[-1:]): self._show_latest(best))

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Shows that the study is finished, and the result of a search, as it is recorded."""
        if result is None:
            self._attempt(lambda: self._view.finish({}, {}, 0))
            return
        part, tested = result["test_part"] or {}, _tag_of(self._goal.metric, "test")
        values = {
            f"final_{self._tag}": result["best_value"],
            tested: result["test_value"],
            f"{tested}_low": part.get("low"),
            f"{tested}_high": part.get("high"),
            **{_COST_NAMES.get(name, name): cost for name, cost in result["costs"].items()},
            "seconds": result["seconds"],
        }
        known = {tag: float(value) for tag, value in values.items() if value is not None}
        facts = {
            "architecture": json.dumps(result["best_genotype"]),
            "network": self._space.describe(self._space.from_json(result["best_genotype"])),
            "sources": ", ".join(result["sources"]) or "none",
        }
        count = result["num_evaluations"]
        self._attempt(lambda: self._view.finish(known, facts, count))

    def interrupt(self) -> None:
        """Says that the study was interrupted."""
        self._attempt(self._interrupt)

    def close(self) -> None:
        """Closes all runs."""
        self._attempt(self._close)
        self._attempt.close()

    def _show_study(self, best: Sequence[tuple[int, float]]) -> None:
        self._study = self._view.study()
        self._study.bring_to({f"best_{self._tag}": best})

    def _show_latest(self, best: Sequence[tuple[int, float]]) -> None:
        if self._study is not None and best:
            self._study.add(f"best_{self._tag}", *best[-1])

    def _open(self, name: str) -> Run:
        if name not in self._runs:
            self._runs[name] = self._view.run(name)
        return self._runs[name]

    def _add(self, name: str, epoch: int, value: float) -> None:
        if name in self._runs:
            self._runs[name].add(self._tag, epoch, value)

    def _interrupt(self) -> None:
        for run in (*self._runs.values(), *([] if self._study is None else [self._study])):
            run.interrupt()

    def _close(self) -> None:
        for run in (*self._runs.values(), *([] if self._study is None else [self._study])):
            run.close()

    def _end(self, evaluation: Evaluation) -> None:
        run, job = self._open(_name(evaluation.job)), evaluation.job
        scalars = {self._tag: [*enumerate(evaluation.curve, start=1)]}
        if evaluation.value is not None:
            scalars[f"final_{self._tag}"] = [(len(evaluation.curve), evaluation.value)]
        settings: dict[str, Any] = {
            "number": evaluation.number,
            "purpose": evaluation.purpose,
            "optimizer": self._optimizer,
            "seed": evaluation.seed,
            "architecture": json.dumps(self._space.to_json(evaluation.genotype)),
        }
        if job.predicted is not None:
            settings["predicted"] = job.predicted
        costs = {_COST_NAMES.get(name, name): cost for name, cost in evaluation.costs.items()}
        label = self._name_of(job)
        ending = Ending(settings, costs, label, evaluation.status, evaluation.seconds)
        run.end(scalars, ending, [f"final_{self._tag}"])
        del self._runs[_name(job)]

    def _count(self, evaluation: Evaluation) -> None:
        """Takes account of a finished evaluation in the incumbent's curve."""
        if evaluation.purpose not in _COUNTED:
            return
        self._num_counted += 1
        best = self._goal.incumbent_after(self._best[-1][1] if self._best else None, evaluation)
        if best is not None:
            self._best.append((self._num_counted, best))


class TrainingRun:
    """Shows one training; errors end the writing and not the training."""

    def __init__(self, view: View, name: str, metric: Metric = ACCURACY) -> None:
        """Takes the view and the name of the run; what was written before stays."""
        self._attempt = view.attempts()
        self._metric, self._tag = metric, _tag_of(metric, "valid")
        self._run: Run | None = None
        self._attempt(lambda: setattr(self, "_run", view.run(name)))

    def epoch(self, epoch: int, value: float) -> None:
        """Shows a point of the learning curve."""
        self._attempt(lambda: self._opened().add(self._tag, epoch, value))

    def end(self, result: Mapping[str, Any]) -> None:
        """Ends the run with what `train` found."""
        curve, valid = result["curve"], result["valid_value"]
        num_epochs = len(curve) or len(result["losses"])
        finals = {_tag_of(self._metric, "test"): [(num_epochs, result["test_value"])]}
        if valid is not None:  # else its images were trained on
            finals = {f"final_{self._tag}": [(num_epochs, valid)], **finals}
        scalars = {self._tag: [*enumerate(curve, start=1)], **finals}
        settings = {
            "architecture": json.dumps(result.get("genotype")),
            "recipe": str(result.get("recipe")),
            "seed": result.get("seed"),
        }
        ending = Ending(settings, {"parameters": float(result["num_params"])})
        self._attempt(lambda: self._opened().end(scalars, ending, list(finals)))

    def interrupt(self) -> None:
        """Says that the training was interrupted."""
        self._attempt(lambda: self._opened().interrupt())

    def close(self) -> None:
        """Closes the run."""
        self._attempt(lambda: self._opened().close())
        self._attempt.close()

    def _opened(self) -> Run:
        if self._run is None:
            raise RuntimeError("the run was not opened")
        return self._run


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
def closing(shown: Sequence[EvaluationRuns] | Sequence[TrainingRun]) -> Iterator[None]:
    """Closes what shows at the end, and tells it of an interruption."""
    try:
        yield
    except BaseException:
        for each in shown:
            each.interrupt()
        raise
    finally:
        for each in shown:
            each.close()


def _name(job: Job) -> str:
    return f"{job.purpose}_{job.number + 1:04d}"


def _tag_of(metric: Metric, part: str) -> str:
    """Returns the tag of a metric's values on a part of the data, "" where there are no parts."""
    return f"{part}_{metric.name}" if part else metric.name
