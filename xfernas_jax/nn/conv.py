"""Ordinary convolutions: of 1x1 by a matrix product on a CPU, all others by XLA's."""

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
    of them: they would cost as much as the others and add zeros. On a CPU a kernel of 1x1 is a
    matrix product: XLA's gradient of such a convolution there transposes its images first, which
    costs several times the product.
    """
    pads = []
    for axis in (0, 1):
        size, length, stride = x.shape[1 + axis], kernel.shape[axis], strides[axis]
        (low, high), (first, stop) = (
            same_padding(size, length, stride),
            reached(size, length, stride),
        )
        pads.append((low - first, max(high - (length - stop), 0)))
        kernel = lax.slice_in_dim(kernel, first, stop, axis=axis)
    if kernel.shape[:2] == (1, 1) and jax.default_backend() == "cpu":
        x = x[:, :: strides[0], :: strides[1]]
        pixels = x.reshape(-1, x.shape[-1])
        return (pixels @ kernel[0, 0]).reshape(*x.shape[:3], kernel.shape[-1])
    return lax.conv_general_dilated(
        x, kernel, strides, pads, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
