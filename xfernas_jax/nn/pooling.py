"""Max and average pooling under "SAME" padding, which counts only places inside the image."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from xfernas_jax.nn.boundary import alone
from xfernas_jax.nn.shifts import (
    out_shape,
    pad_same,
    same_padding,
    shifted,
    window_spread,
    window_sum,
)


def avg_pool(x: Float[Array, "B H W C"], size: int, stride: int = 1) -> Float[Array, "B h w C"]:
    """Averages `size x size` windows; padding does not count into the mean."""
    if jax.default_backend() == "cpu":  # several times faster than reduce_window there
        return _shift_avg_pool(x, size, stride)
    pads = [same_padding(n, size, stride) for n in x.shape[1:3]]
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    total = lax.reduce_window(
        x, np.zeros((), x.dtype), lax.add, window, strides, ((0, 0), *pads, (0, 0))
    )
    return total * _inverse_counts(x.shape[1:3], size, stride, x.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _shift_avg_pool(x: jax.Array, size: int, stride: int) -> jax.Array:
    return alone(_avg_forward, size, stride)(x)


def _avg_forward(size: int, stride: int, x: jax.Array) -> jax.Array:
    return window_sum(x, None, size, stride) * _inverse_counts(x.shape[1:3], size, stride, x.dtype)


def _avg_backward(size: int, stride: int, shape: tuple[int, int], g: jax.Array) -> jax.Array:
    g = g * _inverse_counts(shape, size, stride, g.dtype)
    return window_spread((g,), lambda i, j, piece: piece, shape, size, stride)


_shift_avg_pool.defvjp(
    # An empty array remembers the height and width.
    lambda x, size, stride: (_shift_avg_pool(x, size, stride), jnp.zeros((*x.shape[1:3], 0))),
    lambda size, stride, like, g: (alone(_avg_backward, size, stride, like.shape[:2])(g),),
)


def _inverse_counts(shape: Sequence[int], size: int, stride: int, dtype: Any) -> jax.Array:
    """Returns `[1, h, w, 1]`: one over the number of places of each window inside the image."""
    rows, columns = (_window_counts(n, size, stride) for n in shape)
    return jnp.asarray(1.0 / (rows[:, None] * columns[None, :])[None, :, :, None], dtype)


def _window_counts(size: int, window: int, stride: int) -> np.ndarray:
    low, high = same_padding(size, window, stride)
    inside = np.pad(np.ones(size, np.float32), (low, high))
    starts = range(0, size + low + high - window + 1, stride)
    return np.array([inside[s : s + window].sum() for s in starts], np.float32)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def max_pool(x: Float[Array, "B H W C"], size: int, stride: int = 1) -> Float[Array, "B h w C"]:
    """Takes the maximum of `size x size` windows; among equals the first gets the gradient."""
    return alone(_max_forward, size, stride)(x)[0]


def _max_forward(size: int, stride: int, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the maxima and the number of the tap, row by row, that holds each."""
    padded = pad_same(x, size, stride, fill=float(jnp.finfo(x.dtype).min))
    shape = out_shape(x, stride)
    best = shifted(padded, 0, 0, shape, stride)
    best_at = jnp.zeros(best.shape, jnp.int8)
    for tap in range(1, size * size):
        piece = shifted(padded, *divmod(tap, size), shape, stride)
        better = piece > best
        best_at = jnp.where(better, jnp.int8(tap), best_at)
        best = jnp.where(better, piece, best)
    return best, best_at


def _max_backward(
    size: int, stride: int, shape: tuple[int, int], best_at: jax.Array, g: jax.Array
) -> jax.Array:
    def own(i: int, j: int, at: jax.Array, value: jax.Array) -> jax.Array:
        return jnp.where(at == i * size + j, value, jnp.zeros((), value.dtype))

    return window_spread((best_at, g), own, shape, size, stride)


def _max_saved(
    x: jax.Array, size: int, stride: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    best, best_at = alone(_max_forward, size, stride)(x)
    return best, (best_at, jnp.zeros((*x.shape[1:3], 0)))


max_pool.defvjp(
    _max_saved,
    lambda size, stride, saved, g: (
        alone(_max_backward, size, stride, saved[1].shape[:2])(saved[0], g),
    ),
)
