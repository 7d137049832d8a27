"""Depthwise convolution and pooling as sums and maxima over shifted images.

XLA's CPU code for grouped convolutions and for the gradient of a max pool is many times slower
than the same arithmetic written as shifts, so the shifted
forms are what `auto` takes on a CPU. They are plain JAX and run everywhere.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

DepthwiseForm = Literal["auto", "lax", "shift"]


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Returns (low, high) padding so that the output has `ceil(size / stride)` places."""
    span = (kernel - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + span - size, 0)
    return total // 2, total - total // 2


def depthwise_conv(
    x: Float[Array, "B H W C"],
    kernel: Float[Array, "k k 1 C"],
    stride: int = 1,
    dilation: int = 1,
    form: DepthwiseForm = "auto",
) -> Float[Array, "B h w C"]:
    """Convolves each channel with its own `k x k` kernel under "SAME" padding.

    Args:
      x: images.
      kernel: one kernel for each channel.
      stride: 1 or more.
      dilation: distance between the kernel's taps, 1 or more.
      form: "lax" for XLA's grouped convolution, "shift" for sums of shifted images, "auto" for
        the faster one on the default device.

    Returns:
      Images of `ceil(H / stride)` by `ceil(W / stride)`.
    """
    if form == "auto":
        form = "shift" if jax.default_backend() == "cpu" else "lax"
    if form == "shift":
        return _shift_depthwise(x, kernel, stride, dilation)
    pads = [same_padding(n, kernel.shape[0], stride, dilation) for n in x.shape[1:3]]
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        pads,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[3],
    )


def _pad_same(x: jax.Array, k: int, stride: int, dilation: int, fill: float = 0.0) -> jax.Array:
    low_high = [same_padding(n, k, stride, dilation) for n in x.shape[1:3]]
    return jnp.pad(x, ((0, 0), *low_high, (0, 0)), constant_values=fill)


def _shifted(padded: jax.Array, i: int, j: int, shape: tuple[int, int], stride: int) -> jax.Array:
    """Cuts the image that starts at row `i`, column `j` of a padded one: `[B, h, w, C]`."""
    rows, columns = ((n - 1) * stride + 1 for n in shape)
    b, _, _, c = padded.shape
    return lax.slice(padded, (0, i, j, 0), (b, i + rows, j + columns, c), (1, stride, stride, 1))


def _out_shape(x: jax.Array, stride: int) -> tuple[int, int]:
    return -(-x.shape[1] // stride), -(-x.shape[2] // stride)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _shift_depthwise(x: jax.Array, kernel: jax.Array, stride: int, dilation: int) -> jax.Array:
    k = kernel.shape[0]
    padded = _pad_same(x, k, stride, dilation)
    shape = _out_shape(x, stride)
    out = None
    for i in range(k):
        for j in range(k):
            term = (
                _shifted(padded, i * dilation, j * dilation, shape, stride)
                * kernel[i, j][None, None]
            )
            out = term if out is None else out + term
    assert out is not None
    return out


def _shift_forward(
    x: jax.Array, kernel: jax.Array, stride: int, dilation: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _shift_depthwise(x, kernel, stride, dilation), (x, kernel)


def _shift_backward(
    stride: int, dilation: int, saved: tuple[jax.Array, jax.Array], g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    k = kernel.shape[0]
    b, height, width, c = x.shape
    padded = _pad_same(x, k, stride, dilation)
    span = (k - 1) * dilation
    if stride > 1:  # spread the gradient over the places of the stride-1 output
        g_full = lax.pad(
            g,
            jnp.zeros((), g.dtype),
            [
                (0, 0, 0),
                *(
                    (0, n + span_of - ((m - 1) * stride + 1), stride - 1)
                    for n, m, span_of in zip(
                        padded.shape[1:3], g.shape[1:3], (-span,) * 2, strict=True
                    )
                ),
                (0, 0, 0),
            ],
        )
    else:
        g_full = g
    rows, columns = g_full.shape[1:3]
    # Input gradient: correlate the spread gradient with the flipped kernel, crop the padding.
    wide = jnp.pad(g_full, ((0, 0), (span, span), (span, span), (0, 0)))
    top, left = (same_padding(n, k, stride, dilation)[0] for n in (height, width))
    dx = None
    for i in range(k):
        for j in range(k):
            at = (0, span - i * dilation + top, span - j * dilation + left, 0)
            piece = lax.slice(wide, at, (b, at[1] + height, at[2] + width, c))
            term = piece * kernel[i, j][None, None]
            dx = term if dx is None else dx + term
    assert dx is not None

    def weight_gradient(_: None, shift: jax.Array) -> tuple[None, jax.Array]:
        window = lax.dynamic_slice(
            padded, (0, shift[0] * dilation, shift[1] * dilation, 0), (b, rows, columns, c)
        )
        product = (window * g_full).reshape(b * rows, columns * c)
        return None, product.sum(0).reshape(columns, c).sum(0)  # wide lanes first: fast on CPU

    taps = jnp.stack(jnp.meshgrid(jnp.arange(k), jnp.arange(k), indexing="ij"), -1).reshape(-1, 2)
    dk = lax.scan(weight_gradient, None, taps)[1].reshape(kernel.shape)
    return dx, dk.astype(kernel.dtype)


_shift_depthwise.defvjp(_shift_forward, _shift_backward)
