"""NAO and XferNAO: gradient ascent on a surrogate's latent, then decoding."""

import numpy as np

from xfernas_jax.search.surrogate_search import Known, SurrogateSearch


class Nao(SurrogateSearch):
    """Takes its candidates from latent ascent and decoding; given sources it is XferNAO.

    It ascends from the target's best and the sources' best architectures, and once more from the
    best of what that gave. In a space that is a table, decoded sequences that are no row are
    replaced by the nearest row that was not seen.

    Source: our reading of NAO (Luo et al. 2018) and XferNAS (Wistuba 2019).
    """

    def candidates(self, known: Known, rng: np.random.Generator) -> np.ndarray:
        first = self._decoded(known, known.posterior.ascend(rng, self._starts(known)))
        best = known.best(first, 2 * self._num_starts)
        again = self._decoded(known, known.posterior.ascend(rng, best))
        return np.unique(np.concatenate([first, again]), axis=0)

    def _decoded(self, known: Known, tokens: np.ndarray) -> np.ndarray:
        distinct = np.unique(tokens, axis=0)
        repaired = self._space.repair(distinct, without=known.target.tokens)
        return np.unique(self._space.canonical_tokens(repaired), axis=0)
