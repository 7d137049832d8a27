"""Progress on a terminal, and plain lines where there is none."""

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from xfernas_jax.history.record import Evaluation, Purpose
from xfernas_jax.space.base import Genotype

console = Console(highlight=False, soft_wrap=True)


class Progress:
    """Prints one line for each evaluation: score, incumbent, time left."""

    def __init__(self, total: int) -> None:
        """Starts the clock; `total` is the number of evaluations in all."""
        self._total, self._start, self._done = total, time.monotonic(), 0
        self._best = 0.0

    def started(self, genotype: Genotype, purpose: Purpose, number: int) -> None:
        """Does nothing: an evaluation is a matter of seconds here."""

    def finished(self, evaluation: Evaluation, number: int) -> None:
        """Prints the outcome of one evaluation."""
        self._done += 1
        score = evaluation.valid_accuracy
        if evaluation.purpose != "confirm" and score is not None:
            self._best = max(self._best, score)
        shown = f"failed: {evaluation.failure}" if score is None else f"valid {100 * score:6.2f} %"
        each = (time.monotonic() - self._start) / self._done
        left = max(self._total - number - 1, 0) * each
        label = f"{evaluation.purpose} {number + 1}"
        tail = ""
        if evaluation.purpose != "confirm":
            label += f"/{self._total}"
            tail = f"  best {100 * self._best:6.2f} %  about {left:.0f} s left"
        console.print(f"{label:>14}  {shown}  {evaluation.seconds:5.1f} s{tail}")


def print_outcome(incumbent_curve: Sequence[float], rows: Mapping[str, str]) -> None:
    """Prints the incumbent's curve and a table of the result."""
    curve = "  ".join(f"{i + 1}:{100 * v:.2f}" for i, v in enumerate(incumbent_curve))
    console.print(f"\nIncumbent by evaluation, validation accuracy in %:\n{curve}\n")
    table = Table(show_header=False)
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
