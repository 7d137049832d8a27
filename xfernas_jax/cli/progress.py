"""Progress: a bar on a terminal, and plain lines everywhere."""

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from xfernas_jax.history.record import Evaluation, Purpose
from xfernas_jax.space.base import Genotype

console = Console(highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Returns seconds in words: `45 s`, `12 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


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
    """One line for each evaluation: score, incumbent, time left; a `Listener`."""

    def __init__(self, total: int, seconds_done: Sequence[float] = ()) -> None:
        """Takes the number of evaluations in all and the seconds of those done before."""
        super().__init__(total, len(seconds_done))
        self._total, self._seconds, self._best = total, list(seconds_done), 0.0
        self._label = ""
        if seconds_done:
            self._say(f"Going on after {len(seconds_done)} evaluations.")

    def started(self, genotype: Genotype, purpose: Purpose, number: int) -> None:
        """Names the evaluation in the bar."""
        self._label = f"{purpose} {number + 1}"
        if purpose != "confirm":
            self._label += f"/{self._total}"
        self._show(f"{self._label}  compiling{self._tail(number)}", None)

    def epoch(self, epoch: int, valid_accuracy: float) -> None:
        """Shows the epoch in the bar."""
        self._show(f"{self._label}  epoch {epoch}: valid {100 * valid_accuracy:.2f} %")

    def finished(self, evaluation: Evaluation, number: int) -> None:
        """Prints the outcome of one evaluation."""
        score = evaluation.valid_accuracy
        shown = f"failed: {evaluation.failure}" if score is None else f"valid {100 * score:6.2f} %"
        tail = ""
        if evaluation.purpose != "confirm":
            self._seconds.append(evaluation.seconds)
            self._best = max(self._best, score or 0.0)
            tail = self._tail(number + 1)
        self._say(f"{self._label:>14}  {shown}  {evaluation.seconds:5.1f} s{tail}")
        self._show(f"{self._label}{tail}", number + 1 if evaluation.purpose != "confirm" else None)

    def _tail(self, number: int) -> str:
        if not self._seconds:
            return ""
        recent = self._seconds[-10:]
        left = max(self._total - number, 0) * sum(recent) / len(recent)
        return f"  best {100 * self._best:6.2f} %  about {duration(left)} left"


class EpochProgress(_Lines):
    """One line for each epoch of a training."""

    def __init__(self, num_epochs: int, num_done: int = 0) -> None:
        """Takes the number of epochs in all and of those done before."""
        super().__init__(num_epochs, num_done)
        self._total, self._first, self._start = num_epochs, num_done, time.monotonic()
        if num_done:
            self._say(f"Going on after epoch {num_done}.")

    def epoch(self, epoch: int, valid_accuracy: float) -> None:
        """Prints the outcome of one epoch."""
        each = (time.monotonic() - self._start) / max(epoch - self._first, 1)
        left = duration(each * (self._total - epoch))
        line = f"epoch {epoch}/{self._total}  valid {100 * valid_accuracy:6.2f} %"
        self._say(f"{line}  about {left} left")
        self._show(line, epoch)


def print_outcome(incumbent_curve: Sequence[float], rows: Mapping[str, str]) -> None:
    """Prints the incumbent's curve and a table of the result."""
    print_curve("Incumbent by evaluation, validation accuracy", incumbent_curve, rows)


def print_curve(title: str, curve: Sequence[float], rows: Mapping[str, str]) -> None:
    """Prints a curve in percent and a table of names and values."""
    shown = "  ".join(f"{i + 1}:{100 * v:.2f}" for i, v in enumerate(curve))
    console.print(f"\n{title} in %:\n{shown}\n")
    width = max(map(len, rows))
    for name, value in rows.items():  # whole lines: a folded genotype could not be copied
        console.print(f"{name:<{width}}  {value}")
