"""What a step reads and writes."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import numpy as np
import optax

from xfernas_jax.train.scores import TrainedMetric
from xfernas_jax.types import PyTree


class TrainState(flax.struct.PyTreeNode):
    """State of a training; a step consumes one and returns the next.

    Attributes:
      step: scalar int32, steps done.
      params: trainable values.
      batch_stats: running mean and variance of batch norm.
      opt_state: of the Optax optimizer.
      loss_sum: scalar float32, sum of the losses of the steps since the epoch began.
    """

    step: PyTree  # as every field: tree transformations put anything in an array's place
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    loss_sum: PyTree

    @property
    def variables(self) -> dict[str, PyTree]:
        """Returns `params` and `batch_stats` as a network takes them."""
        return {"params": self.params, "batch_stats": self.batch_stats}


class TaskFunctions(flax.struct.PyTreeNode):
    """What the trainer is given of network, data and metric.

    Attributes:
      apply: `(variables, images, positions, progress, train, key) -> (logits, auxiliary
        logits or None, new batch_stats)`; the last is unchanged when `train` is False.
      augment: `(images [B, H, W, C] uint8, key, positions [B]) -> [B, H, W, C] float32`.
      normalize: `images -> float32 images`, without randomness.
      metric: of the learning curve.
      num_classes: columns of the logits.
      auxiliary_weight: of the auxiliary logits' loss.
    """

    apply: Callable[..., Any] = flax.struct.field(pytree_node=False)
    augment: Callable[..., jax.Array] = flax.struct.field(pytree_node=False)
    normalize: Callable[..., jax.Array] = flax.struct.field(pytree_node=False)
    metric: TrainedMetric = flax.struct.field(pytree_node=False)
    num_classes: int = flax.struct.field(pytree_node=False)
    auxiliary_weight: float = flax.struct.field(pytree_node=False, default=0.0)


def initial_state(
    params: PyTree, batch_stats: PyTree, optimizer: optax.GradientTransformation
) -> TrainState:
    """Builds the state before the first step; the optimizer's is shaped, not compiled."""
    opt_state = jax.tree.map(np.asarray, optimizer.init(params))
    return TrainState(
        step=np.zeros((), np.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        loss_sum=np.zeros((), np.float32),
    )
