"""NAO and XferNAO: gradient ascent on a surrogate's latent, then decoding."""

import numpy as np

from xfernas_jax.predictor.base import Posterior, TaskHistory
from xfernas_jax.search.surrogate_search import SurrogateSearch


class Nao(SurrogateSearch):
    """Takes its candidates from latent ascent and decoding; given sources it is XferNAO.

    It ascends from the target's best and the sources' best architectures, and once more from the
    best of what that gave. In a space that is a table, decoded sequences that are no row are
    replaced by the nearest row that was not seen.

    Source: our reading of NAO (Luo et al. 2018) and XferNAS (Wistuba 2019).

    Attributes:
      num_decoded: distinct sequences decoded so far, for reports.
      num_kept: how many of them were architectures of the space as they were.
    """

    num_decoded = 0
    num_kept = 0

    def candidates(
        self, rng: np.random.Generator, posterior: Posterior, target: TaskHistory
    ) -> np.ndarray:
        first = self._decoded(posterior.ascend(rng, self._starts(posterior, target)), target)
        again = posterior.ascend(rng, self._best(posterior, first, 2 * self._num_starts))
        return np.unique(np.concatenate([first, self._decoded(again, target)]), axis=0)

    def _decoded(self, tokens: np.ndarray, target: TaskHistory) -> np.ndarray:
        distinct = np.unique(tokens, axis=0)
        repaired = self._space.repair(distinct, without=target.tokens)
        self.num_decoded += len(distinct)
        self.num_kept += int((repaired == distinct).all(1).sum())
        return np.unique(repaired, axis=0)
