"""Max and average pooling under "SAME" padding, which counts only places inside the image."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from xfernas_jax.nn.depthwise import same_padding


def avg_pool(x: Float[Array, "B H W C"], size: int, stride: int = 1) -> Float[Array, "B h w C"]:
    """Averages `size x size` windows; padding does not count into the mean."""
    pads = [same_padding(n, size, stride) for n in x.shape[1:3]]
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    total = lax.reduce_window(
        x, np.zeros((), x.dtype), lax.add, window, strides, ((0, 0), *pads, (0, 0))
    )
    counts = [_window_counts(n, size, stride) for n in x.shape[1:3]]
    inverse = 1.0 / (counts[0][:, None] * counts[1][None, :])
    return total * jnp.asarray(inverse[None, :, :, None], x.dtype)


def _window_counts(size: int, window: int, stride: int) -> np.ndarray:
    low, high = same_padding(size, window, stride)
    inside = np.pad(np.ones(size, np.float32), (low, high))
    starts = range(0, size + low + high - window + 1, stride)
    return np.array([inside[s : s + window].sum() for s in starts], np.float32)


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def max_pool(x: Float[Array, "B H W C"], size: int, stride: int = 1) -> Float[Array, "B h w C"]:
    """Takes the maximum of `size x size` windows; among equals the first gets the gradient."""
    return _max_and_argmax(x, size, stride)[0]


def _max_and_argmax(x: jax.Array, size: int, stride: int) -> tuple[jax.Array, jax.Array]:
    low_high = [same_padding(n, size, stride) for n in x.shape[1:3]]
    fill = jnp.finfo(x.dtype).min
    padded = jnp.pad(x, ((0, 0), *low_high, (0, 0)), constant_values=fill)
    rows, columns = (-(-n // stride) for n in x.shape[1:3])
    best = best_at = None
    for tap in range(size * size):
        i, j = divmod(tap, size)
        limits = (
            x.shape[0],
            i + (rows - 1) * stride + 1,
            j + (columns - 1) * stride + 1,
            x.shape[3],
        )
        piece = lax.slice(padded, (0, i, j, 0), limits, (1, stride, stride, 1))
        if best is None or best_at is None:
            best, best_at = piece, jnp.zeros(piece.shape, jnp.int8)
        else:
            better = piece > best
            best_at = jnp.where(better, jnp.int8(tap), best_at)
            best = jnp.where(better, piece, best)
    assert best is not None
    assert best_at is not None
    return best, best_at


def _max_forward(
    x: jax.Array, size: int, stride: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    best, best_at = _max_and_argmax(x, size, stride)
    return best, (best_at, x)


def _max_backward(
    size: int, stride: int, saved: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array]:
    best_at, x = saved
    low_high = [same_padding(n, size, stride) for n in x.shape[1:3]]
    padded = [n + sum(pads) for n, pads in zip(x.shape[1:3], low_high, strict=True)]
    rows, columns = g.shape[1:3]
    total = None
    for tap in range(size * size):
        i, j = divmod(tap, size)
        own = jnp.where(best_at == tap, g, jnp.zeros((), g.dtype))
        placed = lax.pad(
            own,
            jnp.zeros((), g.dtype),
            [
                (0, 0, 0),
                (i, padded[0] - i - (rows - 1) * stride - 1, stride - 1),
                (j, padded[1] - j - (columns - 1) * stride - 1, stride - 1),
                (0, 0, 0),
            ],
        )
        total = placed if total is None else total + placed
    assert total is not None
    (top, _), (left, _) = low_high
    return (total[:, top : top + x.shape[1], left : left + x.shape[2]],)


max_pool.defvjp(_max_forward, _max_backward)
