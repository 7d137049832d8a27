"""What all surrogate-guided optimizers share: observations, batches, the first batch."""

import abc
import functools
from collections.abc import Sequence

import numpy as np

from xfernas_jax.history.record import Evaluation
from xfernas_jax.predictor.base import Posterior, Surrogate, TaskHistory
from xfernas_jax.search.base import NewBatch, Observations, Suggestion
from xfernas_jax.space.base import Genotype, Space

_NUM_SOURCE_CANDIDATES = 256  # source architectures, best by their sources, that may become starts
_NUM_PROBED = 256  # random architectures among which the probes of the first batch are drawn
_NUM_JOINT = 300  # candidates, best by the mean, over which score functions are drawn
_TOP_SHARE = 0.1  # share of the candidates that may be among these


class SurrogateSearch(abc.ABC):
    """Suggests what a surrogate of the target's score expects to be good.

    A subclass says where candidates come from. Given source histories it is the transfer twin of
    itself: the same optimizer with a surrogate that has sources.

    Without sources, or with sources that look unrelated even to one another, the first
    `num_initial` architectures are random. With others the first
    batch comes from what the sources say: three fifths are the best candidates, the others
    probes, one random architecture from the upper and one from the lower half in turn, so that
    the target's first observations also tell whether the sources are right about it. Later, three
    fifths of a batch are the best by the mean, the rest the best of one drawn score function
    each (Thompson sampling).

    What failed stands in the fit as the worst; see `Observations.history`.
    """

    def __init__(
        self,
        space: Space,
        surrogate: Surrogate,
        sources: Sequence[TaskHistory] = (),
        num_initial: int = 10,
        num_starts: int = 10,
        task_numbers: tuple[float, ...] = (),
    ) -> None:
        """Builds an optimizer without observations.

        Args:
          space: of the search.
          surrogate: has learned `sources`, or nothing.
          sources: the same histories; their architectures serve as starts.
          num_initial: random architectures before the first fit, without sources.
          num_starts: best target and best source architectures to start from, each.
          task_numbers: of the target; see `TaskHistory`.
        """
        tokens = [source.tokens for source in sources if len(source.tokens)]
        self._source_tokens = np.unique(np.concatenate(tokens), axis=0) if tokens else None
        self._space = space
        self._surrogate = surrogate
        self._observations = Observations(space)
        self._num_initial = num_initial
        self._num_starts = num_starts
        self._task_numbers = task_numbers

    @abc.abstractmethod
    def candidates(
        self, rng: np.random.Generator, posterior: Posterior, target: TaskHistory
    ) -> np.ndarray:
        """Returns distinct tokens `[M, L]` to choose from; observed ones are dropped later."""

    def suggest(
        self, rng: np.random.Generator, count: int, pending: Sequence[Genotype] = ()
    ) -> Sequence[Suggestion]:
        batch = self._observations.batch(pending)
        target = self._observations.history(self._task_numbers)
        known = len(self._observations.evaluations) + len(pending)
        is_start = known < self._num_initial or not len(target.scores)
        if is_start and not self._surrogate.trusts_sources:
            return batch.fill(rng, count)
        posterior = self._surrogate.condition(target)
        pool = self._unseen(self.candidates(rng, posterior, target), target)
        mean = posterior.mean(pool)
        if len(target.scores):
            self._add_best_and_draws(rng, batch, count, posterior, pool, mean)
        else:
            self._add_best_and_probes(rng, batch, count, posterior, pool, mean)
        return batch.fill(rng, count)

    def observe(self, evaluations: Sequence[Evaluation]) -> None:
        self._observations.add(evaluations)

    def _unseen(self, pool: np.ndarray, target: TaskHistory) -> np.ndarray:
        seen = {row.tobytes() for row in target.tokens}
        return pool[[row.tobytes() not in seen for row in pool]]

    def _add_best_and_probes(
        self,
        rng: np.random.Generator,
        batch: NewBatch,
        count: int,
        posterior: Posterior,
        pool: np.ndarray,
        mean: np.ndarray,
    ) -> None:
        """Fills the first batch with sources."""
        num_probes = round(0.4 * count) if count > 1 else 0
        _add_in_order(batch, count - num_probes, pool, mean, np.argsort(-mean, kind="stable"))
        probes = self._space.sample_tokens(rng, _NUM_PROBED)
        scores = posterior.mean(probes)
        halves = np.array_split(np.argsort(-scores, kind="stable"), 2)
        for i in range(num_probes):
            order = rng.permutation(halves[i % 2])
            _add_in_order(batch, len(batch) + 1, probes, scores, order)

    def _add_best_and_draws(
        self,
        rng: np.random.Generator,
        batch: NewBatch,
        count: int,
        posterior: Posterior,
        pool: np.ndarray,
        mean: np.ndarray,
    ) -> None:
        """Fills a later batch: the best by the mean, then the best of some drawn functions."""
        num_draws = round(0.4 * count)
        order = np.argsort(-mean, kind="stable")
        _add_in_order(batch, count - num_draws, pool, mean, order)
        size = min(max(round(_TOP_SHARE * len(pool)), 4 * count), _NUM_JOINT)
        top = order[:size]
        if num_draws and len(top):
            for scores in posterior.sample(rng, num_draws, pool[top]):
                drawn = top[np.argsort(-scores, kind="stable")]
                _add_in_order(batch, len(batch) + 1, pool, mean, drawn)

    def _starts(self, posterior: Posterior, target: TaskHistory) -> np.ndarray:
        """Returns the best architectures of the target and, by the posterior, of the sources."""
        best = np.argsort(-target.scores, kind="stable")[: self._num_starts]
        parts = [target.tokens[best]]
        if self._source_tokens is not None:
            tokens = self._promising_sources
            scores = posterior.mean(tokens)
            parts.append(tokens[np.argsort(-scores, kind="stable")[: self._num_starts]])
        return np.concatenate(parts)

    @functools.cached_property
    def _promising_sources(self) -> np.ndarray:
        """The source architectures that the sources like best; the others are not scored again."""
        assert self._source_tokens is not None
        empty = np.zeros((0, self._source_tokens.shape[1]), np.int32)
        posterior = self._surrogate.condition(
            TaskHistory("none", empty, np.zeros(0), self._task_numbers)
        )
        scores = posterior.mean(self._source_tokens)
        best = np.argsort(-scores, kind="stable")[:_NUM_SOURCE_CANDIDATES]
        return self._source_tokens[best]


def _add_in_order(
    batch: NewBatch, size: int, pool: np.ndarray, mean: np.ndarray, order: np.ndarray
) -> None:
    """Adds rows of the pool in this order until the batch has `size`."""
    for row in order:
        if len(batch) >= size:
            return
        batch.add_tokens(pool[row], float(mean[row]))
