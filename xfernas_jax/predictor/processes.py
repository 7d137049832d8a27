"""Source scores by Gaussian processes over what a space reads off architectures.

A space that knows the graph of its architectures (`Space.features`) says more in a few hundred rows
than a network learns from their tokens: each source is then a process of its own, in closed form,
with a mixture of kernels and noises that its own evidence weighs.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.gp import GaussianProcess, Settings
from xfernas_jax.predictor.graph_blocks import Blocks, GraphBlocks
from xfernas_jax.predictor.kernels import Scales
from xfernas_jax.predictor.own_scores import Distances
from xfernas_jax.predictor.padding import in_chunks
from xfernas_jax.predictor.relatedness import rank_correlation
from xfernas_jax.predictor.scaling import rank_to_normal

_NOISES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # variances, in units of the kernels'
_MAX_ROWS = 400  # of a source, that its process has
_NUM_MIXTURES = 8  # of all kernels, beside each kernel alone
_ONE_IN_TWENTY = 1.645  # standard deviations that noise exceeds so rarely
_SCALE = 0.7  # of relatedness: sources that serve each other perfectly show about .85 here


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """What the process has of one source: blocks, and `[N]` normal quantiles of its scores."""

    blocks: Blocks
    targets: np.ndarray


class SourceProcesses:
    """One process for each source.

    Where a source has measured the very architecture and its process has not seen it, a part of the
    distance from the process to that score is added; see `own_scores`.

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
        self.graph = graph
        kept = [_thinned(source) for source in sources]
        alone = [
            _Alone(graph, _Rows(graph.blocks(source.tokens[which]), _quantiles(source)[which]))
            for source, which in zip(sources, kept, strict=True)
        ]
        self.relatedness = _relatedness(alone)
        # In single precision, where most of a search's seconds go.
        scales = Scales(_single(graph.scales.center), graph.scales.square.astype(np.float32))
        self._single = dataclasses.replace(graph, scales=scales)
        self._fits = [
            (_single(each.rows.blocks), each.coefficients.astype(np.float32)) for each in alone
        ]
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
        single, columns = _single(blocks), [np.zeros((len(blocks[0]), 0))]
        for rows, coefficients in self._fits:
            kernels = self._single.kernels(single, rows)
            found = np.sum([k @ its for k, its in zip(kernels, coefficients, strict=True)], axis=0)
            columns.append(np.expand_dims(found, 1))
        return np.concatenate(columns, axis=1)


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
        self.coefficients = process.coefficients(weights / weights.sum())[1]
        best = int(np.argmax(evidence))
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
        return np.einsum("kmn,kn->m", kernels, self.coefficients)


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
    return float(min(_SCALE * np.sqrt(max(np.mean(np.square(found)) - noise, 0.0)), most))


def _single(arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return tuple(array.astype(np.float32) for array in arrays)


def _thinned(source: TaskHistory) -> np.ndarray:
    """Returns which rows a process has: evenly spaced ones of the scores' order."""
    order = np.lexsort((*source.tokens.T, source.scores))
    if len(order) <= _MAX_ROWS:
        return order
    return order[np.linspace(0, len(order) - 1, _MAX_ROWS).round().astype(int)]


def _quantiles(source: TaskHistory) -> np.ndarray:
    return rank_to_normal(source.scores).astype(np.float64)


def _settings(num_kernels: int) -> Settings:
    """Returns each kernel alone, and mixtures of all, under every noise."""
    drawn = np.random.default_rng(5).dirichlet(np.ones(num_kernels), _NUM_MIXTURES)
    mixtures = np.concatenate([np.eye(num_kernels), drawn])
    gains = np.repeat(mixtures, len(_NOISES), axis=0)
    return Settings(gains, np.tile(_NOISES, len(mixtures)), np.zeros(len(gains)))
