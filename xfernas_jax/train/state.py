"""What a step reads and writes."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import numpy as np
import optax

from xfernas_jax.train.course import first_course
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
      course: `[3]` float32, how progress goes by steps; see `train/course.py`.
      average: of `params` and `batch_stats`, by those names; empty where none is kept.
    """

    step: PyTree  # as every field: tree transformations put anything in an array's place
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    loss_sum: PyTree
    course: PyTree
    average: PyTree

    @property
    def variables(self) -> dict[str, PyTree]:
        """Returns what is evaluated: the average where one is kept, else the latest values."""
        return self.average or {"params": self.params, "batch_stats": self.batch_stats}


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
      class_weights: of examples in the training loss, by class; None for 1.
    """

    apply: Callable[..., Any] = flax.struct.field(pytree_node=False)
    augment: Callable[..., jax.Array] = flax.struct.field(pytree_node=False)
    normalize: Callable[..., jax.Array] = flax.struct.field(pytree_node=False)
    metric: TrainedMetric = flax.struct.field(pytree_node=False)
    num_classes: int = flax.struct.field(pytree_node=False)
    auxiliary_weight: float = flax.struct.field(pytree_node=False, default=0.0)
    class_weights: tuple[float, ...] | None = flax.struct.field(pytree_node=False, default=None)


def initial_state(
    params: PyTree,
    batch_stats: PyTree,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    *,
    averages: bool = False,
) -> TrainState:
    """Builds the state before the first step; the optimizer's is shaped, not compiled.

    Args:
      params: initial values.
      batch_stats: initial values.
      optimizer: of `make_optimizer`.
      num_steps: of the whole training.
      averages: whether an average is kept.
    """
    opt_state = jax.tree.map(np.asarray, optimizer.init(params))
    return TrainState(
        step=np.zeros((), np.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        loss_sum=np.zeros((), np.float32),
        course=first_course(num_steps),
        average={"params": params, "batch_stats": batch_stats} if averages else {},
    )
