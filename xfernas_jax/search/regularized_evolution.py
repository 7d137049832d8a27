"""Regularised evolution: tournaments in a population whose oldest member dies."""

from collections.abc import Sequence

import numpy as np

from xfernas_jax.errors import FlagError
from xfernas_jax.history.goal import cost_rows
from xfernas_jax.search.candidates import ranked, within
from xfernas_jax.search.seen import Seen, Suggestion
from xfernas_jax.space.base import Genotype


class RegularizedEvolution:
    """Mutates the best of a random sample of the youngest evaluations; see `Optimizer`.

    The population is the last `population_size` complete evaluations, so aging needs no state.
    Until it is full this is random search. A failed evaluation joins no population: it is no
    parent, and it does not push one out. With limits, a member that keeps them wins a tournament;
    with a Pareto goal each tournament has a ceiling of cost, see `Goal`.

    Source: Real et al. (2019), Algorithm 1. Deviates: a child that is already known is drawn
    again, and the children of one batch do not see each other's results.
    """

    def __init__(self, population_size: int = 20, tournament_size: int = 5) -> None:
        """Takes the sizes.

        Raises:
          FlagError: not 1 <= tournament_size <= population_size.
        """
        if not 1 <= tournament_size <= population_size:
            raise FlagError(
                f"Evolution needs 1 <= tournament_size <= population_size. Got "
                f"{tournament_size} and {population_size}."
            )
        self._population_size = population_size
        self._tournament_size = tournament_size

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> Sequence[Suggestion]:
        batch = seen.batch()
        if len(seen.complete) < self._population_size:
            return batch.fill(rng, count)
        population = seen.complete[-self._population_size :]
        goal, costs = seen.goal, cost_rows(seen.goal.costs, population)
        gains = np.array([seen.gain(e) for e in population])
        inside = within(goal, costs)
        # What exceeds a limit comes behind all that does not, whatever the unit of the gains.
        scores = np.where(inside, gains, gains - (np.ptp(gains) + 1.0))

        def child(rng: np.random.Generator) -> Genotype:
            rows = rng.choice(len(population), self._tournament_size, replace=False)
            winner = rows[ranked(goal, rng, scores[rows], costs[rows])[0]]
            return seen.space.mutate(population[winner].genotype, rng)

        return batch.fill(rng, count, child)
