"""What a value measures: its name, unit, range, and which way is better."""

import dataclasses
import math

from xfernas_jax.errors import HistoryError

_LARGEST = 1e300  # that a record takes


@dataclasses.dataclass(frozen=True)
class Metric:
    """A measure of architectures; a task has one, and its evaluations hold values of it.

    Attributes:
      name: as flags and records name it.
      label: in words, for people.
      unit: "%" for fractions that are shown in percent; else what stands behind a value, or "".
      low: least possible value, or None.
      high: largest possible value, or None.
      maximize: whether larger is better.
    """

    name: str
    label: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    maximize: bool = True

    def __post_init__(self) -> None:
        if not self.name or not self.label:
            raise HistoryError(f"A metric has a name and a label. Got {self}.")

    def gain(self, value: float) -> float:
        """Returns the value, or its negative where smaller is better: larger gains are better."""
        return value if self.maximize else -value

    def value(self, gain: float) -> float:
        """Inverts `gain`."""
        return gain if self.maximize else -gain

    @property
    def worst(self) -> float | None:
        """The worst possible value; None where there is none."""
        return self.low if self.maximize else self.high

    def check(self, value: float) -> None:
        """Raises `HistoryError` for what is no value of this metric."""
        if not math.isfinite(value) or abs(value) > _LARGEST:
            raise HistoryError(f"A value is a finite number. Got {value!r}.")
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        if not low <= value <= high:
            raise HistoryError(
                f"A value of {self.label} lies in [{low:g}, {high:g}]. Got {value!r}."
            )

    def number(self, value: float | None) -> str:
        """Returns a value as it is shown, without its unit; `-` for None."""
        if value is None:
            return "-"
        return f"{100 * value:.2f}" if self.unit == "%" else f"{value:.6g}"

    def text(self, value: float | None) -> str:
        """Returns a value as it is shown, with its unit; `-` for None."""
        if value is None or not self.unit:
            return self.number(value)
        return f"{self.number(value)} {self.unit}"


ACCURACY = Metric("accuracy", "accuracy", "%", 0.0, 1.0)
SCORE = Metric("score", "score")
"""What a function of the user's gives: finite numbers of its own unit, larger is better."""
