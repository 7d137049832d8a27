"""Depthwise convolution as a sum over shifted images.

XLA's CPU code for grouped convolutions is many times slower than the same arithmetic written as
shifts, so the shifted form is what `auto` takes on a CPU. It is plain JAX and runs everywhere.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from xfernas_jax.nn.boundary import alone
from xfernas_jax.nn.shifts import pad_same, reached, same_padding, window_spread, window_sum

DepthwiseForm = Literal["auto", "lax", "shift"]


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
    kernel = _reached(kernel, x.shape[1], x.shape[2], stride, dilation)
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


def _reached(kernel: jax.Array, height: int, width: int, stride: int, dilation: int) -> jax.Array:
    """Leaves out taps that meet padding alone, where what stays has its place in a square."""
    k = kernel.shape[0]
    taps = {reached(n, k, stride, dilation) for n in (height, width)}
    if len(taps) > 1:
        return kernel
    ((first, stop),) = taps
    lows = [
        (
            same_padding(n, k, stride, dilation)[0],
            same_padding(n, stop - first, stride, dilation)[0],
        )
        for n in (height, width)
    ]
    fits = all(low - first * dilation == its for low, its in lows)
    return kernel[first:stop, first:stop] if fits else kernel


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _shift_depthwise(x: jax.Array, kernel: jax.Array, stride: int, dilation: int) -> jax.Array:
    return alone(_forward, stride, dilation)(x, kernel)


def _forward(stride: int, dilation: int, x: jax.Array, kernel: jax.Array) -> jax.Array:
    return window_sum(x, kernel[:, :, 0], kernel.shape[0], stride, dilation)


def _backward(
    stride: int, dilation: int, x: jax.Array, kernel: jax.Array, g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    k = kernel.shape[0]

    def weighted(i: int, j: int, piece: jax.Array) -> jax.Array:
        return piece * kernel[i, j, 0][None, None, None]

    dx = window_spread((g,), weighted, (x.shape[1], x.shape[2]), k, stride, dilation)
    padded = pad_same(x, k, stride, dilation)
    b, rows, columns, c = g.shape
    reach = (b, (rows - 1) * stride + 1, (columns - 1) * stride + 1, c)

    def weight_gradient(_: None, tap: jax.Array) -> tuple[None, jax.Array]:
        window = lax.dynamic_slice(padded, (0, tap[0] * dilation, tap[1] * dilation, 0), reach)
        product = (window[:, ::stride, ::stride] * g).reshape(b * rows, columns * c)
        return None, product.sum(0).reshape(columns, c).sum(0)  # wide lanes first: fast on CPU

    taps = jnp.stack(jnp.meshgrid(jnp.arange(k), jnp.arange(k), indexing="ij"), -1).reshape(-1, 2)
    dk = lax.scan(weight_gradient, None, taps)[1].reshape(kernel.shape)
    return dx, dk.astype(kernel.dtype)


_shift_depthwise.defvjp(
    lambda x, kernel, stride, dilation: (
        _shift_depthwise(x, kernel, stride, dilation),
        (x, kernel),
    ),
    lambda stride, dilation, saved, g: alone(_backward, stride, dilation)(*saved, g),
)
