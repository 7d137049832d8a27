"""The loss of a batch."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "batch classes"],
    labels: Int[Array, " batch"],
    label_smoothing: float = 0.0,
) -> Float[Array, ""]:
    """Returns the mean cross-entropy in nats, with smoothed labels where asked."""
    if not label_smoothing:
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    one_hot = jnp.eye(logits.shape[-1])[labels]
    return optax.softmax_cross_entropy(logits, optax.smooth_labels(one_hot, label_smoothing)).mean()
