"""What a goal makes of candidates: which are looked at, and in what order."""

import math

import numpy as np

from xfernas_jax.history.goal import Goal

_NUM_CEILINGS = 8  # ceilings that make a choice of many


def ranked(
    goal: Goal, rng: np.random.Generator, scores: np.ndarray, costs: np.ndarray
) -> np.ndarray:
    """Returns the candidates from which one is taken, the best first.

    With `pareto` a ceiling is drawn, log-uniform over their costs, and only what lies below
    it is returned: the best under every ceiling is what a Pareto set consists of.

    Args:
      goal: of the search.
      rng: consumed with `pareto` only.
      scores: `[N]`, larger is better.
      costs: `[N, C]` in the order of `costs`; NaN, unknown, is under every ceiling.
    """
    order = np.argsort(-scores, kind="stable")
    if not goal.pareto or not len(order):
        return order
    column = _pareto_column(goal, costs)
    low, high = _range(column)
    ceiling = math.exp(rng.uniform(math.log(low), math.log(high)))
    return order[~(column[order] > max(ceiling, low))]


def choose(goal: Goal, scores: np.ndarray, costs: np.ndarray, count: int) -> np.ndarray:
    """Returns up to `count` rows worth a closer look: for `pareto`, under several ceilings.

    Args:
      goal: of the search.
      scores: see `ranked`.
      costs: see `ranked`.
      count: rows wanted.
    """
    order = np.argsort(-scores, kind="stable")
    inside = within(goal, costs)[order]
    order = np.concatenate([order[inside], order[~inside]])
    if not goal.pareto or len(order) <= count:
        return order[:count]
    column = _pareto_column(goal, costs)[order]
    ceilings = np.geomspace(*_range(column), _NUM_CEILINGS)[::-1]
    each = -(-count // _NUM_CEILINGS)
    chosen = [order[~(column > ceiling)][:each] for ceiling in ceilings]
    rows = np.array(list(dict.fromkeys(np.concatenate(chosen).tolist())), np.int64)
    rest = order[~np.isin(order, rows)]
    return np.concatenate([rows, rest])[:count]


def within(goal: Goal, costs: np.ndarray) -> np.ndarray:
    """Tells of each row `[N, C]` whether it keeps the limits; what is unknown does."""
    limits = dict(goal.limits)
    inside = np.ones(len(costs), bool)
    for name, column in zip(goal.costs, costs.T, strict=False):
        inside &= ~(column > limits.get(name, math.inf))
    return inside


def _pareto_column(goal: Goal, costs: np.ndarray) -> np.ndarray:
    return costs[:, goal.costs.index(goal.pareto)]


def _range(column: np.ndarray) -> tuple[float, float]:
    """Returns the lowest and highest known positive cost; 1, 1 where there is none."""
    known = column[column > 0.0]
    return (float(known.min()), float(known.max())) if len(known) else (1.0, 1.0)
