"""Bringing images to a size, in whole numbers: the same to the last bit wherever it is computed.

The rule, first along the height and then along the width: where an image has more pixels than
wanted, a new pixel is the mean of what it covers, by area; where it has fewer, a new pixel lies on
the straight line between the two nearest old ones. The mean is rounded to 1/128 of a level after
the height and to a whole level after the width, halves up.

NumPy applies it to what a network is trained on, and the program of an exported network holds it
too (`xfernas_jax.export`), so whoever uses a network has nothing to repeat. Weights are whole
numbers; all sums are of whole numbers below 2**24, which float32 adds in any order without an
error, or below 2**31 in int32.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from xfernas_jax.errors import DatasetError

MOST_PIXELS = 32_000
"""Of a side, before and after: 255 * 2 * 32,000 < 2**24 and 2 * 32,000 * 32,000 < 2**31."""

FRACTION = 128
_CHUNK_VALUES = 2**22


def shrunk_shape(height: int, width: int, size: int | None) -> tuple[int, int]:
    """Returns height and width where the longer side is at most `size`, in the same proportions.

    The shorter side is rounded, at least 1; None changes nothing.
    """
    longer = max(height, width)
    if size is None or longer <= size:
        return height, width
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def shrink(images: np.ndarray, size: int | None) -> np.ndarray:
    """Shrinks images `[N, H, W, C]` uint8 to `shrunk_shape`."""
    return resize(images, *shrunk_shape(images.shape[1], images.shape[2], size))


def resize(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Brings images to a size.

    Args:
      images: `[N, H, W, C]` uint8.
      height: in pixels.
      width: in pixels.

    Returns:
      `[N, height, width, C]` uint8.

    Raises:
      DatasetError: a side is longer than `MOST_PIXELS`.
    """
    sides = (*images.shape[1:3], height, width)
    if sides[:2] == sides[2:]:
        return images
    if max(sides) > MOST_PIXELS:
        raise DatasetError(
            f"Images have at most {MOST_PIXELS:,} pixels a side. Got {max(sides):,}; cut or shrink "
            "them before."
        )
    rows = max(1, _CHUNK_VALUES // math.prod(images.shape[1:]))
    chunks = [images[start : start + rows] for start in range(0, len(images), rows)]
    return np.concatenate([resized(chunk, height, width, np, np.matmul) for chunk in chunks])


def resized(
    images: Any, height: int, width: int, xp: Any, matmul: Callable[[Any, Any], Any]
) -> Any:
    """Computes `resize` with any module that is like NumPy; sizes of `images` may be symbols.

    Args:
      images: `[N, H, W, C]` uint8, of `xp`.
      height: in pixels.
      width: in pixels.
      xp: `numpy` or `jax.numpy`.
      matmul: of `xp`, in full float32.

    Returns:
      `[N, height, width, C]` uint8.
    """
    count, old_height, old_width, channels = images.shape
    weights, total = _weights(old_height, height, xp)
    lines = images.reshape(count, old_height, old_width * channels).astype(xp.float32)
    sums = matmul(weights, lines).astype(xp.int32)
    levels = (sums * FRACTION + total // 2) // total
    levels = levels.reshape(count, height, old_width, channels)
    weights, total = _weights(old_width, width, xp)
    # Two products, of the whole and of the 128th parts: one sum would not fit float32.
    parts = xp.concatenate([levels // FRACTION, levels % FRACTION], axis=-1)
    sums = matmul(weights, parts.astype(xp.float32)).astype(xp.int32)
    sums = sums[..., :channels] * FRACTION + sums[..., channels:]
    return ((sums + total * (FRACTION // 2)) // (total * FRACTION)).astype(xp.uint8)


def _weights(old: Any, new: int, xp: Any) -> tuple[Any, Any]:
    """Returns `[new, old]` float32 weights along one axis, whole numbers, and the sum of a row."""
    size = xp.asarray(old, dtype=xp.int32)
    ours, theirs = xp.arange(new, dtype=xp.int32)[:, None], xp.arange(old, dtype=xp.int32)[None]
    ends = xp.minimum((ours + 1) * size, (theirs + 1) * new)
    area = ends - xp.maximum(ours * size, theirs * new)
    # Beyond the centres of the outermost old pixels there is no line: their level goes on.
    centres = xp.clip((2 * ours + 1) * size, new, (2 * size - 1) * new)
    line = 2 * new - xp.abs(centres - (2 * theirs + 1) * new)
    shrinks = size >= new
    weights = xp.maximum(xp.where(shrinks, area, line), 0)
    return weights.astype(xp.float32), xp.where(shrinks, size, 2 * new)
