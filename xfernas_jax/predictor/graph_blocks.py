"""What a space reads off architectures, as blocks of features and kernels on them."""

import dataclasses
from collections.abc import Callable

import numpy as np

from xfernas_jax.predictor.kernels import (
    KERNELS_OF_A_BLOCK,
    Scales,
    kernel_matrices,
    measure_scales,
)

Blocks = tuple[np.ndarray, ...]


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


def _length(centred: np.ndarray) -> float:
    return float(max(np.sqrt(np.square(centred).sum(axis=1).mean()), 1e-9))
