"""Kernels between architectures in the network's latent space; for NumPy and for JAX arrays."""

import dataclasses
from typing import Any

import numpy as np

KERNELS_OF_A_BLOCK = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Scales:
    """What makes the features of a fit comparable.

    Attributes:
      center: the mean of each block of features, `[P]`.
      square: mean square length of each block after centring, `[blocks]`. The mean square distance
        between two random architectures is twice that.
    """

    center: tuple[Any, ...]
    square: Any


def measure_scales(features: tuple[np.ndarray, ...]) -> Scales:
    """Measures them on the blocks `[N, P]` of random architectures."""
    center = tuple(x.mean(0) for x in features)
    square = [np.square(x - c).sum(1).mean() for x, c in zip(features, center, strict=True)]
    return Scales(center, np.maximum(np.array(square), 1e-12))


def kernel_matrices(
    first: tuple[Any, ...], second: tuple[Any, ...], scales: Scales, xp: Any = np
) -> Any:
    """Returns `[3 blocks, N, M]`: linear, squared exponential and exponential on each block.

    Args:
      first: blocks of features `[N, P]`, such as z and the hidden layers.
      second: the same blocks `[M, P]` of other architectures.
      scales: of as many blocks.
      xp: `numpy`, or `jax.numpy` under `jit`.
    """
    found = []
    for block, (raw_x, raw_y, center) in enumerate(zip(first, second, scales.center, strict=True)):
        square = scales.square[block]
        x, y = raw_x - center[None], raw_y - center[None]
        inner = x @ y.T
        gap = xp.sum(x * x, 1)[:, None] + xp.sum(y * y, 1)[None] - 2.0 * inner
        gap = xp.maximum(gap, 0.0) / (2.0 * square)
        # The small term keeps the gradient finite where both are the same architecture.
        found += [inner / square, xp.exp(-gap / 0.5), xp.exp(-xp.sqrt(gap + 1e-6) / 0.7)]
    return xp.stack(found)
