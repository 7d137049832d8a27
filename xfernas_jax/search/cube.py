"""Searches a space with numbers: the most promising of what lies near the best, and of anything."""

from collections.abc import Sequence

import numpy as np

from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.cube import CubePosterior, CubeSurrogate
from xfernas_jax.search.seen import Seen, Suggestion
from xfernas_jax.search.surrogate_search import Known, SurrogateSearch
from xfernas_jax.space.grid import GridSpace

_NUM_RANDOM = 1_000
_NUM_NEAR = 25  # tried near each start, and once more near each of the best of these
_WIDEST, _NARROWEST = 0.3, 0.01  # steps of a number
_APART = 0.1  # by which suggestions that run side by side differ in some number


class CubeSearch(SurrogateSearch):
    """Suggests what is expected to improve most on the best, not what is best by the mean.

    On a line the best by the mean lies beside the best that was observed, and would be tried again
    and again.
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
        taken = [seen.space.encode(genotype) for genotype in seen.pending]
        while len(batch) < count:
            before = len(batch)
            pool = self._apart(pool, np.array(taken, np.int32).reshape(-1, pool.shape[1]))
            scores = self._scores(posterior, pool, len(target.scores), before, count, rng)
            for row in np.argsort(-scores, kind="stable"):
                if batch.add_tokens(pool[row]):
                    taken.append(tuple(pool[row].tolist()))
                    break
            if len(batch) == before:
                break
        return batch.fill(rng, count)

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

    def _scores(
        self,
        posterior: CubePosterior,
        pool: np.ndarray,
        num_observed: int,
        place: int,
        count: int,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Returns by what a place of the batch chooses."""
        is_last = count > 1 and place >= count - round(0.4 * count)
        if num_observed:
            return posterior.improvement(pool)
        return rng.permutation(len(pool)).astype(float) if is_last else posterior.mean(pool)

    def _apart(self, pool: np.ndarray, taken: np.ndarray) -> np.ndarray:
        """Leaves out what is almost what runs; all stays where nothing else is left."""
        if not len(taken):
            return pool
        first, second = self._grid.coordinates(pool), self._grid.coordinates(taken)
        gaps = np.abs(first[:, None] - second[None]).max(-1).min(1)
        return pool[gaps > _APART] if (gaps > _APART).any() else pool
