"""Gradient ascent in the latent of an ensemble, decoded after every step.

The decoders' log-probabilities are averaged over the members.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.ensemble import encode, latent_features, latent_scores
from xfernas_jax.predictor.kernels import Scales, kernel_matrices
from xfernas_jax.predictor.network import JointNetwork, Params
from xfernas_jax.predictor.padding import capacity


class Trajectories(NamedTuple):
    """Where ascents start and how they go; only the shapes are compiled for.

    Attributes:
      starts: `[C, L]` tokens.
      rates: `[R]` step sizes relative to the latent's rms; each start uses each of them.
      temperature: of the Gumbel noise in decoding.
      key: of that noise, consumed.
    """

    starts: np.ndarray
    rates: np.ndarray
    temperature: np.float32
    key: Array


class LinearScores(NamedTuple):
    """O functions of the latent: task scores and kernels to N architectures, weighted.

    Attributes:
      on_scores: `[O, T]`.
      on_kernels: `[O, K, N]`, 0 at padding.
      blocks: z and hidden layers `[N, P]` of these architectures.
      center: mean of both, `[P]`.
      square: `[2]`, see `Scales`.
    """

    on_scores: np.ndarray
    on_kernels: np.ndarray
    blocks: tuple[np.ndarray, ...]
    center: tuple[np.ndarray, ...]
    square: np.ndarray


def plan(rng: np.random.Generator, starts: np.ndarray, config: PredictorConfig) -> Trajectories:
    """Returns trajectories from `starts`, `[C, L]`.

    The starts are repeated until they fill a fixed number of rows, so that any number of them uses
    one program; the repeats are decoded with noise of their own.

    Args:
      rng: consumed.
      starts: C at least 1.
      config: resolved.
    """
    size = capacity(len(starts), 2 * config.num_starts)
    return Trajectories(
        np.resize(starts, (size, starts.shape[1])).astype(np.int32),
        np.asarray(config.ascent_rates, np.float32),
        np.float32(config.decode_temperature),
        jax.random.key(int(rng.integers(2**31))),
    )


@functools.partial(jax.jit, static_argnames=("network", "num_steps"))
def ascend_target(
    network: JointNetwork,
    num_steps: int,
    params: Params,
    is_source: Array,
    use_embedding: Array,
    trajectories: Trajectories,
) -> Array:
    """Ascends the members' mean score of the target.

    Args:
      network: of all members.
      num_steps: every one is decoded.
      params: `[E, ...]`.
      is_source: `[T]`.
      use_embedding: 1.0, or 0.0 to ascend u alone.
      trajectories: from C starts at R rates.

    Returns:
      `[steps R C, L]` tokens, each allowed at its position.
    """

    def objective(latent: Array) -> Array:
        scores = latent_scores(network, params, is_source, use_embedding, latent)
        return jnp.sum(jnp.mean(scores, axis=0))

    return _ascend(network, num_steps, params, objective, 1, trajectories)


@functools.partial(jax.jit, static_argnames=("network", "num_steps"))
def ascend_linear(
    network: JointNetwork,
    num_steps: int,
    params: Params,
    is_source: Array,
    functions: LinearScores,
    trajectories: Trajectories,
) -> Array:
    """Ascends each of O functions from all starts; see `ascend_target`.

    Returns:
      `[steps O R C, L]` tokens.
    """
    num_objectives = functions.on_scores.shape[0]

    def objective(latent: Array) -> Array:
        """Sums each trajectory's own function; latents are `[E, O R C, S, D]`, O slowest."""
        scores, z, hidden = latent_features(network, params, is_source, latent)
        scales = Scales(functions.center, functions.square)
        kernels = kernel_matrices((z, hidden), functions.blocks, scales, jnp)
        per = z.shape[0] // num_objectives
        scores = scores.reshape(num_objectives, per, -1)
        kernels = kernels.reshape(len(kernels), num_objectives, per, -1)
        return jnp.sum(scores * functions.on_scores[:, None]) + jnp.sum(
            kernels * jnp.moveaxis(functions.on_kernels, 0, 1)[:, :, None]
        )

    return _ascend(network, num_steps, params, objective, num_objectives, trajectories)


def _ascend(
    network: JointNetwork,
    num_steps: int,
    params: Params,
    objective: Callable[[Array], Array],
    num_objectives: int,
    trajectories: Trajectories,
) -> Array:
    """Moves latents up a sum over trajectories, a function of latents `[E, O R C, S, D]`.

    A step has the length rate times the latent's rms, over all members together, and is followed by
    the encoder's own normalisation.
    """
    num_rates = len(trajectories.rates)
    starts = jnp.tile(trajectories.starts, (num_objectives, 1))
    latent = encode(network, params, starts)  # [E, O C, S, D]
    shape = latent.shape
    latent = latent.reshape(shape[0], num_objectives, 1, -1, *shape[2:])
    latent = jnp.broadcast_to(latent, (*latent.shape[:2], num_rates, *latent.shape[3:]))
    rates = jnp.broadcast_to(
        jnp.asarray(trajectories.rates)[None, :, None], (num_objectives, *latent.shape[2:4])
    ).reshape(1, -1, 1, 1)
    latent = latent.reshape(shape[0], -1, *shape[2:])

    def step(z: Array, _: None) -> tuple[Array, Array]:
        gradient = jax.grad(objective)(z)
        length = _rms(z) / jnp.maximum(_rms(gradient), 1e-12)
        z = network.normalize(z + rates * length * gradient)
        return z, z

    _, path = jax.lax.scan(step, latent, None, length=num_steps)  # [steps, E, O R C, S, D]
    path = jnp.moveaxis(path, 0, 1)
    path = path.reshape(path.shape[0], -1, *path.shape[3:])
    return decode(network, params, path, trajectories.temperature, trajectories.key)


def _rms(x: Array) -> Array:
    return jnp.sqrt(jnp.mean(jnp.square(x), axis=(0, 2, 3), keepdims=True))


def decode(
    network: JointNetwork, params: Params, latent: Array, temperature: Any, key: Array
) -> Array:
    """Decodes `[E, B, S, D]` to tokens `[B, L]`, position by position; 0 adds no noise."""
    length = len(network.mask)
    num_rows, vocabulary = latent.shape[1], len(network.mask[0])

    def call(method: str, *args: Array) -> Any:
        return jax.vmap(lambda p, *a: cast(Any, network.apply)({"params": p}, *a, method=method))(
            params, *args
        )

    def step(carry: tuple, position: Array) -> tuple[tuple, Array]:
        state, previous = carry

        def member(p: Params, s: Any, z: Array) -> tuple:
            return cast(Any, network.apply)(
                {"params": p}, s, z, previous, position, method="decode_step"
            )

        state, logits = jax.vmap(member)(params, state, latent)
        log_probs = jnp.mean(jax.nn.log_softmax(logits, axis=-1), axis=0)  # [B, V]
        noise = jax.random.gumbel(jax.random.fold_in(key, position), (num_rows, vocabulary))
        token = jnp.argmax(log_probs + temperature * noise, axis=-1).astype(jnp.int32)
        return (state, token), token

    start = (call("start_decoding", latent), jnp.zeros(num_rows, jnp.int32))
    _, tokens = jax.lax.scan(step, start, jnp.arange(length))
    return tokens.T
