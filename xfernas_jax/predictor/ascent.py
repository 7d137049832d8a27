"""Gradient ascent in the latent of an ensemble, decoded after every step.

The decoders' log-probabilities are averaged over the members.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.ensemble import encode, latent_features
from xfernas_jax.predictor.kernels import Scales, kernel_matrices
from xfernas_jax.predictor.network import JointNetwork, Params, apply
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


class KernelTerms(NamedTuple):
    """K kernels on z and hidden layers to N architectures, weighted.

    Attributes:
      weights: `[O, K, N]` in each of O functions, 0 at padding.
      blocks: z and hidden layers `[N, P]` of these architectures.
      center: mean of both, `[P]`.
      square: `[2]`, see `Scales`.
    """

    weights: np.ndarray
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
def ascend(
    network: JointNetwork,
    num_steps: int,
    params: Params,
    is_source: Array,
    on_scores: Array,
    kernels: KernelTerms | None,
    trajectories: Trajectories,
) -> Array:
    """Ascends O functions of the latent, each from all starts.

    A step has the length rate times the latent's rms, over all members together, and is followed by
    the encoder's own normalisation.

    Args:
      network: of all members.
      num_steps: every one is decoded.
      params: `[E, ...]`.
      is_source: `[T]`.
      on_scores: `[O, T]` weights of the tasks' scores (mean over the members) in each function.
      kernels: what is added to them, or None.
      trajectories: from C starts at R rates.

    Returns:
      `[steps O R C, L]` tokens, each allowed at its position.
    """
    num_objectives = len(on_scores)

    def objective(latent: Array) -> Array:
        """Sums each trajectory's own function; latents are `[E, O R C, S, D]`, O slowest."""
        found = latent_features(network, params, is_source, latent)
        scores = jnp.mean(found.scores, axis=1).reshape(num_objectives, -1, on_scores.shape[1])
        total = jnp.sum(scores * on_scores[:, None])
        if kernels is None:
            return total
        scales, blocks = Scales(kernels.center, kernels.square), (found.z, found.hidden)
        values = kernel_matrices(blocks, kernels.blocks, scales, jnp)
        values = values.reshape(len(values), num_objectives, -1, values.shape[-1])
        return total + jnp.sum(values * jnp.moveaxis(kernels.weights, 0, 1)[:, :, None])

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

    def step(carry: tuple, position: Array) -> tuple[tuple, Array]:
        state, previous = carry
        state, logits = jax.vmap(
            lambda p, s, z: apply(network, p, "decode_step", s, z, previous, position)
        )(params, state, latent)
        log_probs = jnp.mean(jax.nn.log_softmax(logits, axis=-1), axis=0)  # [B, V]
        noise = jax.random.gumbel(jax.random.fold_in(key, position), (num_rows, vocabulary))
        token = jnp.argmax(log_probs + temperature * noise, axis=-1).astype(jnp.int32)
        return (state, token), token

    carry = jax.vmap(lambda p, z: apply(network, p, "start_decoding", z))(params, latent)
    start = (carry, jnp.zeros(num_rows, jnp.int32))
    _, tokens = jax.lax.scan(step, start, jnp.arange(length))
    return tokens.T
