"""The `cube` surrogate: Gaussian processes over the unit cube, for spaces with numbers.

Each source is a process of its own, which learns how much each parameter matters to it. Their
means are the source scores of a Bayesian head as in `predictor.head`, whose own kernels begin with
what mattered to the sources. A network over tokens would have to learn that neighbours are alike.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr

from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.head import HeadFeatures, MixturePosterior, Prior
from xfernas_jax.predictor.hypotheses import NONE, consensus_weights, draw_hypotheses
from xfernas_jax.predictor.relatedness import rank_correlation, similarity
from xfernas_jax.predictor.relevance import (
    expected_log_weights,
    fit_relevance,
    matern,
    square_distances,
)
from xfernas_jax.predictor.scaling import clipped_spread, rank_to_normal, standardize_clipped
from xfernas_jax.space.grid import GridSpace

_NUM_KERNELS = 4
_NUM_WEIGHED = 24  # hypotheses of most weight by which improvement is expected
_MAX_NONE = 0.6  # prior weight of "no transfer" above which a search starts as without sources
_NUM_REFERENCE = 512
_MAX_FITTED = 200  # rows of a source by which its relevances are found
_MAX_ROWS = 400  # rows of a source that its process has
_MAX_OBSERVED = 256


class _Source:
    """The process of one source, after its rows."""

    def __init__(self, space: GridSpace, source: TaskHistory) -> None:
        """Fits it; a parameter that the source never varied is taken not to matter to it."""
        self._columns = space.columns
        coordinates = space.coordinates(source.tokens)
        scores = rank_to_normal(source.scores).astype(np.float64)
        order = np.lexsort((*source.tokens.T, source.scores))
        few = order[_evenly(len(order), _MAX_FITTED)]
        expected = expected_log_weights(len(space.parameters))
        found = fit_relevance(coordinates[few], self._columns, scores[few], expected)
        varied = [len(np.unique(column)) > 1 for column in source.tokens.T]
        self.log_weights = np.where(varied, found.log_weights, -np.inf)
        rows = order[_evenly(len(order), _MAX_ROWS)]
        self.tokens, self.scores = source.tokens[rows], scores[rows]
        self._rows = self._scaled(coordinates[rows])
        kernel = matern(square_distances(self._rows, self._rows))
        kernel += (found.noise + 1e-8) * np.eye(len(rows))
        self._alpha = cho_solve(cho_factor(kernel, lower=True), self.scores)

    def mean(self, coordinates: np.ndarray) -> np.ndarray:
        """Returns `[N]` in standard normal quantiles of the source.

        In single precision, as most of a search's time is spent here.
        """
        scaled = self._scaled(coordinates).astype(np.float32)
        kernel = matern(square_distances(scaled, self._rows.astype(np.float32)))
        return kernel.astype(np.float64) @ self._alpha

    def _scaled(self, coordinates: np.ndarray) -> np.ndarray:
        return coordinates * np.exp(0.5 * self.log_weights)[self._columns]


@dataclasses.dataclass(frozen=True, eq=False)
class _CubePrior(Prior):
    """What the processes of the sources give, and kernels on the cube."""

    space: GridSpace
    sources: tuple[_Source, ...]
    log_weights: np.ndarray  # [P] of the target

    def features(self, tokens: np.ndarray) -> HeadFeatures:
        """Returns the means of the sources, and coordinates in units of two lengths."""
        coordinates = self.space.coordinates(tokens)
        scores = np.stack([s.mean(coordinates) for s in self.sources], 1) if self.sources else None
        scores = np.zeros((len(tokens), 0)) if scores is None else scores
        plain = expected_log_weights(len(self.log_weights))
        blocks = [
            coordinates * np.exp(0.5 * w)[self.space.columns] for w in (self.log_weights, plain)
        ]
        return HeadFeatures(scores, tuple(blocks))

    def kernels(self, first: HeadFeatures, second: HeadFeatures) -> np.ndarray:
        """Returns Matérn kernels of three lengths on the weighted cube, and one on the plain."""
        own, plain = map(square_distances, first.blocks, second.blocks)
        return np.stack([matern(own / 4.0), matern(own), matern(own * 4.0), matern(plain)])


class CubePosterior(MixturePosterior):
    """The head over the cube after the target's observations; see `Posterior`."""

    def improvement(self, tokens: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """Returns `[N]`: by how much each is expected to be better than the best observed.

        It is the mean over the hypotheses of most weight; the best is that of their own mean.

        Args:
          tokens: `[N, L]`.
          margin: what does not count of an improvement, in standard deviations of the scores.
        """
        features, own = self._prior.features(tokens), self._seen
        cross = self._prior.parts(features, own)
        diagonal = self._diagonal(features)
        between = self._prior.parts(own, own)
        chosen = np.argsort(-self._weights, kind="stable")[:_NUM_WEIGHED]
        total = np.zeros(len(tokens))
        for which in chosen.tolist():
            only = self._only(which)
            mean = self._mean(features, cross[-_NUM_KERNELS:], only)
            best = self._mean(own, between[-_NUM_KERNELS:], only).max()
            variance = self._process.variance(which, cross, diagonal)
            total += self._weights[which] * _expected_gain(mean - best - margin, np.sqrt(variance))
        return total

    def _diagonal(self, features: HeadFeatures) -> np.ndarray:
        """Returns `[3 + K, N]` of the parts: what each architecture has with itself."""
        scores, count = features.scores, len(features.scores)
        universal = np.square(scores @ self._prior.consensus)
        ones = np.ones((_NUM_KERNELS, count))
        return np.stack([np.ones(count), universal, np.square(scores).sum(1), *ones])

    def ascend(self, rng: np.random.Generator, starts: np.ndarray) -> np.ndarray:
        """Climbs the mean by random steps that become shorter; see `Posterior.ascend`."""
        assert isinstance(self._prior, _CubePrior)
        best, found = starts, [starts]
        for width in (0.2, 0.1, 0.05, 0.02):
            tried = self._prior.space.nearby(rng, np.repeat(best, 20, axis=0), width)
            scores = self.mean(tried).reshape(len(best), 20)
            found.append(tried)
            best = tried.reshape(len(best), 20, -1)[np.arange(len(best)), scores.argmax(1)]
        return np.concatenate(found)


class CubeSurrogate:
    """See the module, and `Surrogate`."""

    def __init__(self, space: GridSpace, sources: Sequence[TaskHistory]) -> None:
        """Prepares the data; nothing is fitted yet. Neither order nor names matter."""
        self._space = space
        self._histories = tuple(source for source in sources if len(source.scores))

    @property
    def trusts_sources(self) -> bool:
        """Whether "no transfer" has at most .6 of the prior weight; see `Surrogate`."""
        prior = self._prior
        return bool(prior.weights[prior.hypotheses.group == NONE].sum() <= _MAX_NONE)

    def condition(self, target: TaskHistory) -> CubePosterior:
        """Fits the head to the target's observations; see `Surrogate`."""
        order = np.lexsort((*target.tokens.T, target.scores))
        scores = standardize_clipped(target.scores[order]).astype(np.float64)
        kept = _best_and_evenly(len(order), _MAX_OBSERVED)
        tokens, scores = target.tokens[order][kept], scores[kept]
        prior = self._prior
        consensus = prior.consensus * similarity(target, self._histories)
        consensus = consensus / max(np.abs(consensus).sum(), 1e-12)
        coordinates, columns = self._space.coordinates(tokens), self._space.columns
        found = fit_relevance(coordinates, columns, scores, prior.log_weights)
        assert target.noise is not None
        noise = target.noise[order][kept] / (clipped_spread(target.scores) or 1.0) ** 2
        changed = {"consensus": consensus, "log_weights": found.log_weights}
        return CubePosterior(dataclasses.replace(prior, **changed), tokens, scores, None, noise)

    @functools.cached_property
    def _prior(self) -> _CubePrior:
        space, sources = self._space, [_Source(self._space, h) for h in self._histories]
        hypotheses = draw_hypotheses(_NUM_KERNELS, bool(sources))
        rng = np.random.default_rng(0)
        reference = space.coordinates(space.sample_tokens(rng, _NUM_REFERENCE))
        means = [source.mean(reference) for source in sources]
        scores = np.stack(means, axis=1) if means else np.zeros((_NUM_REFERENCE, 0))
        return _CubePrior(
            hypotheses,
            hypotheses.prior(self._relatedness(sources)),
            consensus_weights(scores),
            space,
            tuple(sources),
            _shared(expected_log_weights(len(space.parameters)), sources),
        )

    def _relatedness(self, sources: Sequence[_Source]) -> float:
        """As `relatedness.relatedness`, by the processes here."""
        if len(sources) < 2:
            return 0.5
        found = []
        for source in sources:
            coordinates = self._space.coordinates(source.tokens)
            others = [other.mean(coordinates) for other in sources if other is not source]
            found.append(abs(rank_correlation(np.mean(others, axis=0), source.scores)))
        return float(np.mean(found))


def _expected_gain(gain: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Returns E max(0, N(gain, deviation²))."""
    z = gain / np.maximum(deviation, 1e-9)
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return np.maximum(gain * ndtr(z) + deviation * density, 0.0)


def _shared(expected: np.ndarray, sources: Sequence[_Source]) -> np.ndarray:
    """Returns `[P]` mean log weights of the sources that know of a parameter."""
    if not sources:
        return expected
    table = np.stack([source.log_weights for source in sources])
    known = np.isfinite(table)
    total = np.where(known, table, 0.0).sum(0) + expected  # expected counts as one source
    return total / (known.sum(0) + 1.0)


def _evenly(count: int, most: int) -> np.ndarray:
    """Returns which of `count` rows stay: all, or `most` evenly spaced ones."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(int)


def _best_and_evenly(count: int, most: int) -> np.ndarray:
    """Returns which of `count` rows in rising order of score stay: the best half, and others."""
    if count <= most:
        return np.arange(count)
    rest = _evenly(count - most // 2, most - most // 2)
    return np.concatenate([rest, np.arange(count - most // 2, count)])
