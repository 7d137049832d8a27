"""Searches a space with numbers: the most promising of what lies near the best, and of anything."""

from collections.abc import Sequence

import numpy as np

from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.cube import CubeSurrogate
from xfernas_jax.search.seen import NewBatch, Seen, Suggestion
from xfernas_jax.search.surrogate_search import Known, SurrogateSearch
from xfernas_jax.space.grid import GridSpace

_NUM_RANDOM = 600
_NUM_NEAR = 15  # tried near each start, and once more near each of the best of these
_WIDEST, _NARROWEST = 0.3, 0.01  # steps of a number
_MARGINS = (0.2, 0.6)  # of the first and of the last places of a batch, in standard deviations
_APART = 0.1  # by which suggestions that run side by side differ in some number


class CubeSearch(SurrogateSearch):
    """Suggests what is expected to improve most on the best, not what is best by the mean.

    On a line the best by the mean lies beside the best that was observed, and would be tried again
    and again. An improvement has to exceed a margin, a larger one in the last two of five places:
    measured on FCNet, without it a search stays on the first plateau that it finds.
    """

    def __init__(
        self,
        space: GridSpace,
        sources: Sequence[TaskHistory] = (),
        num_initial: int = 10,
        num_starts: int = 10,
    ) -> None:
        """See `SurrogateSearch`."""
        surrogate = CubeSurrogate(space, sources)
        super().__init__(space, surrogate, sources, num_initial, num_starts)
        self._grid, self._cube = space, surrogate

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> Sequence[Suggestion]:
        batch, target = seen.batch(), seen.history(self._task_numbers)
        if self._is_start(seen, target):
            return batch.fill(rng, count)
        posterior = self._cube.condition(target)
        pool = self.candidates(Known(seen.goal, posterior, target), rng)
        pool = self._apart(pool, [seen.space.encode(genotype) for genotype in seen.pending])
        num_best = count - round(0.4 * count)
        if len(target.scores):
            self._add(batch, num_best, pool, posterior.improvement(pool, _MARGINS[0]))
            self._add(batch, count, pool, posterior.improvement(pool, _MARGINS[1]))
        else:
            self._add(batch, num_best, pool, posterior.mean(pool))
        return batch.fill(rng, count)

    def _add(self, batch: NewBatch, size: int, pool: np.ndarray, scores: np.ndarray) -> None:
        """Adds the best of the pool until the batch has `size`."""
        for row in np.argsort(-scores, kind="stable"):
            if len(batch) >= size:
                return
            batch.add_tokens(pool[row])

    def candidates(self, known: Known, rng: np.random.Generator) -> np.ndarray:
        starts = self._starts(known)
        first = [self._grid.sample_tokens(rng, _NUM_RANDOM), starts, self._near(rng, starts)]
        found = np.unique(np.concatenate(first), axis=0)
        best = known.best(found, 2 * self._num_starts)
        return np.unique(np.concatenate([found, self._near(rng, best)]), axis=0)

    def _near(self, rng: np.random.Generator, starts: np.ndarray) -> np.ndarray:
        parents = np.repeat(starts, _NUM_NEAR, axis=0)
        shares = rng.random(len(parents))
        return self._grid.nearby(rng, parents, _WIDEST * (_NARROWEST / _WIDEST) ** shares)

    def _apart(self, pool: np.ndarray, taken: Sequence[Sequence[int]]) -> np.ndarray:
        """Leaves out what is almost what runs; all stays where nothing else is left."""
        if not taken:
            return pool
        first = self._grid.coordinates(pool)
        second = self._grid.coordinates(np.array(taken, np.int32))
        is_apart = np.abs(first[:, None] - second[None]).max(-1).min(1) > _APART
        return pool[is_apart] if is_apart.any() else pool
