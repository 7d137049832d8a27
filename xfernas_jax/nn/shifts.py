"""Sums over shifted images, and their gradients: the arithmetic of depthwise forms and pools.

A window of `k x k` taps under "SAME" padding reads, for output place `q`, the input places
`q * stride + tap * dilation - top`. All functions are plain JAX and have no gradient rule of their
own; the forms that use them do.
"""

import functools
import operator
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Returns (low, high) padding so that the output has `ceil(size / stride)` places."""
    span = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


def reached(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Returns the taps [first, stop) of a kernel that meet a pixel; others meet padding alone.

    A small image has few: of five taps it is one where the side is one pixel, three where it is
    two. Args and padding as in `same_padding`.
    """
    low, _ = same_padding(size, kernel, stride, dilation)
    last = (-(-size // stride) - 1) * stride  # where the window of the last place begins, less low
    first = max(-((last - low) // dilation), 0)
    return first, min((size - 1 + low) // dilation, kernel - 1) + 1


def pad_same(x: jax.Array, k: int, stride: int, dilation: int = 1, fill: float = 0.0) -> jax.Array:
    """Pads `[B, H, W, C]` so that every window lies inside."""
    low_high = [same_padding(n, k, stride, dilation) for n in x.shape[1:3]]
    return jnp.pad(x, ((0, 0), *low_high, (0, 0)), constant_values=fill)


def out_shape(x: jax.Array, stride: int) -> tuple[int, int]:
    """Returns height and width of the result."""
    return -(-x.shape[1] // stride), -(-x.shape[2] // stride)


def shifted(padded: jax.Array, i: int, j: int, shape: tuple[int, int], stride: int) -> jax.Array:
    """Cuts the image that starts at row `i`, column `j` of a padded one: `[B, h, w, C]`."""
    rows, columns = ((n - 1) * stride + 1 for n in shape)
    b, _, _, c = padded.shape
    return lax.slice(padded, (0, i, j, 0), (b, i + rows, j + columns, c), (1, stride, stride, 1))


def window_sum(
    x: jax.Array, weights: jax.Array | None, k: int, stride: int, dilation: int = 1
) -> jax.Array:
    """Sums the taps of every window, weighted by `[k, k, C]` or plainly."""
    padded = pad_same(x, k, stride, dilation)
    shape = out_shape(x, stride)
    terms = []
    for i in range(k):
        for j in range(k):
            piece = shifted(padded, i * dilation, j * dilation, shape, stride)
            terms.append(piece if weights is None else piece * weights[i, j][None, None, None])
    return _total(terms)


def window_spread(
    values: tuple[jax.Array, ...],
    of_tap: Callable[..., jax.Array],
    shape: tuple[int, int],
    k: int,
    stride: int,
    dilation: int = 1,
) -> jax.Array:
    """Adds to every place what the windows give to it: the transpose of a sum over taps.

    With a stride the places fall into `stride x stride` phases. Each takes the taps that reach
    it, so no arithmetic is spent on zeros between the windows.

    Args:
      values: `[B, h, w, C]` each, of every window; a tap reads zeros outside of them.
      of_tap: what a window gives to its tap, from the tap's row, its column and the values.
      shape: height and width of the images that the windows read.
      k: taps of a side.
      stride: between windows.
      dilation: between taps.

    Returns:
      `[B, H, W, C]`.
    """
    b, h, w, c = values[0].shape
    lows = [same_padding(n, k, stride, dilation)[0] for n in shape]
    height, width = (-(-(n + low) // stride) for n, low in zip(shape, lows, strict=True))
    reach = (k - 1) * dilation // stride
    pads = ((0, 0), (reach, max(height - h, 0)), (reach, max(width - w, 0)), (0, 0))
    wide = [jnp.pad(value, pads) for value in values]

    def phase(row: int, column: int) -> jax.Array:
        terms = []
        for i in range(k):
            for j in range(k):
                if (i * dilation % stride, j * dilation % stride) == (row, column):
                    at = (reach - i * dilation // stride, reach - j * dilation // stride)
                    pieces = [shifted(value, *at, (height, width), 1) for value in wide]
                    terms.append(of_tap(i, j, *pieces))
        return _total(terms) if terms else jnp.zeros((b, height, width, c), wide[-1].dtype)

    if stride == 1:
        whole = phase(0, 0)
    else:  # put the phases of a row side by side, then the rows below each other
        rows = [
            jnp.concatenate([phase(row, column) for column in range(stride)], axis=-1)
            for row in range(stride)
        ]
        whole = jnp.concatenate([row.reshape(b, height, 1, width * stride, c) for row in rows], 2)
        whole = whole.reshape(b, height * stride, width * stride, c)
    return whole[:, lows[0] : lows[0] + shape[0], lows[1] : lows[1] + shape[1]]


def _total(terms: Sequence[jax.Array]) -> jax.Array:
    return functools.reduce(operator.add, terms)
