"""Source scores by Gaussian processes over what a space reads off architectures.

A space that knows the graph of its architectures (`Space.features`) says more in a few hundred rows
than a network learns from their tokens: each source is then a process of its own, in closed form,
with a mixture of kernels and noises that its own evidence weighs.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.gp import GaussianProcess, Settings
from xfernas_jax.predictor.kernels import (
    KERNELS_OF_A_BLOCK,
    Scales,
    kernel_matrices,
    measure_scales,
)
from xfernas_jax.predictor.scaling import rank_to_normal

Blocks = tuple[np.ndarray, ...]
_NOISES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # variances, in units of the kernels'
_MAX_ROWS = 400  # of a source, that its process has
_NUM_MIXTURES = 8  # of all kernels, beside each kernel alone


@dataclasses.dataclass(frozen=True, eq=False)
class GraphBlocks:
    """The space's features as blocks in which every group counts the same.

    Attributes:
      features: of tokens; see `Space.features`.
      centers: of each block's groups, `[F]`.
      lengths: of each block's groups: the root mean square length over random architectures.
      scales: of the blocks.
    """

    features: Callable[[np.ndarray], tuple[tuple[np.ndarray, ...], ...]]
    centers: tuple[tuple[np.ndarray, ...], ...]
    lengths: tuple[tuple[float, ...], ...]
    scales: Scales

    @classmethod
    def measured(
        cls,
        features: Callable[[np.ndarray], tuple[tuple[np.ndarray, ...], ...]],
        reference: np.ndarray,
    ) -> "GraphBlocks | None":
        """Measures them on tokens `[N, L]` of random architectures; None where there are none."""
        found = features(reference)
        if not found:
            return None
        centers = tuple(tuple(group.mean(0) for group in block) for block in found)
        lengths = tuple(
            tuple(_length(group - center) for group, center in zip(block, its, strict=True))
            for block, its in zip(found, centers, strict=True)
        )
        plain = cls(features, centers, lengths, Scales((), np.zeros(0)))
        return dataclasses.replace(plain, scales=measure_scales(plain.blocks(reference)))

    def blocks(self, tokens: np.ndarray) -> Blocks:
        """Returns the blocks `[N, F]` of tokens `[N, L]`."""
        rows = zip(self.features(tokens), self.centers, self.lengths, strict=True)
        return tuple(
            np.concatenate(
                [(g - c) / length for g, c, length in zip(block, its, sizes, strict=True)], axis=1
            ).astype(np.float64)
            for block, its, sizes in rows
        )

    @property
    def num_kernels(self) -> int:
        """K of `kernels`."""
        return KERNELS_OF_A_BLOCK * len(self.centers)

    def kernels(self, first: Blocks, second: Blocks) -> np.ndarray:
        """Returns `[K, N, M]`."""
        return kernel_matrices(first, second, self.scales)


class SourceProcesses:
    """One process for each source.

    Attributes:
      graph: of the architectures.
    """

    def __init__(self, graph: GraphBlocks, sources: Sequence[TaskHistory]) -> None:
        """Fits them.

        Args:
          graph: see there.
          sources: J histories, none of them empty.
        """
        self.graph = graph
        self._fits = [_fit(graph, source) for source in sources]

    def scores(self, blocks: Blocks) -> np.ndarray:
        """Returns `[N, J]`: each architecture as each source would rank it, in normal quantiles."""
        columns = [
            np.einsum("kmn,kn->m", self.graph.kernels(blocks, rows), coefficients)
            for rows, coefficients in self._fits
        ]
        return np.stack(columns, axis=1) if columns else np.zeros((len(blocks[0]), 0))


def _length(centred: np.ndarray) -> float:
    return float(max(np.sqrt(np.square(centred).sum(axis=1).mean()), 1e-9))


def _fit(graph: GraphBlocks, source: TaskHistory) -> tuple[Blocks, np.ndarray]:
    """Returns the rows of a source's process, and its coefficients `[K, N]`.

    The variance of each setting is the one of most evidence.
    """
    order = np.lexsort((*source.tokens.T, source.scores))
    scores = rank_to_normal(source.scores).astype(np.float64)
    if len(order) > _MAX_ROWS:
        order = order[np.linspace(0, len(order) - 1, _MAX_ROWS).round().astype(int)]
    rows, targets = graph.blocks(source.tokens[order]), scores[order]
    settings, count = _settings(graph.num_kernels), len(order)
    process = GaussianProcess(settings, graph.kernels(rows, rows), np.zeros(count), targets)
    variances = np.maximum(process.squares / count, 1e-12)
    evidence = -0.5 * count * np.log(variances) - process.log_determinants
    weights = np.exp(evidence - evidence.max())
    return rows, process.coefficients(weights / weights.sum())[1]


def _settings(num_kernels: int) -> Settings:
    drawn = np.random.default_rng(5).dirichlet(np.ones(num_kernels), _NUM_MIXTURES)
    mixtures = np.concatenate([np.eye(num_kernels), drawn])
    gains = np.repeat(mixtures, len(_NOISES), axis=0)
    return Settings(gains, np.tile(_NOISES, len(mixtures)), np.zeros(len(gains)))
