"""Source scores by one Gaussian process over what a space reads off architectures.

A space that knows the graph of its architectures (`Space.features`) says more in a few hundred rows
than a network learns from their tokens. All sources are then one process in closed form, with a
mixture of kernels and noises that its own evidence weighs.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_solve, cholesky

from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.gp import GaussianProcess, Settings
from xfernas_jax.predictor.graph_blocks import Blocks, GraphBlocks
from xfernas_jax.predictor.kernels import Scales
from xfernas_jax.predictor.own_scores import Distances
from xfernas_jax.predictor.padding import in_chunks
from xfernas_jax.predictor.relatedness import rank_correlation
from xfernas_jax.predictor.scaling import rank_to_normal

_NOISES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # variances, in units of the kernels'
_MAX_ROWS = 1000  # of all sources together, that the process has
_NUM_MIXTURES = 8  # of all kernels, beside each kernel alone
_NUM_TOGETHER = 3  # mixtures under which the sources are fitted together
_SHARES = (0.0, 0.5, 0.8, 1.0)  # of what the sources tell of one another
_LARGEST = 0.98  # correlation of two sources
_ONE_IN_TWENTY = 1.645  # standard deviations that noise exceeds so rarely


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """What the process has of one source: blocks, and `[N]` normal quantiles of its scores."""

    blocks: Blocks
    targets: np.ndarray


class SourceProcesses:
    """The sources' scores y_j(x) = f_j(x) + noise, with cov(f_i(x), f_j(x')) = B_ij k(x, x').

    B says how far the sources tell of one another: what the process of one, fitted alone, predicts
    for the rows of the other, less what chance would give, over how well each predicts itself.
    Whether they are pooled by all of B, a part or not at all is left to the evidence. Where a
    source has measured the very architecture, a part of the distance from the process to its score
    is added; see `own_scores`.

    Source: the intrinsic model of coregionalisation (Bonilla et al. 2008, "Multi-task Gaussian
    Process Prediction"). Deviates: B is estimated from predictions, without gradients.

    Attributes:
      graph: of the architectures.
      relatedness: in [0, 1]; as `relatedness.relatedness`, from these processes, and less what
        noise exceeds in one case of twenty. A single source has at most half, as far as it predicts
        itself.
    """

    def __init__(self, graph: GraphBlocks, sources: Sequence[TaskHistory]) -> None:
        """Fits them.

        Args:
          graph: see there.
          sources: J histories, none of them empty.
        """
        self.graph, self._num_sources = graph, len(sources)
        most = max(_MAX_ROWS // max(len(sources), 1), 1)
        kept = [_thinned(source, most) for source in sources]
        rows = [
            _Rows(graph.blocks(source.tokens[which]), _quantiles(source)[which])
            for source, which in zip(sources, kept, strict=True)
        ]
        alone = [_Alone(graph, its) for its in rows]
        self.relatedness = _relatedness(alone)
        self._fits = _together(graph, alone)
        scales = Scales(_single(graph.scales.center), graph.scales.square.astype(np.float32))
        self._single = dataclasses.replace(graph, scales=scales)
        self._own = Distances(
            [
                (source, _quantiles(source) - self._smooth(source.tokens)[:, j], which)
                for j, (source, which) in enumerate(zip(sources, kept, strict=True))
            ]
        )

    def scores(self, tokens: np.ndarray, blocks: Blocks) -> np.ndarray:
        """Returns `[N, J]`: each architecture as each source would rank it, in normal quantiles.

        Args:
          tokens: `[N, L]`.
          blocks: of them.
        """
        return self._of_blocks(blocks) + self._own(tokens)

    def _smooth(self, tokens: np.ndarray) -> np.ndarray:
        return in_chunks(lambda part: self._of_blocks(self.graph.blocks(part)), tokens)

    def _of_blocks(self, blocks: Blocks) -> np.ndarray:
        if self._fits is None:
            return np.zeros((len(blocks[0]), self._num_sources))
        rows, coefficients = self._fits
        kernels = self._single.kernels(_single(blocks), rows)
        return np.sum([k @ its for k, its in zip(kernels, coefficients, strict=True)], axis=0)


class _Alone:
    """The process of one source."""

    def __init__(self, graph: GraphBlocks, rows: _Rows) -> None:
        self.rows, self._graph = rows, graph
        kernels, settings = graph.kernels(rows.blocks, rows.blocks), _settings(graph.num_kernels)
        count = len(rows.targets)
        process = GaussianProcess(settings, kernels, np.zeros(count), rows.targets)
        variances = np.maximum(process.squares / count, 1e-12)
        evidence = -0.5 * count * np.log(variances) - process.log_determinants
        weights = np.exp(evidence - evidence.max())
        self._coefficients = process.coefficients(weights / weights.sum())[1]
        best = int(np.argmax(evidence))
        shape = (-1, len(_NOISES))
        self.evidence, self.variances = evidence.reshape(shape), variances.reshape(shape)
        covariance = np.tensordot(settings.gains[best], kernels, axes=1)
        inverse = np.linalg.inv(covariance + settings.noise[best] * np.eye(count))
        # Of each row what all others say: the textbook formula for leaving one out.
        left_out = rows.targets - inverse @ rows.targets / np.diagonal(inverse)
        self.own = rank_correlation(left_out, rows.targets)

    @property
    def chance(self) -> float:
        """The mean square of a rank correlation of its rows with noise."""
        return 1.0 / max(len(self.rows.targets) - 1, 1)

    def predict(self, other: "_Alone") -> np.ndarray:
        """Returns what it says of the rows of another."""
        kernels = self._graph.kernels(other.rows.blocks, self.rows.blocks)
        return np.einsum("kmn,kn->m", kernels, self._coefficients)

    def tells(self, other: "_Alone") -> float:
        """Returns the rank correlation of that with its scores, less chance; of itself, by rest."""
        found = (
            self.own if other is self else rank_correlation(self.predict(other), other.rows.targets)
        )
        square = max(found**2 - other.chance, 0.0)
        return float(np.sign(found) * np.sqrt(square))


def _relatedness(alone: Sequence[_Alone]) -> float:
    """Returns the root of the mean square rank correlation, less what noise may reach."""
    if len(alone) == 1:
        found = [max(alone[0].own, 0.0)]
    else:
        found = [
            rank_correlation(
                np.mean([other.predict(each) for other in alone if other is not each], axis=0),
                each.rows.targets,
            )
            for each in alone
        ]
    if not found:
        return 0.0
    noise = np.mean([each.chance for each in alone])
    noise *= 1.0 + _ONE_IN_TWENTY * np.sqrt(2.0 / len(alone))
    most = 0.5 if len(alone) == 1 else 1.0
    return float(min(np.sqrt(max(np.mean(np.square(found)) - noise, 0.0)), most))


def _correlations(alone: Sequence[_Alone]) -> np.ndarray:
    """Returns `[J, J]` correlations of what the sources score, positive semidefinite.

    What i tells of j is worth the correlation times how well i is known times how much of j's
    scores is no noise; of both directions together that is what each tells of itself.
    """
    told = np.array([[one.tells(other) for other in alone] for one in alone])
    own, both = np.maximum(np.diagonal(told), 0.0), told * told.T
    worth = np.sqrt(np.outer(own, own))
    agree = (both > 0.0) & (worth > 0.0)
    found = np.sign(told) * np.sqrt(np.maximum(both, 0.0)) / np.where(agree, worth, 1.0)
    found = np.clip(np.where(agree, found, 0.0), -_LARGEST, _LARGEST)
    np.fill_diagonal(found, 1.0)
    values, vectors = np.linalg.eigh(found)
    found = (vectors * np.maximum(values, 0.0)) @ vectors.T
    lengths = np.sqrt(np.diagonal(found))
    return found / np.outer(lengths, lengths)


def _together(graph: GraphBlocks, every: Sequence[_Alone]) -> tuple[Blocks, np.ndarray] | None:
    """Returns the rows of all sources, and coefficients `[K, N, J]` of the kernels to them.

    A source whose scores are all equal says nothing; None where all are such.
    """
    which = [j for j, each in enumerate(every) if each.rows.targets.any()]
    if not which:
        return None
    alone = [every[j] for j in which]
    rows, place = [each.rows for each in alone], np.eye(len(every))[which]
    blocks = tuple(np.concatenate(parts) for parts in zip(*(r.blocks for r in rows), strict=True))
    targets = np.concatenate([r.targets for r in rows])
    source = np.repeat(np.arange(len(rows)), [len(r.targets) for r in rows])
    kernels, mixtures = graph.kernels(blocks, blocks), _mixtures(graph.num_kernels)
    evidence = np.sum([each.evidence.max(axis=1) for each in alone], axis=0)
    correlations = _correlations(alone)
    shares = _SHARES if len(rows) > 1 else _SHARES[:1]
    found, log_weights = [], []
    for best in np.argsort(-evidence, kind="stable")[:_NUM_TOGETHER].tolist():
        noises = [int(np.argmax(each.evidence[best])) for each in alone]
        variances = [each.variances[best, n] for each, n in zip(alone, noises, strict=True)]
        scale = np.sqrt(variances)
        noise = (np.square(scale) * np.array(_NOISES)[noises])[source]
        kernel = np.tensordot(mixtures[best], kernels, axes=1)
        for share in shares:
            pooled = (1.0 - share) * np.eye(len(rows)) + share * correlations
            pooled *= np.outer(scale, scale)
            factor = cholesky(kernel * pooled[np.ix_(source, source)] + np.diag(noise), True)
            alpha = cho_solve((factor, True), targets)
            log_weights.append(
                -0.5 * float(targets @ alpha) - float(np.log(np.diagonal(factor)).sum())
            )
            coefficients = alpha[:, None] * (pooled @ place)[source]
            found.append(mixtures[best][:, None, None] * coefficients)
    weights = np.exp(np.array(log_weights) - max(log_weights))
    coefficients = np.tensordot(weights / weights.sum(), np.array(found), axes=1)
    # In single precision, where most of a search's seconds go.
    return _single(blocks), coefficients.astype(np.float32)


def _single(arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return tuple(array.astype(np.float32) for array in arrays)


def _thinned(source: TaskHistory, most: int) -> np.ndarray:
    """Returns which rows are kept: evenly spaced ones of the scores' order."""
    order = np.lexsort((*source.tokens.T, source.scores))
    if len(order) <= most:
        return order
    return order[np.linspace(0, len(order) - 1, most).round().astype(int)]


def _quantiles(source: TaskHistory) -> np.ndarray:
    return rank_to_normal(source.scores).astype(np.float64)


def _mixtures(num_kernels: int) -> np.ndarray:
    """Returns shares `[M, K]` of the kernels: each alone, and all."""
    drawn = np.random.default_rng(5).dirichlet(np.ones(num_kernels), _NUM_MIXTURES)
    return np.concatenate([np.eye(num_kernels), drawn])


def _settings(num_kernels: int) -> Settings:
    """Returns every mixture under every noise, the noises of one together."""
    mixtures = _mixtures(num_kernels)
    gains = np.repeat(mixtures, len(_NOISES), axis=0)
    return Settings(gains, np.tile(_NOISES, len(mixtures)), np.zeros(len(gains)))
