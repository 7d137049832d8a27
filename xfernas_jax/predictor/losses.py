"""The terms of the training loss."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int


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


def token_cross_entropy(
    logits: Float[Array, "batch length vocab"],
    tokens: Int[Array, "batch length"],
    weights: Float[Array, " batch"],
) -> Array:
    """Returns the mean over tokens of the negative log-likelihood, in nats."""
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    own = jnp.take_along_axis(log_probs, tokens[..., None], axis=-1)[..., 0]
    return weighted_mean(-jnp.mean(own, axis=-1), weights)
