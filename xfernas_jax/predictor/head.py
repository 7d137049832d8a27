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

from xfernas_jax.errors import FlagError
from xfernas_jax.predictor import evidence
from xfernas_jax.predictor.ascent import ascend_function, latent_features
from xfernas_jax.predictor.base import ArchitectureNumbers, TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.costs import CostPredictor
from xfernas_jax.predictor.explain import NUM_REFERENCE, TaskRelations, relate
from xfernas_jax.predictor.hypotheses import NONE, Hypotheses, consensus_weights, draw_hypotheses
from xfernas_jax.predictor.joint import JointPosterior, JointSurrogate
from xfernas_jax.predictor.kernels import (
    KERNELS_OF_A_BLOCK,
    Scales,
    kernel_diagonals,
    kernel_matrices,
    measure_scales,
)
from xfernas_jax.predictor.padding import capacity, pad_rows
from xfernas_jax.predictor.relatedness import relatedness, similarity
from xfernas_jax.predictor.scaling import standardize_clipped
from xfernas_jax.space.base import Space

_NUM_REFERENCE = 512  # random architectures on which scales and consensus are measured
_NUM_LATENT = 2  # blocks of features that are functions of the latent: z and hidden layers
_MAX_NONE = 0.6  # prior weight of "no transfer" above which a search starts as without sources
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
    numbers: ArchitectureNumbers | None

    def features(self, tokens: np.ndarray) -> "_Features":
        """Returns what the head works on: two blocks of the network, and one of given numbers."""
        found = self.posterior.features(tokens)
        blocks = [found.z, found.hidden]
        if self.numbers is not None:
            blocks.append(self.numbers(tokens))
        scores, *blocks = (np.asarray(x, np.float64) for x in (found.scores, *blocks))
        return _Features(scores, tuple(blocks))


@dataclasses.dataclass(frozen=True, eq=False)
class _Features:
    """Architectures as the head sees them: source scores `[N, J]` and blocks `[N, P]`."""

    scores: np.ndarray
    blocks: tuple[np.ndarray, ...]


class HeadSurrogate:
    """See the module, and `Surrogate`."""

    def __init__(
        self,
        space: Space,
        sources: Sequence[TaskHistory],
        config: PredictorConfig,
        numbers: ArchitectureNumbers | None = None,
    ) -> None:
        """Prepares the data; nothing is fitted yet.

        Args:
          space: see `JointSurrogate`, for errors too.
          sources: see there.
          config: see there.
          numbers: of architectures, used by the head beside what the network has learned. An
            ascent in the latent space does not see them. They are asked for at every round, for
            every candidate; a function that takes long should remember.
        """
        self._joint = JointSurrogate(space, sources, config)
        self._numbers = numbers

    @property
    def trusts_sources(self) -> bool:
        """Whether "no transfer" has at most .6 of the prior weight; see `Surrogate`."""
        hypotheses, prior = self._hypotheses
        return bool(prior[hypotheses.group == NONE].sum() <= _MAX_NONE)

    @functools.cached_property
    def _hypotheses(self) -> tuple[Hypotheses, np.ndarray]:
        num_blocks = _NUM_LATENT + (self._numbers is not None)
        histories = self._joint.sources
        hypotheses = draw_hypotheses(KERNELS_OF_A_BLOCK * num_blocks, bool(histories))
        return hypotheses, hypotheses.prior(relatedness(histories))

    def condition(self, target: TaskHistory) -> "HeadPosterior":
        """Fits the head to the target's observations; see `Surrogate`."""
        self._joint.check(target)
        order = np.lexsort((*target.tokens.T, target.scores))
        scores = standardize_clipped(target.scores[order])
        kept = _thin(len(order))
        consensus = self._sources.consensus * similarity(target, self._joint.sources)
        consensus = consensus / max(np.abs(consensus).sum(), 1e-12)
        sources = dataclasses.replace(self._sources, consensus=consensus)
        costs = self._joint.cost_predictor(target)
        return HeadPosterior(sources, target.tokens[order][kept], scores[kept], costs)

    def relations(self, target: TaskHistory) -> TaskRelations | None:
        """Returns how the tasks relate; see `ExplainingSurrogate`."""
        if not self._joint.sources:
            return None
        posterior, tokens = self.condition(target), self._joint.unlabelled[:NUM_REFERENCE]
        return relate(
            target.name,
            [source.name for source in self._joint.sources],
            posterior.mean(tokens),
            self._joint.source_posterior.features(tokens).scores,
            posterior.source_coefficients(),
            posterior.no_transfer_probability,
        )

    @functools.cached_property
    def _sources(self) -> _Sources:
        posterior = self._joint.source_posterior
        reference_tokens = self._joint.unlabelled[:_NUM_REFERENCE]
        reference = posterior.features(reference_tokens)
        blocks = [reference.z, reference.hidden]
        numbers = None
        if self._numbers is not None:
            numbers, block = _standardized(self._numbers, reference_tokens)
            blocks.append(block)
        return _Sources(
            posterior,
            *self._hypotheses,
            consensus_weights(reference.scores),
            measure_scales(tuple(blocks)),
            numbers,
        )


def _standardized(
    numbers: ArchitectureNumbers, reference: np.ndarray
) -> tuple[ArchitectureNumbers, np.ndarray]:
    """Returns the same numbers in units of their spread over references, and those of these."""
    raw = _checked(numbers, reference)
    mean, scale = raw.mean(0), np.maximum(raw.std(0), 1e-12)
    return lambda tokens: (_checked(numbers, tokens) - mean) / scale, (raw - mean) / scale


def _checked(numbers: ArchitectureNumbers, tokens: np.ndarray) -> np.ndarray:
    """Returns `[N, F]`, or says what is wrong with the user's function."""
    found = np.asarray(numbers(tokens), np.float64)
    if found.ndim != 2 or len(found) != len(tokens) or not np.isfinite(found).all():
        raise FlagError(
            "Architecture numbers are a function from tokens [N, L] to finite numbers [N, F] "
            f"(--architecture_numbers). For {tokens.shape} it gave {found.shape}, "
            f"{np.size(found) - int(np.isfinite(found).sum())} of them not finite."
        )
    return found


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

    def __init__(
        self,
        sources: _Sources,
        tokens: np.ndarray,
        targets: np.ndarray,
        cost_predictor: CostPredictor | None = None,
    ) -> None:
        """Fits all hypotheses.

        Args:
          sources: see there.
          tokens: `[N, L]` observed; N may be 0.
          targets: `[N]` standardised scores.
          cost_predictor: None where there are no costs.
        """
        self._sources, self._cost_predictor = sources, cost_predictor
        self._seen = sources.features(tokens)
        seen = self._seen.blocks
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

    def source_coefficients(self) -> np.ndarray:
        """Returns `[J]` coefficients of the sources' scores in the mean."""
        consensus = self._sources.consensus
        return evidence.coefficients(self._fit, self._fit.weights, consensus, self._data)[1]

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

    def costs(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N, C]`; see `Posterior.costs`."""
        if self._cost_predictor is None:
            return np.zeros((len(tokens), 0))
        return self._cost_predictor.predict(tokens)

    def sample(self, rng: np.random.Generator, count: int, tokens: np.ndarray) -> np.ndarray:
        """Draws jointly over `tokens` under hypotheses drawn by weight; see `Posterior.sample`."""
        features = self._sources.features(tokens)
        cross = self._cross(features)
        kernels = kernel_matrices(features.blocks, features.blocks, self._sources.scales)
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
        count = len(self._data.targets)
        rows = capacity(count, _MIN_ROWS)
        scales = self._sources.scales
        on_kernels = on_kernels[:, : KERNELS_OF_A_BLOCK * _NUM_LATENT]
        function = _LinearScore(
            on_scores,
            np.pad(on_kernels, ((0, 0), (0, 0), (0, rows - count))),
            tuple(
                pad_rows(x.astype(np.float32), rows, 0.0) for x in self._seen.blocks[:_NUM_LATENT]
            ),
            jax.tree.map(np.float32, scales.center[:_NUM_LATENT]),
            np.float32(scales.square[:_NUM_LATENT]),
        )
        return np.asarray(_ascend_head(network, *args, function, padded, key))

    def _objectives(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Returns coefficients `[O, T]` of the tasks' scores and `[O, K, N]` of the kernels."""
        is_source = self._sources.posterior.is_source > 0.0
        consensus = self._sources.consensus
        on_scores = np.zeros((_NUM_OBJECTIVES, len(is_source)), np.float32)
        count = len(self._data.targets)
        on_kernels = np.zeros((_NUM_OBJECTIVES, len(self._data.kernels), count), np.float32)
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

    def _chunks(self, tokens: np.ndarray) -> Iterator[_Features]:
        for start in range(0, len(tokens), _CHUNK):
            yield self._sources.features(tokens[start : start + _CHUNK])

    def _cross(self, features: _Features) -> np.ndarray:
        return kernel_matrices(features.blocks, self._seen.blocks, self._sources.scales)

    def _mean(self, features: _Features, cross: np.ndarray, weights: np.ndarray) -> np.ndarray:
        constant, on_scores, on_kernels = evidence.coefficients(
            self._fit, weights, self._sources.consensus, self._data
        )
        return constant + features.scores @ on_scores + np.einsum("kmn,kn->m", cross, on_kernels)

    def _spread(self, features: _Features, cross: np.ndarray) -> np.ndarray:
        universal = features.scores @ self._sources.consensus
        diagonals = kernel_diagonals(features.blocks, self._sources.scales)
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
    blocks: Any  # z and hidden layers, [N, P]
    center: Any  # of both, [P]
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
        kernels = kernel_matrices((z, hidden), function.blocks, scales, jnp)
        per = z.shape[0] // num_objectives
        scores = scores.reshape(num_objectives, per, -1)
        kernels = kernels.reshape(len(kernels), num_objectives, per, -1)
        return jnp.sum(scores * function.on_scores[:, None]) + jnp.sum(
            kernels * jnp.moveaxis(function.on_kernels, 0, 1)[:, :, None]
        )

    tiled = jnp.tile(starts, (num_objectives, 1))
    return ascend_function(network, params, score, tiled, num_objectives, key)
