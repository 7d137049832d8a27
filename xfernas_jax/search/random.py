"""Random search: the baseline that every other optimizer has to beat."""

from collections.abc import Sequence

import numpy as np

from xfernas_jax.history.goal import Goal
from xfernas_jax.history.record import Evaluation
from xfernas_jax.search.base import Observations, Suggestion
from xfernas_jax.search.candidates import KnownCosts
from xfernas_jax.space.base import Genotype, Space


class RandomSearch:
    """Proposes random architectures that are new; see `SearchOptimizer`."""

    def __init__(
        self, space: Space, goal: Goal | None = None, known_costs: KnownCosts | None = None
    ) -> None:
        self._observations = Observations(space, goal, known_costs)

    def suggest(
        self, rng: np.random.Generator, count: int, pending: Sequence[Genotype] = ()
    ) -> Sequence[Suggestion]:
        return self._observations.batch(pending).fill(rng, count)

    def observe(self, evaluations: Sequence[Evaluation]) -> None:
        self._observations.add(evaluations)
