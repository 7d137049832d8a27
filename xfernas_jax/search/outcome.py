"""What a search found, and how its incumbent came along."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from xfernas_jax.history.record import Evaluation
from xfernas_jax.space.base import Genotype


@dataclasses.dataclass(frozen=True)
class Finalist:
    """A finalist after its confirming trainings.

    Attributes:
      genotype: the architecture.
      key: of it.
      values: of its trainings; none where all failed.
      mean: of these; None where all failed.
    """

    genotype: Genotype
    key: str
    values: tuple[float, ...]
    mean: float | None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
      genotype: of the best mean over the confirming trainings.
      value: that mean, in the task's metric.
      test: the metric on the test part, of one of its trainings or of their mean, read once; None
        where there is none.
      costs: of what was tested that are recorded, parameters included, by name: of all members.
      member_values: of the trainings whose mean is handed over; none where it is a single one.
      test_logits: `[N, classes]` of the test part; None where nobody can tell.
      front: evaluations of the search that no other one beats in both, with a Pareto goal.
      finalists: with the values of all their trainings; none where nothing was confirmed.
      incumbent_curve: the best admitted value after each evaluation, see `Goal.incumbents`.
      num_evaluations: of the search, confirmations left out.
      num_confirmations: trainings of the finalists.
      seconds: of all trainings together.
      epochs_trained: of the search, confirmations left out.
      epochs_saved: that stopped evaluations did not train.
      variables_name: under which the tested variables are kept; empty without a keeper.
    """

    genotype: Genotype
    value: float
    test: float | None
    incumbent_curve: tuple[float | None, ...]
    num_evaluations: int
    num_confirmations: int
    seconds: float
    finalists: tuple[Finalist, ...] = ()
    epochs_trained: int = 0
    epochs_saved: int = 0
    variables_name: str = ""
    costs: Mapping[str, float] = dataclasses.field(default_factory=dict)
    front: tuple[Evaluation, ...] = ()
    member_values: tuple[float, ...] = ()
    test_logits: np.ndarray | None = dataclasses.field(default=None, compare=False)


def selection_bias(values: Sequence[Sequence[float]]) -> float | None:
    """Returns by how much the best mean of several finalists is too good, at most.

    The best of k means is chosen for its luck too. Were all k networks equally good, it would lie
    above their common truth by s / sqrt(n) times the expected largest of k standard normals, with s
    the spread of one network's trainings and n their number; where one network is better, by less.

    Args:
      values: of each finalist, the values of its trainings.

    Returns:
      The bound, in the metric's own unit; None where no network has two trainings.

    Source: derived here; the expected maximum is integrated numerically.
    """
    groups = [np.asarray(group) for group in values if len(group)]
    degrees = sum(len(group) - 1 for group in groups)
    if not degrees:
        return None
    variance = sum(float(np.square(group - group.mean()).sum()) for group in groups) / degrees
    each = float(np.mean([len(group) for group in groups]))
    return math.sqrt(variance / each) * _expected_maximum(len(groups))


def _expected_maximum(count: int) -> float:
    """Returns the mean of the largest of `count` standard normals.

    That is the integral of 1 - F(x)^count - F(-x)^count over x > 0, with F their distribution.
    """
    x = np.linspace(0.0, 8.0, 4001)
    below = np.array([0.5 * math.erfc(-value / math.sqrt(2.0)) for value in x])
    return float(np.trapezoid(1.0 - below**count - (1.0 - below) ** count, x))
