"""The loss of a batch, and the targets that it compares with."""

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int


def cross_entropy(
    logits: Float[Array, "batch classes"],
    targets: Int[Array, " batch"] | Float[Array, "batch classes"],
) -> Float[Array, ""]:
    """Returns the mean cross-entropy in nats.

    Args:
      logits: `[B, K]`.
      targets: `[B]` class numbers, or `[B, K]` from `target_rows`.
    """
    if targets.ndim == 1:
        return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()
    return optax.softmax_cross_entropy(logits, targets).mean()


def target_rows(
    labels: Int[Array, " batch"],
    num_classes: int,
    label_smoothing: float = 0.0,
    class_weights: tuple[float, ...] | None = None,
) -> Float[Array, "batch classes"]:
    """Returns what each example's log-probabilities are multiplied by, but for the sign.

    A row sums to the weight of its class; the loss is linear in rows, so they can be mixed.

    Args:
      labels: `[B]` class numbers.
      num_classes: K.
      label_smoothing: share of the target that is spread over all classes.
      class_weights: one for each class; None for 1.
    """
    rows = optax.smooth_labels(jnp.eye(num_classes)[labels], label_smoothing)
    if class_weights is None:
        return rows
    return rows * jnp.asarray(class_weights, jnp.float32)[labels][:, None]


def balanced_weights(labels: np.ndarray, num_classes: int, power: float = 1.0) -> tuple[float, ...]:
    """Returns a multiple of (1 / n_c)^power for each class c that occurs; 0 for the others.

    The mean weight of the examples is 1. With power 1 the weights are n / (K n_c), over K classes
    that occur, and the classes weigh the same in the sum over all `labels`.
    """
    counts = np.bincount(labels, minlength=num_classes)
    occurs = counts > 0
    weights = np.where(occurs, np.maximum(counts, 1.0) ** -power, 0.0)
    weights *= len(labels) / (weights @ counts)
    return tuple(map(float, weights))
