"""NAO and XferNAO: gradient ascent on a surrogate's latent, then decoding."""

import functools
from collections.abc import Sequence

import numpy as np

from xfernas_jax.history.record import Evaluation
from xfernas_jax.predictor.base import Posterior, Surrogate, TaskHistory
from xfernas_jax.search.base import NewBatch, Observations, Suggestion
from xfernas_jax.space.base import Genotype, Space

_NUM_SOURCE_CANDIDATES = 256  # source architectures, best by u, that may become starts
_NUM_PROBED = 256  # random architectures among which the probes of the first batch are drawn
_NUM_PICKABLE = 64  # new candidates, best by the mean, among which members may pick


class Nao:
    """Searches by latent ascent; given source histories it is XferNAO. See `SearchOptimizer`.

    Without sources the first `num_initial` architectures are random. With sources the first
    batch comes from u: the best that ascent finds, and probes, one random architecture from
    the upper and one from the lower half by u in turn, so that the target's first
    observations also tell whether u is right about it. Later batches ascend the target's
    score from its best and the sources' best architectures, twice; about three fifths of a
    batch are the best by the ensemble's mean, the rest the best by one member each (Thompson).

    A failed evaluation stands in the fit with the worst accuracy seen: a surrogate that never
    hears of failures would propose their neighbours again and again.

    Source: our reading of NAO (Luo et al. 2018) and XferNAS (Wistuba 2019).
    """

    def __init__(
        self,
        space: Space,
        surrogate: Surrogate,
        sources: Sequence[TaskHistory] = (),
        num_initial: int = 10,
        num_starts: int = 10,
    ) -> None:
        """Builds an optimizer without observations.

        Args:
          space: of the search.
          surrogate: has learned `sources`, or nothing for NAO.
          sources: the same histories; their architectures serve as starts.
          num_initial: random architectures before the first fit, without sources.
          num_starts: best target and best source architectures to ascend from, each.
        """
        tokens = [source.tokens for source in sources if len(source.tokens)]
        self._source_tokens = np.unique(np.concatenate(tokens), axis=0) if tokens else None
        self._surrogate = surrogate
        self._observations = Observations(space)
        self._num_initial = num_initial
        self._num_starts = num_starts

    def suggest(
        self, rng: np.random.Generator, count: int, pending: Sequence[Genotype] = ()
    ) -> Sequence[Suggestion]:
        batch = self._observations.batch(pending)
        target = self._target()
        if self._source_tokens is None:
            known = len(self._observations.evaluations) + len(pending)
            if known < self._num_initial or not len(target.scores):
                return batch.fill(rng, count)
            self._add_ascended(rng, batch, count, target)
        elif len(target.scores):
            self._add_ascended(rng, batch, count, target)
        else:
            self._add_first(rng, batch, count, target)
        return batch.fill(rng, count)

    def observe(self, evaluations: Sequence[Evaluation]) -> None:
        self._observations.add(evaluations)

    def _target(self) -> TaskHistory:
        """Returns the observations; none of them while all have failed."""
        space = self._observations.space
        complete = [e.valid_accuracy for e in self._observations.complete()]
        worst = min((a for a in complete if a is not None), default=0.0)
        evaluations = self._observations.evaluations if complete else []
        scores = [worst if e.valid_accuracy is None else e.valid_accuracy for e in evaluations]
        tokens = [space.encode(e.genotype) for e in evaluations]
        shape = (len(tokens), len(space.choices))
        return TaskHistory("target", np.reshape(tokens, shape).astype(np.int32), np.array(scores))

    def _add_first(
        self, rng: np.random.Generator, batch: NewBatch, count: int, target: TaskHistory
    ) -> None:
        """Adds the first batch with sources: the top by u, then the probes."""
        posterior = self._surrogate.condition(target)
        num_probes = round(0.4 * count) if count > 1 else 0
        pool, scores = self._candidates(rng, posterior, target)
        self._add_best(batch, count - num_probes, pool, scores.mean(0))
        space = self._observations.space
        probes = np.array([space.encode(space.sample(rng)) for _ in range(_NUM_PROBED)])
        probe_scores = posterior.predict(probes).mean(0)
        halves = np.array_split(np.argsort(-probe_scores, kind="stable"), 2)
        for i in range(num_probes):
            for row in rng.permutation(halves[i % 2]):
                if batch.add_tokens(probes[row], float(probe_scores[row])):
                    break

    def _add_ascended(
        self, rng: np.random.Generator, batch: NewBatch, count: int, target: TaskHistory
    ) -> None:
        """Adds a later batch: greedy picks, then one for each of some members."""
        posterior = self._surrogate.condition(target)
        pool, scores = self._candidates(rng, posterior, target)
        mean = scores.mean(0)
        num_thompson = round(0.4 * count)
        self._add_best(batch, count - num_thompson, pool, mean)
        pickable = np.argsort(-mean, kind="stable")[: _NUM_PICKABLE + count]
        members = np.resize(rng.permutation(len(scores)), num_thompson)
        for member in members:
            order = pickable[np.argsort(-scores[member, pickable], kind="stable")]
            self._add_best(batch, len(batch) + 1, pool[order], mean[order], ordered=True)

    def _add_best(
        self,
        batch: NewBatch,
        size: int,
        pool: np.ndarray,
        mean: np.ndarray,
        ordered: bool = False,
    ) -> None:
        """Adds rows of the pool, best first, until the batch has `size`."""
        order = np.arange(len(pool)) if ordered else np.argsort(-mean, kind="stable")
        for row in order:
            if len(batch) >= size:
                return
            batch.add_tokens(pool[row], float(mean[row]))

    def _candidates(
        self, rng: np.random.Generator, posterior: Posterior, target: TaskHistory
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ascends twice, the second time from the best of the first.

        Returns:
          Distinct tokens `[M, L]`, without the observed ones, and their scores `[E, M]`.
        """
        first = posterior.ascend(rng, self._starts(posterior, target))
        first = np.unique(first, axis=0)
        best = np.argsort(-posterior.predict(first).mean(0), kind="stable")
        again = posterior.ascend(rng, first[best[: 2 * self._num_starts]])
        pool = np.unique(np.concatenate([first, again]), axis=0)
        seen = {tuple(row) for row in target.tokens.tolist()}
        pool = pool[[tuple(row) not in seen for row in pool.tolist()]]
        return pool, posterior.predict(pool)

    def _starts(self, posterior: Posterior, target: TaskHistory) -> np.ndarray:
        best = np.argsort(-target.scores, kind="stable")[: self._num_starts]
        parts = [target.tokens[best]]
        if self._source_tokens is not None:
            tokens = self._promising_sources
            scores = posterior.predict(tokens).mean(0)
            parts.append(tokens[np.argsort(-scores, kind="stable")[: self._num_starts]])
        return np.concatenate(parts)

    @functools.cached_property
    def _promising_sources(self) -> np.ndarray:
        """The source architectures that u likes best; the others are not scored again."""
        assert self._source_tokens is not None
        empty = np.zeros((0, self._source_tokens.shape[1]), np.int32)
        posterior = self._surrogate.condition(TaskHistory("none", empty, np.zeros(0)))
        scores = posterior.predict(self._source_tokens).mean(0)
        best = np.argsort(-scores, kind="stable")[:_NUM_SOURCE_CANDIDATES]
        return self._source_tokens[best]
