"""The fit of the ensemble: one jitted program for the sources and for every round."""

import functools
from typing import Any, NamedTuple, cast

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.fit_data import FitData
from xfernas_jax.predictor.network import JointNetwork, Params, apply


class FitSettings(NamedTuple):
    """What is no shape of a fit, see `PredictorConfig`: other values use the same program."""

    num_steps: np.int32
    learning_rate: np.float32
    weight_decay: np.float32
    score_weight: np.float32
    reconstruction_weight: np.float32
    residual_penalty: np.float32
    embedding_dropout: np.float32
    latent_noise: np.float32

    @classmethod
    def of(cls, c: PredictorConfig, with_target: bool) -> "FitSettings":
        """Returns those of a fit on the sources, or of a round; `c` is resolved."""
        assert c.source_steps is not None
        assert c.latent_noise is not None
        rate = c.target_learning_rate if with_target else c.source_learning_rate
        weights = (rate, c.weight_decay, c.score_weight, 1.0 - c.score_weight)
        others = (c.residual_penalty, c.embedding_dropout, c.latent_noise)
        numbers = [np.float32(number) for number in (*weights, *others)]
        return cls(np.int32(c.target_steps if with_target else c.source_steps), *numbers)


class _Batch(NamedTuple):
    tokens: Array  # [B + U, L], labelled rows first
    scores: Array  # [B]
    costs: Array  # [B, C]
    knows_cost: Array  # [B, C]
    task_ids: Array  # [B]
    keep_embedding: Array  # [B]
    noise: Array  # uniform in [0, 1), as many as the latents have entries


@functools.partial(jax.jit, static_argnames=("network", "batch_sizes"))
def fit_ensemble(
    network: JointNetwork,
    batch_sizes: tuple[int, int],
    settings: FitSettings,
    params: Params,
    data: FitData,
    key: Array,
) -> Params:
    """Trains every member with AdamW (warm-up, then cosine to 0).

    Only shapes are compiled for, so the fit on the sources and all rounds share one program.

    Args:
      network: of all members.
      batch_sizes: labelled and unlabelled rows of a step.
      settings: see there.
      params: `[E, ...]` initial values.
      data: rows of all tasks.
      key: consumed.
    """
    num_steps = settings.num_steps
    optimizer = optax.chain(
        optax.scale_by_adam(),
        optax.add_decayed_weights(cast(float, settings.weight_decay)),
    )

    def train(member_params: Params, member_key: Array) -> Params:
        # One flat vector: an update of every leaf by itself compiles half a second longer.
        start, unravel = jax.flatten_util.ravel_pytree(member_params)

        def step(i: Array, carry: tuple[Array, Any]) -> tuple[Array, Any]:
            values, state = carry
            batch_key = jax.random.fold_in(member_key, i)
            batch = _draw_batch(network, batch_sizes, settings, data, batch_key)
            grads = jax.grad(_loss, argnums=1)(network, unravel(values), settings, data, batch)
            grads, _ = jax.flatten_util.ravel_pytree(grads)
            updates, state = optimizer.update(grads, state, values)
            rate = settings.learning_rate * jnp.minimum(1.0, (i + 1) / (0.1 * num_steps))
            rate = rate * 0.5 * (1.0 + jnp.cos(jnp.pi * i / num_steps))
            return values - rate * cast(Any, updates), state

        return unravel(jax.lax.fori_loop(0, num_steps, step, (start, optimizer.init(start)))[0])

    num_members = len(jax.tree.leaves(params)[0])
    return jax.vmap(train)(params, jax.random.split(key, num_members))


def _draw_batch(
    network: JointNetwork,
    batch_sizes: tuple[int, int],
    settings: FitSettings,
    data: FitData,
    key: Array,
) -> _Batch:
    """Draws tasks by their shares and rows within a task uniformly, with replacement.

    All random numbers of a step come from one call, which compiles and runs much faster.
    """
    size, unlabelled_size = batch_sizes
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
    keep_embedding = (keep >= settings.embedding_dropout).astype(jnp.float32)
    scores = jnp.asarray(data.scores)[rows]
    costs, knows_cost = jnp.asarray(data.costs)[rows], jnp.asarray(data.knows_cost)[rows]
    return _Batch(
        jnp.concatenate(tokens), scores, costs, knows_cost, task_ids, keep_embedding, noise
    )


def _loss(
    network: JointNetwork, params: Params, settings: FitSettings, data: FitData, batch: _Batch
) -> Array:
    size = len(batch.scores)
    latent = apply(network, params, "encode", batch.tokens)
    rms = jnp.sqrt(jnp.mean(jnp.square(latent), axis=(1, 2), keepdims=True))
    noise = (2.0 * batch.noise - 1.0).reshape(latent.shape) * np.float32(3.0**0.5)  # variance 1
    latent = latent + settings.latent_noise * jax.lax.stop_gradient(rms) * noise

    embeddings = apply(network, params, "embeddings", data.is_source)
    e = embeddings[batch.task_ids] * batch.keep_embedding[:, None]
    u, r = apply(network, params, "score", latent[:size], e)
    has_labels = (data.cumulative_share[-1] > 0.0).astype(jnp.float32)
    labelled = jnp.full(size, has_labels)
    score_loss = _squared_error(u + r, batch.scores, labelled)
    if network.num_costs:
        costs = apply(network, params, "costs", latent[:size])
        known = batch.knows_cost.ravel() * has_labels
        score_loss += _squared_error(costs.ravel(), batch.costs.ravel(), known)
    penalty = jnp.mean(jnp.square(r)) + jnp.mean(jnp.square(embeddings))

    losses = apply(network, params, "reconstruct", latent, batch.tokens)
    weights = jnp.concatenate([labelled, jnp.ones(len(batch.tokens) - size)])
    reconstruction = _weighted_mean(losses, weights)
    fit = settings.score_weight * score_loss + settings.reconstruction_weight * reconstruction
    return fit + settings.residual_penalty * has_labels * penalty


def _weighted_mean(values: Array, weights: Array) -> Array:
    """Returns the mean of `[B]` values, 0 where all weights are 0."""
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1e-9)


def _squared_error(predicted: Array, target: Array, weights: Array) -> Array:
    """Returns the weighted mean squared error of `[B]`, in squared standardised units."""
    return _weighted_mean(jnp.square(predicted - target), weights)
