"""What a search is after: accuracy alone, within limits on cost, or a trade against one cost."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from xfernas_jax.errors import FlagError
from xfernas_jax.history.record import Evaluation
from xfernas_jax.space.base import Genotype

KnownCosts = Callable[[Genotype], Mapping[str, float]]
"""Costs of an architecture that are known before it is evaluated, such as its parameters."""

_NUM_CEILINGS = 8  # ceilings that make a choice of many


@dataclasses.dataclass(frozen=True)
class Goal:
    """Which evaluations may win, and by what.

    Attributes:
      limits: largest admitted value by cost name, as (name, value) pairs.
      pareto: cost that is traded against accuracy; empty for accuracy alone.
    """

    limits: tuple[tuple[str, float], ...] = ()
    pareto: str = ""

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
        other one beats in both. The earlier comes first at a tie of accuracy.
        """
        admitted = [e for e in evaluations if e.valid_accuracy is not None and self._keeps(e)]
        found = sorted(admitted, key=lambda e: -(e.valid_accuracy or 0.0))
        if self.pareto:
            found = self._front(found)
        return found[:count]

    def _keeps(self, evaluation: Evaluation) -> bool:
        costs = costs_of(evaluation)
        return all(name in costs for name in self.costs) and self.admits(costs)

    def _front(self, ranked: list[Evaluation]) -> list[Evaluation]:
        """Keeps of evaluations of falling accuracy those that cost less than all before."""
        front, lowest = [], math.inf
        ranked = sorted(
            ranked, key=lambda e: (-(e.valid_accuracy or 0.0), costs_of(e)[self.pareto])
        )
        for evaluation in ranked:
            cost = costs_of(evaluation)[self.pareto]
            if cost < lowest:
                front.append(evaluation)
                lowest = cost
        return front

    def order(self, rng: np.random.Generator, scores: np.ndarray, costs: np.ndarray) -> np.ndarray:
        """Returns the candidates from which one is taken, the best first.

        With `pareto` a ceiling is drawn, log-uniform over their costs, and only what lies below
        it is returned: the best under every ceiling is what a Pareto set consists of.

        Args:
          rng: consumed with `pareto` only.
          scores: `[N]`, larger is better.
          costs: `[N, C]` in the order of `costs`; NaN, unknown, is under every ceiling.
        """
        order = np.argsort(-scores, kind="stable")
        if not self.pareto or not len(order):
            return order
        column = self._pareto_column(costs)
        low, high = _range(column)
        ceiling = math.exp(rng.uniform(math.log(low), math.log(high)))
        return order[~(column[order] > max(ceiling, low))]

    def choose(self, scores: np.ndarray, costs: np.ndarray, count: int) -> np.ndarray:
        """Returns up to `count` rows worth a closer look: for `pareto`, under several ceilings.

        Args:
          scores: see `order`.
          costs: see `order`.
          count: rows wanted.
        """
        order = np.argsort(-scores, kind="stable")
        inside = self.within(costs)[order]
        order = np.concatenate([order[inside], order[~inside]])
        if not self.pareto or len(order) <= count:
            return order[:count]
        column = self._pareto_column(costs)[order]
        ceilings = np.geomspace(*_range(column), _NUM_CEILINGS)[::-1]
        each = -(-count // _NUM_CEILINGS)
        chosen = [order[~(column > ceiling)][:each] for ceiling in ceilings]
        rows = np.array(list(dict.fromkeys(np.concatenate(chosen).tolist())), np.int64)
        rest = order[~np.isin(order, rows)]
        return np.concatenate([rows, rest])[:count]

    def within(self, costs: np.ndarray) -> np.ndarray:
        """Tells of each row `[N, C]` whether it keeps the limits; what is unknown does."""
        limits = dict(self.limits)
        inside = np.ones(len(costs), bool)
        for name, column in zip(self.costs, costs.T, strict=False):
            inside &= ~(column > limits.get(name, math.inf))
        return inside

    def _pareto_column(self, costs: np.ndarray) -> np.ndarray:
        return costs[:, self.costs.index(self.pareto)]


def costs_of(evaluation: Evaluation) -> dict[str, float]:
    """Returns what is known of the costs of an evaluated architecture, by name."""
    costs = dict(evaluation.costs)
    if evaluation.num_params:
        costs["params"] = float(evaluation.num_params)
    return costs


def cost_rows(names: tuple[str, ...], evaluations: Iterable[Evaluation]) -> np.ndarray:
    """Returns costs `[N, C]`, NaN where unknown."""
    rows = [[costs_of(e).get(name, math.nan) for name in names] for e in evaluations]
    return np.array(rows, np.float64).reshape(len(rows), len(names))


def _range(column: np.ndarray) -> tuple[float, float]:
    """Returns the lowest and highest known positive cost; 1, 1 where there is none."""
    known = column[column > 0.0]
    return (float(known.min()), float(known.max())) if len(known) else (1.0, 1.0)
