"""Statistics of searches: bootstrap intervals, paired twins, Holm's correction.

The unit is (target, seed). Resampling draws seeds within each target, so every target keeps its
weight.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

MARGIN = 0.15
"""Share of the twin's mean by which ours may be worse and still count as no worse."""

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
      non_inferior: whether the whole interval lies below the margin: it is shown that ours is not
        worse by so much. No difference that was found is no such showing.
    """

    difference: float
    low: float
    high: float
    p_value: float
    non_inferior: bool


def compare(ours: np.ndarray, theirs: np.ndarray, margin: float = MARGIN) -> Comparison:
    """Compares `[targets, seeds]` of twins that share seeds.

    Args:
      ours: smaller is better.
      theirs: of the twin.
      margin: by how much ours may be worse, as a share of the twin's mean.
    """
    difference = ours - theirs
    means = resampled_means(difference, np.random.default_rng(0))
    low, high = (float(x) for x in np.quantile(means, [0.025, 0.975]))
    tail = min(np.mean(means <= 0.0), np.mean(means >= 0.0))
    p_value = float(min(max(2.0 * tail, 1.0 / _NUM_RESAMPLES), 1.0))
    is_shown = high < margin * abs(float(theirs.mean()))
    return Comparison(float(difference.mean()), low, high, p_value, is_shown)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Returns p values corrected for having looked at all of them (Holm 1979)."""
    corrected: dict[str, float] = {}
    running = 0.0
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        running = max(running, min((len(p_values) - rank) * p, 1.0))
        corrected[name] = running
    return {name: corrected[name] for name in p_values}


@dataclasses.dataclass(frozen=True)
class Paired:
    """The mean difference of few pairs.

    Attributes:
      difference: mean of ours - theirs.
      low: lower end of its 95 % interval by Student's t; NaN for a single pair.
      high: upper end.
      p_value: two-sided, of the exact test that flips signs; with n pairs at least 2 / 2**n.
    """

    difference: float
    low: float
    high: float
    p_value: float


def paired(ours: np.ndarray, theirs: np.ndarray) -> Paired:
    """Compares `[N]` pairs, N at most 20, where a bootstrap of so few would look too sure.

    Under the hypothesis of no difference every sign of every pair's difference is equally likely;
    the p value is the share of the 2**N sign patterns whose mean is at least as far from 0.
    """
    difference = np.asarray(ours, float) - np.asarray(theirs, float)
    count = len(difference)
    if not 1 <= count <= 20:
        raise ValueError(f"The exact test takes 1 to 20 pairs. Got {count}.")
    mean = float(difference.mean())
    signs = 1 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
    sums = np.abs(signs @ difference)
    p_value = float(np.mean(sums >= abs(difference.sum()) - 1e-12))
    half = student_half_width(difference)
    return Paired(mean, mean - half, mean + half, p_value)


@dataclasses.dataclass(frozen=True)
class Stratified:
    """The mean over targets of a few independent values of each.

    The targets are those that there are, not a sample of more. The interval is Student's t with the
    targets' variances pooled into its freedom; NaN where a target has one value.

    Attributes:
      mean: of the targets' means.
      low: lower end of its 95 % interval.
      high: upper end.
      visible: the smallest difference that such a measurement shows in 80 of 100 cases: the sum of
        the t quantiles .975 and .8 times the standard error.
    """

    mean: float
    low: float
    high: float
    visible: float


def stratified(values: np.ndarray) -> Stratified:
    """Returns the mean of `[targets, draws]` and what is known of it."""
    from scipy.special import stdtrit  # loads in a fraction of the time of scipy.stats

    num_targets, num_draws = values.shape
    mean, freedom = float(values.mean()), num_targets * (num_draws - 1)
    if freedom == 0:
        return Stratified(mean, math.nan, math.nan, math.nan)
    error = math.sqrt(float(values.var(axis=1, ddof=1).sum()) / num_draws) / num_targets
    half, power = (float(stdtrit(freedom, level)) * error for level in (0.975, 0.8))
    return Stratified(mean, mean - half, mean + half, half + power)


def student_half_width(values: np.ndarray) -> float:
    """Returns half of the 95 % interval of the mean of `[N]` by Student's t; NaN for one value."""
    from scipy.special import stdtrit  # loads in a fraction of the time of scipy.stats

    if len(values) < 2:
        return math.nan
    return float(stdtrit(len(values) - 1, 0.975)) * standard_error(values)


def standard_error(values: np.ndarray) -> float:
    """Returns the standard error of the mean of `[N]`; NaN for one value."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan


def pooled_deviation(groups: Sequence[Sequence[float]]) -> float:
    """Returns the standard deviation within groups; NaN where none has two values."""
    residuals = [np.asarray(group) - np.mean(group) for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in residuals)
    return math.sqrt(sum(float(r @ r) for r in residuals) / freedom) if freedom else math.nan
