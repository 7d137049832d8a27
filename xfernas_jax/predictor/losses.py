"""The terms of the training loss."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


def weighted_mean(values: Float[Array, " batch"], weights: Float[Array, " batch"]) -> Array:
    """Returns the weighted mean, 0 where all weights are 0."""
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1e-9)


def squared_error(
    predicted: Float[Array, " batch"],
    target: Float[Array, " batch"],
    weights: Float[Array, " batch"],
) -> Array:
    """Returns the weighted mean squared error, in squared standardised units."""
    return weighted_mean(jnp.square(predicted - target), weights)
