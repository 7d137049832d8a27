"""Batch norm with its own gradient and sums that are fast on a CPU."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from xfernas_jax.nn.boundary import alone

_Saved = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


class BatchNorm(nn.Module):
    """Computes what `flax.linen.BatchNorm` computes, with the same variables.

    Attributes:
      use_running_average: normalise by the running statistics instead of the batch's.
      momentum: share of the old running statistics that a step keeps.
      epsilon: added to the variance.
      dtype: of the result; statistics are float32.
      axis_name: devices over which mean and mean square are averaged; None for none.
    """

    use_running_average: bool
    momentum: float
    epsilon: float
    dtype: Any
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Normalises `[B, H, W, C]`."""
        channels = (x.shape[-1],)
        mean = self.variable("batch_stats", "mean", jnp.zeros, channels, jnp.float32)
        var = self.variable("batch_stats", "var", jnp.ones, channels, jnp.float32)
        scale = self.param("scale", nn.initializers.ones, channels)
        bias = self.param("bias", nn.initializers.zeros, channels)
        if self.use_running_average:
            inverse = lax.rsqrt(var.value + self.epsilon)
            return _affine(x, mean.value, inverse, scale, bias).astype(self.dtype)
        axis_name = None if self.is_initializing() else self.axis_name
        results: Any = normalize_batch(x, scale, bias, self.epsilon, axis_name)
        y, new_mean, new_var = results
        if not self.is_initializing():
            mean.value = self.momentum * mean.value + (1 - self.momentum) * new_mean
            var.value = self.momentum * var.value + (1 - self.momentum) * new_var
        return y.astype(self.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalize_batch(
    x: Float[Array, "B H W C"],
    scale: Float[Array, " C"],
    bias: Float[Array, " C"],
    epsilon: float,
    axis_name: str | None,
) -> tuple[Float[Array, "B H W C"], Float[Array, " C"], Float[Array, " C"]]:
    """Normalises by the statistics of the batch over all devices of an axis.

    Args:
      x: images.
      scale: of each channel.
      bias: of each channel.
      epsilon: added to the variance.
      axis_name: devices over which mean and mean square are averaged; None for none.

    Returns:
      The result in float32, mean and variance. The last two pass no gradient on.
    """
    return alone(_forward, epsilon, axis_name)(x, scale, bias)[0]


def _forward(
    epsilon: float, axis_name: str | None, x: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], _Saved]:
    wide = x.astype(jnp.float32)
    mean, square = _means((wide, wide * wide), axis_name)
    var = jnp.maximum(square - mean * mean, 0.0)
    inverse = lax.rsqrt(var + epsilon)
    return (_affine(x, mean, inverse, scale, bias), mean, var), (x, mean, inverse, scale)


def _backward(
    axis_name: str | None, saved: _Saved, g: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, mean, inverse, scale = saved
    centered = x.astype(jnp.float32) - _wide(mean)
    g_sum, g_centered_sum = (_channel_sums(term) for term in (g, g * centered))
    count = x.size // x.shape[-1]
    g_mean, g_centered_mean = g_sum / count, g_centered_sum / count
    if axis_name is not None:
        g_mean, g_centered_mean = lax.pmean((g_mean, g_centered_mean), axis_name)
    dx = _wide(scale * inverse) * (
        g - _wide(g_mean) - centered * _wide(g_centered_mean * inverse * inverse)
    )
    return dx.astype(x.dtype), g_centered_sum * inverse, g_sum


normalize_batch.defvjp(
    lambda x, scale, bias, epsilon, axis_name: alone(_forward, epsilon, axis_name)(x, scale, bias),
    lambda epsilon, axis_name, saved, g: alone(_backward, axis_name)(saved, g[0]),
)


def _affine(
    x: jax.Array, mean: jax.Array, inverse: jax.Array, scale: jax.Array, bias: jax.Array
) -> jax.Array:
    return (x - _wide(mean)) * _wide(inverse * scale) + _wide(bias)


def _wide(channels: jax.Array) -> jax.Array:
    return channels[None, None, None]


def _means(terms: tuple[jax.Array, ...], axis_name: str | None) -> tuple[jax.Array, ...]:
    means = tuple(_channel_sums(term) / (term.size // term.shape[-1]) for term in terms)
    return means if axis_name is None else lax.pmean(means, axis_name)


def _channel_sums(x: jax.Array) -> jax.Array:
    """Sums `[B, H, W, C]` to `[C]`, over whole rows first: long vectors are fast on a CPU."""
    b, height, width, c = x.shape
    return x.reshape(b * height, width * c).sum(0).reshape(width, c).sum(0)
