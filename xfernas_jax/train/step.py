"""One training step and one evaluation step, written for one device plus an axis name.

`train_step` and `eval_step` read their batch from the whole set on the device by a table of
indices, so an epoch needs no transfer from the host. `train_on_batch` and `eval_on_batch` are given
it, and do the rest for both.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Int, UInt8

from xfernas_jax.train.average import average_decay, averaged
from xfernas_jax.train.config import TrainConfig
from xfernas_jax.train.course import progress_at
from xfernas_jax.train.losses import cross_entropy, target_rows
from xfernas_jax.train.mixup import mix
from xfernas_jax.train.schedule import learning_rate_factor
from xfernas_jax.train.state import TaskFunctions, TrainState
from xfernas_jax.types import PyTree


def train_step(
    state: TrainState,
    images: UInt8[Array, "N H W C"],
    labels: Int[Array, " N"],
    table: Int[Array, "steps local"],
    key: jax.Array,
    **options: Any,
) -> TrainState:
    """Takes one step on this device's share of a batch of the set.

    Args:
      state: equal on all devices.
      images: the whole training part.
      labels: its labels.
      table: rows of the epoch: indices of this device's examples in each step.
      key: see `train_on_batch`, as for what it returns.
      **options: task, config, optimizer and axis_name, see there.
    """
    steps_per_epoch = table.shape[0]
    row = state.step % steps_per_epoch
    rows = lax.dynamic_index_in_dim(table, row, keepdims=False)
    return train_on_batch(
        state, images[rows], labels[rows], key, steps_per_epoch=steps_per_epoch, **options
    )


def train_on_batch(
    state: TrainState,
    images: UInt8[Array, "local H W C"],
    targets: Int[Array, " local"],
    key: jax.Array,
    *,
    steps_per_epoch: int,
    task: TaskFunctions,
    config: TrainConfig,
    optimizer: optax.GradientTransformation,
    axis_name: str,
) -> TrainState:
    """Takes one step on this device's share of a batch.

    Args:
      state: equal on all devices.
      images: the share.
      targets: its labels.
      key: of the training; the step folds its number in.
      steps_per_epoch: batches in an epoch.
      task: network and data functions.
      config: of the training.
      optimizer: whose state `state` holds.
      axis_name: of the devices; gradients and statistics are averaged over it.

    Returns:
      The next state, equal on all devices.
    """
    row, local = state.step % steps_per_epoch, len(targets)
    positions = lax.axis_index(axis_name) * local + jnp.arange(local, dtype=jnp.int32)
    mixes = config.mixup > 0.0
    augment_key, dropout_key, *mix_key = jax.random.split(
        jax.random.fold_in(key, state.step), 2 + mixes
    )
    batch = task.augment(images, augment_key, positions)
    if config.label_smoothing or mixes or task.class_weights:
        smoothing = config.label_smoothing
        targets = target_rows(targets, task.num_classes, smoothing, task.class_weights)
    if mixes:
        batch, targets = mix(batch, targets, mix_key[0], positions, config.mixup, axis_name)
    progress = progress_at(state.course, state.step)

    def loss_of(params: PyTree) -> tuple[jax.Array, PyTree]:
        variables = {"params": params, "batch_stats": state.batch_stats}
        logits, auxiliary, batch_stats = task.apply(
            variables, batch, positions, progress, True, dropout_key
        )
        loss = cross_entropy(logits, targets)
        if auxiliary is not None:
            loss = loss + task.auxiliary_weight * cross_entropy(auxiliary, targets)
        return loss, batch_stats

    (loss, batch_stats), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    grads, loss = lax.pmean((grads, loss), axis_name)
    if not config.sync_batch_norm:  # synchronised statistics are equal already
        batch_stats = lax.pmean(batch_stats, axis_name)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    factor = learning_rate_factor(progress, config)
    params = optax.apply_updates(state.params, jax.tree.map(lambda x: factor * x, updates))
    average = state.average
    if average:
        latest = {"params": params, "batch_stats": batch_stats}
        average = averaged(average, latest, average_decay(state.step, config.average_decay))
    return TrainState(
        step=state.step + 1,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        loss_sum=jnp.where(row == 0, 0.0, state.loss_sum) + loss,
        course=state.course,
        average=average,
    )


def eval_step(
    sums: PyTree,
    step: Int[Array, ""],
    variables: PyTree,
    images: UInt8[Array, "N H W C"],
    labels: Int[Array, " N"],
    table: Int[Array, "steps local"],
    counted: Bool[Array, "steps local"],
    **options: Any,
) -> tuple[PyTree, Int[Array, ""]]:
    """Adds what the metric sums over one batch of the set, over all devices.

    Args:
      sums: so far, equal on all devices.
      step: row of `table` to evaluate.
      variables: `params` and `batch_stats`.
      images: the whole part.
      labels: its labels.
      table: indices of this device's examples in each step; padded rows repeat an index.
      counted: False at padding.
      **options: task (network and data functions, and the metric) and axis_name of the devices.

    Returns:
      The new sums and the next step.
    """
    rows = lax.dynamic_index_in_dim(table, step, keepdims=False)
    shown = lax.dynamic_index_in_dim(counted, step, keepdims=False)
    return eval_on_batch(sums, step, variables, images[rows], labels[rows], shown, **options)


def eval_on_batch(
    sums: PyTree,
    step: Int[Array, ""],
    variables: PyTree,
    images: UInt8[Array, "local H W C"],
    labels: Int[Array, " local"],
    counted: Bool[Array, " local"],
    *,
    task: TaskFunctions,
    axis_name: str,
) -> tuple[PyTree, Int[Array, ""]]:
    """Adds what the metric sums over this device's share of a batch; see `eval_step`."""
    logits, _, _ = task.apply(variables, task.normalize(images), None, 1.0, False, None)
    found = lax.psum(task.metric.batch(logits, labels, counted), axis_name)
    return jax.tree.map(jnp.add, sums, found), step + 1
