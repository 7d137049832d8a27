"""Statistics of searches: bootstrap intervals, paired twins, Holm's correction.

The unit is (target, seed). Resampling draws seeds within each target, so every target keeps its
weight.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

_NUM_RESAMPLES = 10_000


def resampled_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns bootstrap means over all units.

    Args:
      values: `[targets, seeds]`.
      rng: consumed.
    """
    num_targets, num_seeds = values.shape
    total = np.zeros(_NUM_RESAMPLES)
    for row in values:
        total += row[rng.integers(num_seeds, size=(_NUM_RESAMPLES, num_seeds))].mean(1)
    return total / num_targets


def interval(values: np.ndarray) -> tuple[float, float]:
    """Returns the 95 % bootstrap interval of the mean of `[targets, seeds]`."""
    means = resampled_means(values, np.random.default_rng(0))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Ours against a twin; smaller values are better.

    Attributes:
      difference: mean of ours - theirs.
      low: lower end of its 95 % interval.
      high: upper end.
      p_value: two-sided, the smallest level at which the interval excludes 0; at least
        1 / resamples.
      not_worse: whether the interval does not lie wholly above 0 and the difference is at most a
        quarter of their mean.
    """

    difference: float
    low: float
    high: float
    p_value: float
    not_worse: bool


def compare(ours: np.ndarray, theirs: np.ndarray) -> Comparison:
    """Compares `[targets, seeds]` of twins that share seeds."""
    difference = ours - theirs
    means = resampled_means(difference, np.random.default_rng(0))
    low, high = (float(x) for x in np.quantile(means, [0.025, 0.975]))
    tail = min(np.mean(means <= 0.0), np.mean(means >= 0.0))
    p_value = float(min(max(2.0 * tail, 1.0 / _NUM_RESAMPLES), 1.0))
    mean = float(difference.mean())
    return Comparison(mean, low, high, p_value, low <= 0.0 and mean <= 0.25 * float(theirs.mean()))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Returns p values corrected for having looked at all of them (Holm 1979)."""
    corrected: dict[str, float] = {}
    running = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min((len(p_values) - rank) * p, 1.0))
        corrected[name] = running
    return {name: corrected[name] for name in p_values}
