"""How wide a finalist is trained at the end, by what was measured of this device."""

from collections.abc import Callable

from xfernas_jax.cli.scoring import Scoring
from xfernas_jax.evaluate.auto import most_work, widest, work
from xfernas_jax.history.goal import Goal
from xfernas_jax.space.base import Genotype, Space


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
