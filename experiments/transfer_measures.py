"""What searches of a table reached, and how those with sources compare with those without."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from experiments import statistics
from experiments.grid import Unit
from experiments.incumbents import best_rows, percentiles
from experiments.tabular_units import Setting
from xfernas_jax.evaluate.tabular import Table

CHECKPOINTS = (1, 5, 10, 20, 50, 100)
"""After so many evaluations searches are compared."""

MEASURES = ("percentile", "log2", "regret")
"""Percent of the table that is better; log2 of that plus one row, so that a doubling of the rank
counts the same everywhere; distance to the best, in units of that of the median."""

LOG_MARGIN = 0.1
"""By how much log2 may be worse and still count as no worse."""


@dataclasses.dataclass(frozen=True, eq=False)
class Reached:
    """What one optimizer reached on all targets.

    Attributes:
      optimizer: its name.
      targets: T of them.
      values: of each measure `[T, D, E]`: the mean over the searches of each of D draws of the
        sources, after 1 to E evaluations; less is better.
    """

    optimizer: str
    targets: tuple[str, ...]
    values: dict[str, np.ndarray]

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """Those that all searches came to."""
        length = self.values["percentile"].shape[2]
        return tuple(c for c in CHECKPOINTS if c <= length)

    def at(self, measure: str, evaluations: int) -> np.ndarray:
        """Returns `[T, D]`."""
        return self.values[measure][..., evaluations - 1]

    def evaluations_to_reach(self, percentile: float) -> int | None:
        """Returns after how many the mean is as good; None if it never is."""
        reached = np.flatnonzero(self.values["percentile"].mean((0, 1)) <= percentile)
        return int(reached[0]) + 1 if len(reached) else None


@dataclasses.dataclass(frozen=True)
class Against:
    """Ours less a rival after some evaluations, on all targets or one.

    Attributes:
      percentile: the difference.
      log2: likewise.
      margin: .15 of the rival's mean percentile.
    """

    percentile: statistics.Stratified
    log2: statistics.Stratified
    margin: float

    @property
    def no_worse(self) -> bool | None:
        """Whether it is shown that ours is not worse by a margin, in one of the two; None: too few.

        That no difference is found would be no such showing.
        """
        if np.isnan(self.percentile.high):
            return None
        return self.percentile.high < self.margin or self.log2.high < LOG_MARGIN


def reached(
    folder: pathlib.Path, optimizer: str, setting: Setting, table: Table, num_seeds: int
) -> Reached | None:
    """Reads the searches of one optimizer; None where one is missing.

    Args:
      folder: of their results.
      optimizer: its name.
      setting: that they share.
      table: they searched.
      num_seeds: of each target; a multiple of the searches for each draw.
    """
    found = []
    for target in setting.targets:
        units = [Unit(optimizer, target, seed) for seed in range(num_seeds)]
        if not all(unit.file(folder).exists() for unit in units):
            return None
        values = table.column(target, setting.split).values
        found.append([measured(values, np.array(unit.read(folder)["rows"])) for unit in units])
    length = min(len(curve["log2"]) for row in found for curve in row)
    shape = (len(found), num_seeds // setting.searches, setting.searches, length)
    curves = {
        name: np.array([[curve[name][:length] for curve in row] for row in found])
        for name in MEASURES
    }
    means = {name: curve.reshape(shape).mean(2) for name, curve in curves.items()}
    return Reached(optimizer, setting.targets, means)


def measured(values: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Returns each measure of the best so far.

    Args:
      values: `[N]` of the table; larger is better.
      rows: `[E]` that were evaluated, in order.
    """
    best = best_rows(values[rows], rows)
    percentile = percentiles(values)[best]
    width = values.max() - np.median(values)
    return {
        "percentile": percentile,
        "log2": np.log2(percentile + 100.0 / len(values)),
        "regret": (values.max() - values[best]) / (width if width > 0.0 else 1.0),
    }


def against(ours: Reached, rival: Reached, evaluations: int, target: str | None = None) -> Against:
    """Compares two that had the same targets, draws and searches."""
    if ours.targets != rival.targets:
        raise ValueError(f"Targets differ: {ours.targets} and {rival.targets}.")
    rows: Sequence[int] = range(len(ours.targets))
    if target is not None:
        rows = [ours.targets.index(target)]
    pairs = {
        name: (ours.at(name, evaluations)[rows], rival.at(name, evaluations)[rows])
        for name in ("percentile", "log2")
    }
    found = {name: statistics.stratified(mine - its) for name, (mine, its) in pairs.items()}
    margin = statistics.MARGIN * float(pairs["percentile"][1].mean())
    return Against(found["percentile"], found["log2"], margin)
