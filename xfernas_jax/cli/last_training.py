"""What the last training has time for, by what was measured of this device."""

import math
from collections.abc import Callable

import numpy as np

from xfernas_jax.cli.scoring import Scoring
from xfernas_jax.evaluate.auto import most_work, promised, widest, work
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import Metric
from xfernas_jax.nn.costs import NetworkCosts
from xfernas_jax.search.seen import Outlook
from xfernas_jax.space.base import Genotype, Space


def outlook(scored: Scoring, space: Space) -> Outlook | None:
    """Returns what values of short trainings count for in this time; None for what they are.

    None without a time budget, and where a network's costs are not known without building it.

    Args:
      scored: what `scoring` decided.
      space: of the networks.
    """
    decided = scored.decided
    if decided is None or decided.budget is None:
        return None
    dataset, num_classes = decided.dataset, decided.dataset.task.num_classes
    assert num_classes is not None
    shape, network = dataset.input_shape, decided.final.network
    costs = NetworkCosts(space, network, num_classes, shape, ("flops", "activations"))
    if not costs.at_least(space.sample(np.random.default_rng(0))):
        return None
    num_images = len(dataset.train)
    room = decided.budget.epochs(decided.seconds_per_work, num_images)
    room = 2.0 ** (round(2.0 * math.log2(max(room, 1.0))) / 2.0)  # so that predictors are reused

    def promises(genotype: Genotype, value: float, metric: Metric) -> float:
        return promised(value, metric, room / work(costs.at_least(genotype)), num_images)

    return promises


def growing(
    space: Space, scored: Scoring, goal: Goal
) -> Callable[[Genotype, float], Genotype] | None:
    """Returns what widens a finalist, in so many seconds, as far as memory and limits allow too.

    None without a time budget, and where it is no gain or cannot be told: for a trade against cost,
    and under a limit on what has to be measured.

    Args:
      space: of the finalists.
      scored: what `scoring` decided.
      goal: of the search, with limits in the scale of its images.
    """
    known, decided = scored.known_costs, scored.decided
    if known is None or decided is None or decided.budget is None or goal.pareto:
        return None
    budget, num_images = decided.budget, len(decided.dataset.train)

    def grow(genotype: Genotype, seconds: float) -> Genotype:
        room = decided.shrunk * most_work(seconds, decided.seconds_per_work, num_images, budget)

        def fits(wider: Genotype) -> bool:
            costs = known(wider)
            is_known = all(name in costs for name in goal.costs)
            return is_known and goal.admits(costs) and work(costs) <= room

        return widest(space, genotype, fits)

    return grow
