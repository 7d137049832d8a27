"""The fit of the ensemble: one jitted program for the sources and for every round."""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from xfernas_jax.predictor.losses import squared_error, weighted_mean
from xfernas_jax.predictor.network import JointNetwork, Params

TARGET = 0  # row of the target in every array over tasks


class FitData(NamedTuple):
    """Labelled rows of all tasks, padded; no result depends on the padding.

    Attributes:
      tokens: `[N, L]` int32.
      scores: `[N]` standardised by task.
      first_row: `[T]` where each task's rows begin.
      num_rows: `[T]` how many it has; 0 marks padding.
      cumulative_share: `[T]` cumulative shares of the tasks in a labelled batch; all 0 where
        there are no labels.
      is_source: `[T]` 1.0 for sources.
      unlabelled: `[U, L]` random architectures.
      costs: `[N, C]` log costs, standardised by task; 0 where unknown.
      knows_cost: `[N, C]` 1.0 where known.
    """

    tokens: np.ndarray
    scores: np.ndarray
    first_row: np.ndarray
    num_rows: np.ndarray
    cumulative_share: np.ndarray
    is_source: np.ndarray
    unlabelled: np.ndarray
    costs: np.ndarray
    knows_cost: np.ndarray


class _Batch(NamedTuple):
    tokens: Array  # [B + U, L], labelled rows first
    scores: Array  # [B]
    costs: Array  # [B, C]
    knows_cost: Array  # [B, C]
    task_ids: Array  # [B]
    keep_embedding: Array  # [B]
    noise: Array  # uniform in [0, 1), as many as the latents have entries


@functools.partial(jax.jit, static_argnames="network")
def fit_ensemble(
    network: JointNetwork,
    params: Params,
    data: FitData,
    num_steps: Array,
    learning_rate: Array,
    key: Array,
) -> Params:
    """Trains every member for `num_steps` steps of AdamW (warm-up, then cosine to 0).

    Steps and rate are traced, so the fit on the sources and all rounds share one program.

    Args:
      network: its config names batch sizes and weights of the loss.
      params: `[E, ...]` initial values.
      data: rows of all tasks.
      num_steps: scalar int.
      learning_rate: scalar, the peak.
      key: consumed.
    """
    optimizer = optax.chain(
        optax.scale_by_adam(),
        optax.add_decayed_weights(network.config.weight_decay),
    )

    def train(member_params: Params, member_key: Array) -> Params:
        # One flat vector: an update of every leaf by itself compiles half a second longer.
        start, unravel = jax.flatten_util.ravel_pytree(member_params)

        def step(i: Array, carry: tuple[Array, Any]) -> tuple[Array, Any]:
            values, state = carry
            batch = _draw_batch(network, data, jax.random.fold_in(member_key, i))
            grads = jax.grad(_loss, argnums=1)(network, unravel(values), data, batch)
            grads, _ = jax.flatten_util.ravel_pytree(grads)
            updates, state = optimizer.update(grads, state, values)
            rate = learning_rate * jnp.minimum(1.0, (i + 1) / (0.1 * num_steps))
            rate = rate * 0.5 * (1.0 + jnp.cos(jnp.pi * i / num_steps))
            return values - rate * cast(Any, updates), state

        return unravel(jax.lax.fori_loop(0, num_steps, step, (start, optimizer.init(start)))[0])

    return jax.vmap(train)(params, jax.random.split(key, network.config.num_members))


def _draw_batch(network: JointNetwork, data: FitData, key: Array) -> _Batch:
    """Draws tasks by their shares and rows within a task uniformly, with replacement.

    All random numbers of a step come from one call, which compiles and runs much faster.
    """
    size, unlabelled_size = network.config.batch_size, network.config.unlabelled_size
    ends = np.cumsum([size, size, size, unlabelled_size])
    num_noise = (size + unlabelled_size) * network.latent_entries
    uniform = jax.random.uniform(key, (ends[-1] + num_noise,))
    which_task, which_row, keep, which_other, noise = jnp.split(uniform, ends)
    task_ids = jnp.sum(which_task[:, None] >= data.cumulative_share[None, :], axis=1)
    task_ids = jnp.minimum(task_ids, network.num_tasks - 1)
    num_rows = jnp.asarray(data.num_rows)[task_ids]
    offset = jnp.minimum((which_row * num_rows).astype(jnp.int32), jnp.maximum(num_rows - 1, 0))
    rows = jnp.asarray(data.first_row)[task_ids] + offset
    others = (which_other * len(data.unlabelled)).astype(jnp.int32)
    tokens = [jnp.asarray(data.tokens)[rows], jnp.asarray(data.unlabelled)[others]]
    keep_embedding = (keep >= network.config.embedding_dropout).astype(jnp.float32)
    scores = jnp.asarray(data.scores)[rows]
    costs, knows_cost = jnp.asarray(data.costs)[rows], jnp.asarray(data.knows_cost)[rows]
    return _Batch(
        jnp.concatenate(tokens), scores, costs, knows_cost, task_ids, keep_embedding, noise
    )


def _loss(network: JointNetwork, params: Params, data: FitData, batch: _Batch) -> Array:
    c = network.config
    size, apply = c.batch_size, cast(Any, network.apply)
    latent = apply({"params": params}, batch.tokens, method="encode")
    rms = jnp.sqrt(jnp.mean(jnp.square(latent), axis=(1, 2), keepdims=True))
    noise = (2.0 * batch.noise - 1.0).reshape(latent.shape) * np.float32(3.0**0.5)  # variance 1
    latent = latent + (c.latent_noise or 0.0) * jax.lax.stop_gradient(rms) * noise

    embeddings = apply({"params": params}, data.is_source, method="embeddings")
    e = embeddings[batch.task_ids] * batch.keep_embedding[:, None]
    u, r = apply({"params": params}, latent[:size], e, method="score")
    has_labels = (data.cumulative_share[-1] > 0.0).astype(jnp.float32)
    labelled = jnp.full(size, has_labels)
    score_loss = squared_error(u + r, batch.scores, labelled)
    if network.num_costs:
        costs = apply({"params": params}, latent[:size], method="costs")
        known = batch.knows_cost.ravel() * has_labels
        score_loss += squared_error(costs.ravel(), batch.costs.ravel(), known)
    penalty = jnp.mean(jnp.square(r)) + jnp.mean(jnp.square(embeddings))

    losses = apply({"params": params}, latent, batch.tokens, method="reconstruct")
    weights = jnp.concatenate([labelled, jnp.ones(c.unlabelled_size)])
    reconstruction = weighted_mean(losses, weights)
    fit = c.score_weight * score_loss + (1.0 - c.score_weight) * reconstruction
    return fit + c.residual_penalty * has_labels * penalty
