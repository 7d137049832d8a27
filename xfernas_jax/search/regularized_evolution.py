"""Regularised evolution: tournaments in a population whose oldest member dies."""

from collections.abc import Sequence

import numpy as np

from xfernas_jax.errors import FlagError
from xfernas_jax.history.goal import Goal, cost_rows
from xfernas_jax.history.record import Evaluation
from xfernas_jax.search.base import Observations, Suggestion
from xfernas_jax.search.candidates import KnownCosts, ranked, within
from xfernas_jax.space.base import Genotype, Space


class RegularizedEvolution:
    """Mutates the best of a random sample of the youngest evaluations; see `SearchOptimizer`.

    The population is the last `population_size` complete evaluations, so aging needs no state
    of its own. Until it is full this is random search. A failed evaluation joins no population:
    it is no parent, and it does not push one out. With limits, a member that keeps them wins a
    tournament; with a Pareto goal each tournament has a ceiling of cost, see `Goal`.

    Source: Real et al. (2019), Algorithm 1. Deviates: a child that is already known is drawn
    again, and the children of one batch do not see each other's results.
    """

    def __init__(
        self,
        space: Space,
        population_size: int = 20,
        tournament_size: int = 5,
        goal: Goal | None = None,
        known_costs: KnownCosts | None = None,
    ) -> None:
        """Builds an optimizer without observations.

        Raises:
          FlagError: not 1 <= tournament_size <= population_size.
        """
        if not 1 <= tournament_size <= population_size:
            raise FlagError(
                f"Evolution needs 1 <= tournament_size <= population_size. Got "
                f"{tournament_size} and {population_size}."
            )
        self._observations = Observations(space, goal, known_costs)
        self._population_size = population_size
        self._tournament_size = tournament_size

    def suggest(
        self, rng: np.random.Generator, count: int, pending: Sequence[Genotype] = ()
    ) -> Sequence[Suggestion]:
        complete = self._observations.complete()
        batch = self._observations.batch(pending)
        if len(complete) < self._population_size:
            return batch.fill(rng, count)
        population = complete[-self._population_size :]
        space, goal = self._observations.space, self._observations.goal
        scores = np.array([_accuracy(e) for e in population])
        costs = cost_rows(goal.costs, population)
        scores = scores - 2.0 * ~within(goal, costs)  # behind all that keep the limits

        def child(rng: np.random.Generator) -> Genotype:
            rows = rng.choice(len(population), self._tournament_size, replace=False)
            winner = rows[ranked(goal, rng, scores[rows], costs[rows])[0]]
            return space.mutate(population[winner].genotype, rng)

        return batch.fill(rng, count, child)

    def observe(self, evaluations: Sequence[Evaluation]) -> None:
        self._observations.add(evaluations)


def _accuracy(evaluation: Evaluation) -> float:
    return -1.0 if evaluation.valid_accuracy is None else evaluation.valid_accuracy
