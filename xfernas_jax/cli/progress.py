"""Progress: a bar on a terminal, and plain lines everywhere."""

import abc
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from xfernas_jax.cli.heartbeat import FIRST_SECONDS, Heartbeat
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import ACCURACY, Metric
from xfernas_jax.history.record import Evaluation, Job
from xfernas_jax.search.clock import Clock

_COUNTED = ("search", "collect")  # purposes of what the total counts
_NUMBERED = (*_COUNTED, "resume")  # purposes of a number out of that total

console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def duration(seconds: float) -> str:
    """Returns seconds in words: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def print_rows(rows: Sequence[Sequence[str]]) -> None:
    """Prints a header and rows: as a table on a terminal, else with tabs for other programs."""
    if not console.is_terminal:
        for row in rows:
            print("\t".join(row))
        return
    table = Table(*rows[0])
    for row in rows[1:]:
        table.add_row(*row)
    console.print(table)


class _Lines(abc.ABC):
    """Lines on the console, with a bar below them where it is a terminal.

    Elsewhere a line says now and then what runs, where for long there was none.
    """

    def __init__(self, total: int, done: int, silence: float = FIRST_SECONDS) -> None:
        self._bar = Bar(
            SpinnerColumn(),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, completed=min(done, total))
        self._heartbeat = Heartbeat(self._runs, console.print, silence)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """To be entered while there is progress."""
        with self._bar if console.is_terminal else self._heartbeat:
            yield

    @abc.abstractmethod
    def _runs(self) -> str:
        """Says in a line what runs, and for how long; empty for nothing."""

    def _say(self, line: str) -> None:
        self._heartbeat.rest()
        self._bar.console.print(line)

    def _show(self, description: str, completed: int | None = None) -> None:
        self._bar.update(self._task, description=description, completed=completed)


class EvaluationProgress(_Lines):
    """One line for each evaluation: value, incumbent, time left; a `Listener`.

    The bar names what runs, each with its epoch.
    """

    def __init__(
        self,
        total: int,
        seconds_done: Sequence[float] = (),
        num_workers: int = 1,
        goal: Goal | None = None,
        best: float | None = None,
        clock: Clock | None = None,
        name_of: Callable[[Job], str] = lambda _: "",
        num_after: int = 0,
        silence: float = FIRST_SECONDS,
    ) -> None:
        """Starts the bar.

        Args:
          total: evaluations in all.
          seconds_done: of each evaluation that was done before.
          num_workers: evaluations that run at once.
          goal: with the metric; what exceeds its limits is no incumbent, by default there are
            none.
          best: value of what was done before.
          clock: of a search within a time, which then says how much is left.
          name_of: says what an architecture is, where that is known.
          num_after: trainings that confirm, after those evaluations.
          silence: seconds without a line after which one says what runs.
        """
        super().__init__(total, len(seconds_done), silence)
        self._begun = dict[str, float]()  # by label: when, by the monotonic clock
        self._total, self._seconds = total, list(seconds_done)
        self._best, self._clock, self._name_of = best, clock, name_of
        self._goal = Goal() if goal is None else goal
        self._metric = self._goal.metric
        self._num_workers, self._running = num_workers, dict[str, str]()
        self._num_after = num_after
        if seconds_done:
            self._say(f"Going on after {len(seconds_done)} evaluations.")

    def started(self, job: Job) -> None:
        """Names the evaluation in the bar."""
        label = self._label(job)
        if job.purpose == "final":
            limit = "" if job.limit_seconds is None else f", at most {duration(job.limit_seconds)}"
            name = self._name_of(job)
            self._say(f"{label:>14}  the full training begins{limit}{name and f'  {name}'}")
        self._begun[label] = time.monotonic()
        self._running[label] = f"{label}  compiling"
        self._heartbeat.rest()
        self._show(f"{self._all_running()}{self._tail()}")

    def epoch(self, job: Job, epoch: int, value: float) -> None:
        """Shows the epoch in the bar."""
        label = self._label(job)
        shown = f"{self._metric.label} {self._metric.text(value)}"
        self._running[label] = f"{label}  epoch {epoch}: {shown}"
        self._show(self._all_running())

    def finished(self, evaluation: Evaluation) -> None:
        """Prints the outcome of one evaluation."""
        label, tail = self._label(evaluation.job), ""
        self._running.pop(label, None)
        self._begun.pop(label, None)
        shown = self._outcome(evaluation)
        if evaluation.purpose in _NUMBERED:
            if evaluation.purpose in _COUNTED:  # else it was counted when it stopped
                self._seconds.append(evaluation.seconds)
            self._best = self._goal.incumbent_after(self._best, evaluation)
            if evaluation.value is not None and not self._goal.may_win(evaluation):
                shown += "  over the limit"
            tail = self._tail()
        elif evaluation.purpose == "confirm":
            self._num_after = max(self._num_after - 1, 0)
            tail = self._tail()
        name = self._name_of(evaluation.job)
        self._say(f"{label:>14}  {shown}  {evaluation.seconds:5.1f} s{tail}{name and f'  {name}'}")
        self._show(self._all_running() or f"{label}{tail}", len(self._seconds))

    def _outcome(self, evaluation: Evaluation) -> str:
        """Says in words what came out."""
        if evaluation.status == "stopped":
            return f"stopped after epoch {len(evaluation.curve)}"
        if evaluation.value is None:
            return f"{evaluation.status}: {evaluation.result.failure}"
        return f"{self._metric.label} {self._metric.text(evaluation.value):>8}"

    def _label(self, job: Job) -> str:
        total = f"/{self._total}" if job.purpose in _NUMBERED else ""
        return f"{job.purpose} {job.number + 1}{total}"

    def _runs(self) -> str:
        now, lines = time.monotonic(), []
        for label, shown in list(self._running.items()):
            seconds = now - self._begun.get(label, now)
            lines.append(f"{' ' * max(0, 14 - len(label))}{shown}, {duration(seconds)} so far")
        return "\n".join(lines)

    def _all_running(self) -> str:
        return "   ".join(self._running.values())

    def _tail(self) -> str:
        if not self._seconds:
            return ""
        best = f"  best {self._metric.text(self._best):>8}"
        if self._clock is not None:
            return f"{best}  {duration(self._clock.left())} left in all"
        recent = self._seconds[-10:]
        count = max(self._total - len(self._seconds), 0) + self._num_after
        left = count * sum(recent) / len(recent)
        return f"{best}  about {duration(left / self._num_workers)} left"


class EpochProgress(_Lines):
    """One line for each epoch of a training."""

    def __init__(
        self, num_epochs: int, measured_on: str = "valid", metric: Metric = ACCURACY
    ) -> None:
        """Takes the number of epochs in all, what to call the images, and what is measured."""
        super().__init__(num_epochs, 0)
        self._total, self._first, self._start = num_epochs, 0, time.monotonic()
        self._measured_on, self._metric, self._last = measured_on, metric, 0

    def _runs(self) -> str:
        so_far = f"{duration(time.monotonic() - self._start)} so far"
        if self._last == self._first:
            return f"compiling, or in the first epoch, {so_far}"
        return f"in epoch {self._last + 1}/{self._total}, {so_far}"

    def go_on(self, num_done: int) -> None:
        """Says that a training goes on after the epochs that were done before."""
        self._first = self._last = num_done
        self._say(f"Going on after epoch {num_done}.")
        self._show("", num_done)

    def epoch(self, epoch: int, value: float) -> None:
        """Prints the outcome of one epoch."""
        self._last = epoch
        each = (time.monotonic() - self._start) / max(epoch - self._first, 1)
        left = duration(each * (self._total - epoch))
        what = f"{self._measured_on} {self._metric.label}"
        line = f"epoch {epoch}/{self._total}  {what} {self._metric.text(value):>8}"
        self._say(f"{line}  about {left} left")
        self._show(line, epoch)


def print_outcome(
    incumbent_curve: Sequence[float | None], rows: Mapping[str, str], metric: Metric = ACCURACY
) -> None:
    """Prints the incumbent's curve and a table of the result."""
    print_curve("Incumbent by evaluation", incumbent_curve, rows, metric)


def print_curve(
    title: str,
    curve: Sequence[float | None],
    rows: Mapping[str, str],
    metric: Metric = ACCURACY,
) -> None:
    """Prints a curve of a metric, and a table of names and values."""
    values = "  ".join(f"{i}:{metric.number(value)}" for i, value in enumerate(curve, start=1))
    unit = f" in {metric.unit}" if metric.unit else ""
    is_known = any(value is not None for value in curve)
    console.print(f"\n{title}, {metric.label}{unit}:\n{values}\n" if is_known else "")
    width = max(map(len, rows))
    for name, value in rows.items():  # whole lines: a folded genotype could not be copied
        console.print(f"{name:<{width}}  {value}")
