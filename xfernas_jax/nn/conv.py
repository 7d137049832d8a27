"""Ordinary convolutions: on a CPU some by a matrix product, all others by XLA's."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from xfernas_jax.nn.initializers import conv_init
from xfernas_jax.nn.shifts import reached, same_padding


class Conv(nn.Module):
    """A convolution without bias under "SAME" padding, with the variables of `flax.linen.Conv`.

    Attributes:
      filters: channels of the result.
      kernel_size: height and width.
      strides: of rows and columns.
      dtype: of the computation; the kernel is float32.
    """

    filters: int
    kernel_size: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Convolves `[B, H, W, C]`."""
        shape = (*self.kernel_size, x.shape[-1], self.filters)
        kernel = self.param("kernel", conv_init, shape)
        return convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.strides)


def convolve(
    x: Float[Array, "B H W C"], kernel: Float[Array, "i j C D"], strides: tuple[int, int]
) -> Float[Array, "B h w D"]:
    """Convolves under "SAME" padding.

    Taps of the kernel that meet padding alone are left out, which on the smallest images are most
    of them: they would cost as much as the others and add zeros. On a CPU two kinds are matrix
    products. One is a kernel of 1x1: XLA's gradient of such a convolution transposes its images
    first, which costs several times the product. The other is a kernel wider than the result: XLA
    has a convolution of Eigen only where the kernel fits into the image, forward and in the
    gradient, and slow loops else (experiments/bench/small_images.py).
    """
    pads, sizes = [], []
    for axis in (0, 1):
        size, length, stride = x.shape[1 + axis], kernel.shape[axis], strides[axis]
        (low, high), (first, stop) = (
            same_padding(size, length, stride),
            reached(size, length, stride),
        )
        pads.append((low - first, max(high - (length - stop), 0)))
        sizes.append(-(-size // stride))
        kernel = lax.slice_in_dim(kernel, first, stop, axis=axis)
    is_cpu, taps = jax.default_backend() == "cpu", kernel.shape[:2]
    if is_cpu and (taps == (1, 1) or any(k > n for k, n in zip(taps, sizes, strict=True))):
        return _by_product(x, kernel, strides, pads, sizes)
    return lax.conv_general_dilated(
        x, kernel, strides, pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _by_product(
    x: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, int],
    pads: Sequence[tuple[int, int]],
    sizes: Sequence[int],
) -> jax.Array:
    """Convolves by one matrix product of the pixels that each place of the result reads."""
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    (rows, columns, channels, filters), (height, width) = kernel.shape, sizes
    pieces = [
        lax.slice(
            padded,
            (0, i, j, 0),
            (
                x.shape[0],
                i + (height - 1) * strides[0] + 1,
                j + (width - 1) * strides[1] + 1,
                channels,
            ),
            (1, *strides, 1),
        )
        for i in range(rows)
        for j in range(columns)
    ]
    pixels = jnp.concatenate(pieces, axis=-1).reshape(-1, rows * columns * channels)
    product = pixels @ kernel.reshape(-1, filters)
    return product.reshape(x.shape[0], height, width, filters)
