"""What a search is after: a metric alone, within limits on cost, or a trade against one cost.

It says which recorded evaluations may win, to the search and to the report alike.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping

import numpy as np

from xfernas_jax.errors import FlagError
from xfernas_jax.history.metric import ACCURACY, Metric
from xfernas_jax.history.record import Evaluation


@dataclasses.dataclass(frozen=True)
class Goal:
    """Which evaluations may win, and by what.

    Attributes:
      limits: largest admitted value by cost name, as (name, value) pairs.
      pareto: cost that is traded against the metric; empty for the metric alone.
      metric: of the task.
    """

    limits: tuple[tuple[str, float], ...] = ()
    pareto: str = ""
    metric: Metric = ACCURACY

    def __post_init__(self) -> None:
        names = [name for name, _ in self.limits]
        if len(set(names)) != len(names):
            raise FlagError(f"A cost has one limit. Got {', '.join(names)}.")
        for name, limit in self.limits:
            if not math.isfinite(limit) or limit <= 0.0:
                raise FlagError(f"A limit on {name} is a positive number. Got {limit}.")

    @property
    def costs(self) -> tuple[str, ...]:
        """Names of all costs that matter, each once."""
        names = [name for name, _ in self.limits]
        return tuple(dict.fromkeys([*names, *([self.pareto] if self.pareto else [])]))

    def admits(self, costs: Mapping[str, float]) -> bool:
        """Tells whether costs that are known keep the limits; what is absent does."""
        return all(costs.get(name, 0.0) <= limit for name, limit in self.limits)

    def best(self, evaluations: Iterable[Evaluation], count: int) -> list[Evaluation]:
        """Returns up to `count` complete evaluations that may win, the best first.

        Those whose costs are all known and keep the limits; with `pareto`, those of them that no
        other one beats in both. The earlier comes first at a tie.
        """
        admitted = filter(self.may_win, evaluations)
        found = sorted(admitted, key=self._loss)
        if self.pareto:
            found = self._front(found)
        return found[:count]

    def may_win(self, evaluation: Evaluation) -> bool:
        """Tells whether an evaluation is complete and its costs are all known and admitted."""
        costs = evaluation.costs
        is_known = all(name in costs for name in self.costs)
        return evaluation.value is not None and is_known and self.admits(costs)

    def incumbent_after(self, best: float | None, evaluation: Evaluation) -> float | None:
        """Returns the best value that may win, after one more evaluation; None while none may."""
        value, gain = evaluation.value, self.metric.gain
        if value is None or not self.may_win(evaluation):
            return best
        return value if best is None or gain(value) > gain(best) else best

    def incumbents(self, evaluations: Iterable[Evaluation]) -> tuple[float | None, ...]:
        """Returns the best value that may win after each evaluation; None while none may."""
        curve: list[float | None] = []
        for evaluation in evaluations:
            curve.append(self.incumbent_after(curve[-1] if curve else None, evaluation))
        return tuple(curve)

    def _loss(self, evaluation: Evaluation) -> float:
        assert evaluation.value is not None
        return -self.metric.gain(evaluation.value)

    def _front(self, ranked: list[Evaluation]) -> list[Evaluation]:
        """Keeps of evaluations, the best first, those that cost less than all before."""
        front, lowest = [], math.inf
        for evaluation in sorted(ranked, key=lambda e: (self._loss(e), e.costs[self.pareto])):
            cost = evaluation.costs[self.pareto]
            if cost < lowest:
                front.append(evaluation)
                lowest = cost
        return front


def cost_rows(names: tuple[str, ...], evaluations: Iterable[Evaluation]) -> np.ndarray:
    """Returns costs `[N, C]`, NaN where unknown."""
    rows = [[e.costs.get(name, math.nan) for name in names] for e in evaluations]
    return np.array(rows, np.float64).reshape(len(rows), len(names))
