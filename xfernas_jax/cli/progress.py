"""Progress: a bar on a terminal, and plain lines everywhere."""

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from xfernas_jax.executors.base import Job
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.record import Evaluation, Metric

console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def duration(seconds: float) -> str:
    """Returns seconds in words: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def shown_value(value: float | None, metric: Metric) -> str:
    """Returns an accuracy in percent, or a score as it is; `-` for None."""
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if metric == "accuracy" else f"{value:.6g}"


class _Lines:
    """Lines on the console, with a bar below them where it is a terminal.

    Attributes:
      bar: a context manager, to be entered while there is progress.
    """

    def __init__(self, total: int, done: int) -> None:
        self.bar = Bar(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self.bar.add_task("", total=total, completed=min(done, total))

    def _say(self, line: str) -> None:
        self.bar.console.print(line)

    def _show(self, description: str, completed: int | None = None) -> None:
        self.bar.update(self._task, description=description, completed=completed)


class EvaluationProgress(_Lines):
    """One line for each evaluation: score, incumbent, time left; a `Listener`.

    The bar names what runs, each with its epoch.
    """

    def __init__(
        self,
        total: int,
        seconds_done: Sequence[float] = (),
        num_workers: int = 1,
        goal: Goal | None = None,
    ) -> None:
        """Starts the bar.

        Args:
          total: evaluations in all.
          seconds_done: of each evaluation that was done before.
          num_workers: evaluations that run at once.
          goal: what exceeds its limits is no incumbent; by default there are none.
        """
        super().__init__(total, len(seconds_done))
        self._total, self._seconds = total, list(seconds_done)
        self._best: float | None = None
        self._metric: Metric = "accuracy"
        self._goal = Goal() if goal is None else goal
        self._num_workers, self._running = num_workers, dict[str, str]()
        if seconds_done:
            self._say(f"Going on after {len(seconds_done)} evaluations.")

    def started(self, job: Job) -> None:
        """Names the evaluation in the bar."""
        label = self._label(job)
        self._running[label] = f"{label}  compiling"
        self._show(f"{self._all_running()}{self._tail()}")

    def epoch(self, job: Job, epoch: int, valid_accuracy: float) -> None:
        """Shows the epoch in the bar."""
        label = self._label(job)
        self._running[label] = f"{label}  epoch {epoch}: valid {100 * valid_accuracy:.2f} %"
        self._show(self._all_running())

    def finished(self, job: Job, evaluation: Evaluation) -> None:
        """Prints the outcome of one evaluation."""
        label = self._label(job)
        self._running.pop(label, None)
        score, self._metric = evaluation.valid_accuracy, evaluation.metric
        word = "valid" if evaluation.metric == "accuracy" else "score"
        shown = f"{word} {shown_value(score, evaluation.metric):>8}"
        if score is None:
            shown = f"failed: {evaluation.failure}"
        if evaluation.status == "stopped":
            shown = f"stopped after epoch {len(evaluation.curve)}"
        tail = ""
        if job.purpose != "confirm":
            if job.purpose != "resume":  # which was counted when it stopped
                self._seconds.append(evaluation.seconds)
            if self._goal.may_win(evaluation):
                assert score is not None
                self._best = score if self._best is None else max(self._best, score)
            elif score is not None:
                shown += "  over the limit"
            tail = self._tail()
        self._say(f"{label:>14}  {shown}  {evaluation.seconds:5.1f} s{tail}")
        self._show(self._all_running() or f"{label}{tail}", len(self._seconds))

    def _label(self, job: Job) -> str:
        return f"{job.purpose} {job.number + 1}" + (
            "" if job.purpose == "confirm" else f"/{self._total}"
        )

    def _all_running(self) -> str:
        return "   ".join(self._running.values())

    def _tail(self) -> str:
        if not self._seconds:
            return ""
        recent = self._seconds[-10:]
        left = max(self._total - len(self._seconds), 0) * sum(recent) / len(recent)
        shown = duration(left / self._num_workers)
        return f"  best {shown_value(self._best, self._metric):>8}  about {shown} left"


class EpochProgress(_Lines):
    """One line for each epoch of a training."""

    def __init__(self, num_epochs: int, measured_on: str = "valid") -> None:
        """Takes the number of epochs in all, and what to call the images of the accuracy."""
        super().__init__(num_epochs, 0)
        self._total, self._first, self._start = num_epochs, 0, time.monotonic()
        self._measured_on = measured_on

    def go_on(self, num_done: int) -> None:
        """Says that a training goes on after the epochs that were done before."""
        self._first = num_done
        self._say(f"Going on after epoch {num_done}.")
        self._show("", num_done)

    def epoch(self, epoch: int, valid_accuracy: float) -> None:
        """Prints the outcome of one epoch."""
        each = (time.monotonic() - self._start) / max(epoch - self._first, 1)
        left = duration(each * (self._total - epoch))
        line = f"epoch {epoch}/{self._total}  {self._measured_on} {100 * valid_accuracy:6.2f} %"
        self._say(f"{line}  about {left} left")
        self._show(line, epoch)


def print_outcome(
    incumbent_curve: Sequence[float | None], rows: Mapping[str, str], metric: Metric = "accuracy"
) -> None:
    """Prints the incumbent's curve and a table of the result."""
    what = "validation accuracy" if metric == "accuracy" else "score"
    print_curve(f"Incumbent by evaluation, {what}", incumbent_curve, rows, metric)


def print_curve(
    title: str,
    curve: Sequence[float | None],
    rows: Mapping[str, str],
    metric: Metric = "accuracy",
) -> None:
    """Prints a curve, accuracies in percent, and a table of names and values."""
    values = [shown_value(value, metric).removesuffix(" %") for value in curve]
    shown = "  ".join(f"{i + 1}:{value}" for i, value in enumerate(values))
    unit = " in %" if metric == "accuracy" else ""
    console.print(f"\n{title}{unit}:\n{shown}\n" if curve else "")
    width = max(map(len, rows))
    for name, value in rows.items():  # whole lines: a folded genotype could not be copied
        console.print(f"{name:<{width}}  {value}")
