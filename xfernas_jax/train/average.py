"""The exponential moving average of a training's variables."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from xfernas_jax.types import PyTree


def average_decay(step: Int[Array, ""], largest: float) -> jax.Array:
    """Returns the share of the average that the step of number `step` (from 0) keeps.

    It is `(1 + t) / (10 + t)` until that exceeds `largest`: the average is over about the last
    tenth of the steps so far, and forgets the initial values as t^-9. So it suits trainings of any
    length, and needs no division by the sum of the weights.

    Source: TensorFlow's `tf.train.ExponentialMovingAverage`, `num_updates`.
    """
    return jnp.minimum(largest, (1.0 + step) / (10.0 + step))


def averaged(average: PyTree, latest: PyTree, decay: jax.Array) -> PyTree:
    """Moves an average towards the latest values; what equals it stays to the bit.

    Args:
      average: tree of arrays.
      latest: of the same shapes; what is not of floating point is taken as it is.
      decay: share of the average that stays.
    """

    def move(old: jax.Array, new: jax.Array) -> jax.Array:
        if not jnp.issubdtype(new.dtype, jnp.inexact):
            return new
        return old + (1.0 - decay).astype(new.dtype) * (new - old)

    return jax.tree.map(move, average, latest)
