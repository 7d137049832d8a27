"""Kernels between architectures in the network's latent space; for NumPy and for JAX arrays."""

import dataclasses
from typing import Any

import numpy as np

NUM_KERNELS = 6


@dataclasses.dataclass(frozen=True, eq=False)
class Scales:
    """What makes the features of a fit comparable.

    Attributes:
      center: mean z `[P]` and mean hidden layers `[Q]`.
      square: mean square length of either after centring, `[2]`. The mean square distance
        between two random architectures is twice that.
    """

    center: tuple[Any, Any]
    square: Any


def measure_scales(features: tuple[np.ndarray, np.ndarray]) -> Scales:
    """Measures them on random architectures `[N, P]` and `[N, Q]`."""
    center = (features[0].mean(0), features[1].mean(0))
    square = [np.square(x - c).sum(1).mean() for x, c in zip(features, center, strict=True)]
    return Scales(center, np.maximum(np.array(square), 1e-12))


def kernel_matrices(
    first: tuple[Any, Any], second: tuple[Any, Any], scales: Scales, xp: Any = np
) -> Any:
    """Returns `[6, N, M]`: linear, squared exponential and exponential on z, then on hidden.

    Args:
      first: z `[N, P]` and hidden layers `[N, Q]`.
      second: `[M, P]` and `[M, Q]`.
      scales: of the features.
      xp: `numpy`, or `jax.numpy` under `jit`.
    """
    found = []
    parts = zip(first, second, scales.center, (scales.square[0], scales.square[1]), strict=True)
    for raw_x, raw_y, center, square in parts:
        x, y = raw_x - center[None], raw_y - center[None]
        inner = x @ y.T
        gap = xp.sum(x * x, 1)[:, None] + xp.sum(y * y, 1)[None] - 2.0 * inner
        gap = xp.maximum(gap, 0.0) / (2.0 * square)
        # The small term keeps the gradient finite where both are the same architecture.
        found += [
            inner / square,
            xp.exp(-gap / 0.5),
            xp.exp(-xp.sqrt(gap + 1e-6) / 0.7),
        ]
    return xp.stack(found)


def kernel_diagonals(features: tuple[np.ndarray, np.ndarray], scales: Scales) -> np.ndarray:
    """Returns `[6, N]`: the kernels of each architecture with itself."""
    found = []
    for raw, center, square in zip(features, scales.center, scales.square, strict=True):
        x = raw - center
        ones = np.ones(len(x))
        found += [np.square(x).sum(1) / square, ones, np.full(len(x), np.exp(-1e-3 / 0.7))]
    return np.stack(found)
