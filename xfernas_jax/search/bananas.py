"""BANANAS and predictor-guided evolution: surrogates that score given candidates."""

import numpy as np

from xfernas_jax.search.surrogate_search import Known, SurrogateSearch

_MAX_SCORED = 30_000  # a space up to this size is scored as a whole
_NUM_RANDOM = 2_000
_NUM_PARENTS = 10


class Bananas(SurrogateSearch):
    """Scores the whole space where it is small, else random architectures and mutants of the best.

    Source: BANANAS (White et al. 2021), our reading: a predictor with uncertainty and Thompson
    sampling. Deviates: the surrogate is ours, and three fifths of a batch are the best by the mean.
    """

    def candidates(self, known: Known, rng: np.random.Generator) -> np.ndarray:
        everything = self._space.all_tokens(_MAX_SCORED)
        if everything is not None:
            return everything
        parents = self._starts(known)
        drawn = self._space.sample_tokens(rng, _NUM_RANDOM)
        return np.unique(np.concatenate([drawn, self._mutants(rng, parents)]), axis=0)


class PredictorEvolution(Bananas):
    """Evolution whose children are chosen by the surrogate: single mutations of the best.

    Parents are the best of the target and, by the surrogate, of the sources.
    """

    def candidates(self, known: Known, rng: np.random.Generator) -> np.ndarray:
        first = self._mutants(rng, self._starts(known))
        best = known.best(first, _NUM_PARENTS)
        return np.unique(np.concatenate([first, self._mutants(rng, best)]), axis=0)
