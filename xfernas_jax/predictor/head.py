"""The `head` surrogate: a network learns the sources once, a Bayesian head learns the target.

The head is refitted in closed form at each round, on the network's source scores and latent space.
"No transfer" and "the sources are wrong" are among its hypotheses, so bad sources cost little.
"""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.linalg import solve_triangular

from xfernas_jax.predictor import evidence
from xfernas_jax.predictor.ascent import ascend_function, latent_features
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.hypotheses import NONE, Hypotheses, consensus_weights, draw_hypotheses
from xfernas_jax.predictor.joint import Features, JointPosterior, JointSurrogate
from xfernas_jax.predictor.kernels import (
    NUM_KERNELS,
    Scales,
    kernel_diagonals,
    kernel_matrices,
    measure_scales,
)
from xfernas_jax.predictor.padding import capacity, pad_rows
from xfernas_jax.predictor.relatedness import relatedness
from xfernas_jax.predictor.scaling import standardize_clipped
from xfernas_jax.space.base import Space

_NUM_REFERENCE = 512  # random architectures on which scales and consensus are measured
_NUM_SPREAD = 8  # hypotheses whose variances make the spread
_NUM_OBJECTIVES = 4  # of an ascent: the mean, and the means of single hypotheses
_MIN_ROWS = 128
_MAX_OBSERVED = 256
_CHUNK = 8192


@dataclasses.dataclass(frozen=True, eq=False)
class _Sources:
    """What the sources' fit gives, once."""

    posterior: JointPosterior
    hypotheses: Hypotheses
    prior: np.ndarray  # [H]
    consensus: np.ndarray  # [J]
    scales: Scales


class HeadSurrogate:
    """See the module, and `Surrogate`."""

    def __init__(
        self,
        space: Space,
        sources: Sequence[TaskHistory],
        config: PredictorConfig,
    ) -> None:
        """Prepares the data; nothing is fitted yet. Arguments and errors of `JointSurrogate`."""
        self._joint = JointSurrogate(space, sources, config)
        self._histories = [source for source in sources if len(source.scores)]

    def condition(self, target: TaskHistory) -> "HeadPosterior":
        """Fits the head to the target's observations; see `Surrogate`."""
        self._joint.check(target)
        order = np.lexsort((*target.tokens.T, target.scores))
        scores = standardize_clipped(target.scores[order])
        kept = _thin(len(order))
        return HeadPosterior(self._sources, target.tokens[order][kept], scores[kept])

    @functools.cached_property
    def _sources(self) -> _Sources:
        posterior = self._joint.source_posterior
        reference = posterior.features(self._joint.unlabelled[:_NUM_REFERENCE])
        hypotheses = draw_hypotheses(NUM_KERNELS, bool(self._histories))
        return _Sources(
            posterior,
            hypotheses,
            hypotheses.prior(relatedness(self._histories)),
            consensus_weights(reference.scores),
            measure_scales((reference.z, reference.hidden)),
        )


def _thin(count: int) -> np.ndarray:
    """Returns which of `count` observations, in rising order of score, the head is fitted to.

    The fit is cubic in their number, so of more than 256 the best 128 stay and 128 evenly spaced
    ones of the rest: what matters late in a search is where the best differ.
    """
    if count <= _MAX_OBSERVED:
        return np.arange(count)
    half = _MAX_OBSERVED // 2
    rest = np.linspace(0, count - half - 1, half).round().astype(int)
    return np.concatenate([rest, np.arange(count - half, count)])


class HeadPosterior:
    """The head after the target's observations; see `Posterior`."""

    def __init__(self, sources: _Sources, tokens: np.ndarray, targets: np.ndarray) -> None:
        """Fits all hypotheses.

        Args:
          sources: see there.
          tokens: `[N, L]` observed; N may be 0.
          targets: `[N]` standardised scores.
        """
        self._sources = sources
        self._seen = self._features(tokens)
        seen = (self._seen.z, self._seen.hidden)
        self._data = evidence.Observed(
            self._seen.scores @ sources.consensus,
            self._seen.scores,
            kernel_matrices(seen, seen, sources.scales),
            np.asarray(targets, np.float64),
        )
        self._fit = evidence.fit(sources.hypotheses, sources.prior, self._data)

    @property
    def no_transfer_probability(self) -> float:
        """Posterior weight of the hypotheses under which the sources tell nothing."""
        return float(self._fit.weights[self._fit.hypotheses.group == NONE].sum())

    def mean(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N]`; see `Posterior.mean`."""
        parts = [
            self._mean(features, self._cross(features), self._fit.weights)
            for features in self._chunks(tokens)
        ]
        return np.concatenate([np.zeros(0), *parts])

    def spread(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N]`, under the hypotheses of the highest weight; see `Posterior.spread`."""
        parts = [self._spread(f, self._cross(f)) for f in self._chunks(tokens)]
        return np.concatenate([np.zeros(0), *parts])

    def sample(self, rng: np.random.Generator, count: int, tokens: np.ndarray) -> np.ndarray:
        """Draws jointly over `tokens` under hypotheses drawn by weight; see `Posterior.sample`."""
        features = self._features(tokens)
        cross = self._cross(features)
        both = (features.z, features.hidden)
        kernels = kernel_matrices(both, both, self._sources.scales)
        universal = features.scores @ self._sources.consensus
        rows = []
        for which in self._systematic(rng, count).tolist():
            one = np.zeros(len(self._fit.weights))
            one[which] = 1.0
            mean = self._mean(features, cross, one)
            across = evidence.cross_covariance(
                self._fit, which, universal, features.scores, cross, self._data
            )
            prior = evidence.joint_covariance(self._fit, which, universal, features.scores, kernels)
            white = solve_triangular(self._fit.factors[which], across.T, lower=True)
            values, vectors = np.linalg.eigh(prior - white.T @ white)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            rows.append(mean + root @ rng.standard_normal(len(mean)))
        return np.reshape(rows, (count, len(tokens)))

    def ascend(self, rng: np.random.Generator, starts: np.ndarray) -> np.ndarray:
        """Ascends the mean and the means of three hypotheses; see `Posterior.ascend`."""
        network = self._sources.posterior.network
        size = capacity(len(starts), 2 * network.config.num_starts)
        key = jax.random.key(int(rng.integers(2**31)))
        padded = np.resize(starts, (size, starts.shape[1])).astype(np.int32)
        on_scores, on_kernels = self._objectives(rng)
        args = (self._sources.posterior.params, self._sources.posterior.is_source)
        rows = capacity(len(self._seen.z), _MIN_ROWS)
        function = _LinearScore(
            on_scores,
            np.pad(on_kernels, ((0, 0), (0, 0), (0, rows - len(self._seen.z)))),
            pad_rows(self._seen.z.astype(np.float32), rows, 0.0),
            pad_rows(self._seen.hidden.astype(np.float32), rows, 0.0),
            jax.tree.map(np.float32, self._sources.scales.center),
            np.float32(self._sources.scales.square),
        )
        return np.asarray(_ascend_head(network, *args, function, padded, key))

    def _objectives(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Returns coefficients `[O, T]` of the tasks' scores and `[O, K, N]` of the kernels."""
        is_source = self._sources.posterior.is_source > 0.0
        consensus = self._sources.consensus
        on_scores = np.zeros((_NUM_OBJECTIVES, len(is_source)), np.float32)
        count = len(self._data.targets)
        on_kernels = np.zeros((_NUM_OBJECTIVES, NUM_KERNELS, count), np.float32)
        draws = self._systematic(rng, _NUM_OBJECTIVES - 1)
        for row in range(_NUM_OBJECTIVES):
            weights = self._fit.weights
            if row:
                weights = np.zeros(len(weights))
                weights[draws[row - 1]] = 1.0
            _, scores, kernels = evidence.coefficients(self._fit, weights, consensus, self._data)
            if row and not count and len(consensus):  # nothing observed: mixtures of sources
                scores = rng.dirichlet(np.ones(len(consensus)))
            on_scores[row, is_source], on_kernels[row] = scores, kernels
        return on_scores, on_kernels

    def _systematic(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws hypotheses by weight, evenly over the cumulative weights."""
        points = (np.arange(count) + rng.random()) / max(count, 1)
        found = np.searchsorted(np.cumsum(self._fit.weights), points)
        return rng.permutation(np.minimum(found, len(self._fit.weights) - 1))

    def _features(self, tokens: np.ndarray) -> Features:
        found = self._sources.posterior.features(tokens)
        return Features(*(np.asarray(x, np.float64) for x in (found.scores, found.z, found.hidden)))

    def _chunks(self, tokens: np.ndarray) -> Iterator[Features]:
        for start in range(0, len(tokens), _CHUNK):
            yield self._features(tokens[start : start + _CHUNK])

    def _cross(self, features: Features) -> np.ndarray:
        seen = (self._seen.z, self._seen.hidden)
        return kernel_matrices((features.z, features.hidden), seen, self._sources.scales)

    def _mean(self, features: Features, cross: np.ndarray, weights: np.ndarray) -> np.ndarray:
        constant, on_scores, on_kernels = evidence.coefficients(
            self._fit, weights, self._sources.consensus, self._data
        )
        return constant + features.scores @ on_scores + np.einsum("kmn,kn->m", cross, on_kernels)

    def _spread(self, features: Features, cross: np.ndarray) -> np.ndarray:
        universal = features.scores @ self._sources.consensus
        diagonals = kernel_diagonals((features.z, features.hidden), self._sources.scales)
        weights = self._fit.weights
        best = np.argsort(-weights, kind="stable")[:_NUM_SPREAD]
        total = np.zeros(len(universal))
        for which in best.tolist():
            across = evidence.cross_covariance(
                self._fit, which, universal, features.scores, cross, self._data
            )
            white = solve_triangular(self._fit.factors[which], across.T, lower=True)
            prior = evidence.prior_variance(self._fit, which, universal, features.scores, diagonals)
            total += weights[which] * np.maximum(prior - np.square(white).sum(0), 0.0)
        return np.sqrt(total / weights[best].sum())


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _LinearScore:
    """Functions of the latent: task scores and kernels to observed architectures, weighted."""

    on_scores: Any  # [O, T]
    on_kernels: Any  # [O, K, N], 0 at padding
    z: Any  # [N, P]
    hidden: Any  # [N, Q]
    center: Any  # [P] and [Q]
    square: Any  # [2]


@functools.partial(jax.jit, static_argnames="network")
def _ascend_head(
    network: Any,
    params: Any,
    is_source: Array,
    function: _LinearScore,
    starts: Array,
    key: Array,
) -> Array:
    num_objectives = function.on_scores.shape[0]

    def score(latent: Array) -> Array:
        """Sums each trajectory's own objective; latents are `[E, O R C, S, D]`, O slowest."""
        scores, z, hidden = latent_features(network, params, is_source, latent)
        scales = Scales(function.center, function.square)
        kernels = kernel_matrices((z, hidden), (function.z, function.hidden), scales, jnp)
        per = z.shape[0] // num_objectives
        scores = scores.reshape(num_objectives, per, -1)
        kernels = kernels.reshape(NUM_KERNELS, num_objectives, per, -1)
        return jnp.sum(scores * function.on_scores[:, None]) + jnp.sum(
            kernels * jnp.moveaxis(function.on_kernels, 0, 1)[:, :, None]
        )

    tiled = jnp.tile(starts, (num_objectives, 1))
    return ascend_function(network, params, score, tiled, num_objectives, key)
