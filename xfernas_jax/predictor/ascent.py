"""What is done with a fitted ensemble: predict, ascend in the latent, decode.

The ensemble is one network with a block latent: each member has its own z, scores and the
decoders' log-probabilities are averaged over the members.
"""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
from jax import Array

from xfernas_jax.predictor.encoder import ENCODERS
from xfernas_jax.predictor.fit import TARGET
from xfernas_jax.predictor.network import JointNetwork, Params


@functools.partial(jax.jit, static_argnames="network")
def predict_scores(
    network: JointNetwork, params: Params, is_source: Array, use_embedding: Array, tokens: Array
) -> Array:
    """Returns the target's score `[E, B]` by each member for tokens `[B, L]`.

    `use_embedding` is 1.0, or 0.0 for u alone.
    """
    return _scores(network, params, is_source, use_embedding, _encode(network, params, tokens))


@functools.partial(jax.jit, static_argnames="network")
def task_features(
    network: JointNetwork, params: Params, is_source: Array, tokens: Array
) -> tuple[Array, Array, Array]:
    """Returns scores for every task `[B, T]`, z `[B, E D]` and hidden layers `[B, E H]`."""
    return latent_features(network, params, is_source, _encode(network, params, tokens))


@functools.partial(jax.jit, static_argnames="network")
def predict_costs(network: JointNetwork, params: Params, tokens: Array) -> Array:
    """Returns standardised log costs `[B, C]` of tokens `[B, L]`, mean over the members."""

    def member(p: Params, x: Array) -> Any:
        return cast(Any, network.apply)({"params": p}, x, method="costs")

    return jnp.mean(jax.vmap(member)(params, _encode(network, params, tokens)), axis=0)


def latent_features(
    network: JointNetwork, params: Params, is_source: Array, latent: Array
) -> tuple[Array, Array, Array]:
    """Returns `task_features` of latents `[E, B, S, D]`."""

    def member(p: Params, x: Array) -> Any:
        return cast(Any, network.apply)({"params": p}, x, is_source, method="all_scores")

    scores, z, hidden = jax.vmap(member)(params, latent)  # [E, B, ...]
    flat = [jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1) for x in (z, hidden)]
    return jnp.mean(scores, axis=0), flat[0], flat[1]


@functools.partial(jax.jit, static_argnames="network")
def reconstruct_tokens(network: JointNetwork, params: Params, tokens: Array) -> Array:
    """Encodes tokens `[B, L]` and decodes them without noise."""
    return _decode(network, params, _encode(network, params, tokens), None)


@functools.partial(jax.jit, static_argnames="network")
def ascend_and_decode(
    network: JointNetwork,
    params: Params,
    is_source: Array,
    use_embedding: Array,
    starts: Array,
    key: Array,
) -> Array:
    """Moves the latents of `starts` up the mean score and decodes after every step.

    A step has the length rate times the latent's rms, over all members together, and is
    followed by the encoder's own normalisation.

    Args:
      network: its config gives rates R, number of steps and temperature.
      params: `[E, ...]`.
      is_source: `[T]`.
      use_embedding: 1.0, or 0.0 to ascend u alone.
      starts: `[C, L]`.
      key: consumed.

    Returns:
      `[steps * R * C, L]` tokens, each allowed at its position.
    """

    def objective(latent: Array) -> Array:
        scores = _scores(network, params, is_source, use_embedding, latent)
        return jnp.sum(jnp.mean(scores, axis=0))

    return ascend_function(network, params, objective, starts, 1, key)


def ascend_function(
    network: JointNetwork,
    params: Params,
    objective: Callable[[Array], Array],
    starts: Array,
    num_objectives: int,
    key: Array,
) -> Array:
    """Moves latents up any differentiable function of them and decodes after every step.

    Args:
      network: its config gives rates R, number of steps and temperature.
      params: `[E, ...]`.
      objective: the sum over trajectories, given latents `[E, O R C, S, D]`.
      starts: `[O C, L]`: the C starts of each of O objectives.
      num_objectives: O.
      key: consumed.

    Returns:
      `[steps * O * R * C, L]` tokens.
    """
    c = network.config
    num_rates = len(c.ascent_rates)
    latent = _encode(network, params, starts)  # [E, O C, S, D]
    shape = latent.shape
    latent = latent.reshape(shape[0], num_objectives, 1, -1, *shape[2:])
    latent = jnp.broadcast_to(latent, (*latent.shape[:2], num_rates, *latent.shape[3:]))
    rates = jnp.broadcast_to(
        jnp.asarray(c.ascent_rates)[None, :, None], (num_objectives, num_rates, latent.shape[3])
    ).reshape(1, -1, 1, 1)
    latent = latent.reshape(shape[0], -1, *shape[2:])

    def step(z: Array, _: None) -> tuple[Array, Array]:
        gradient = jax.grad(objective)(z)
        length = _rms(z) / jnp.maximum(_rms(gradient), 1e-12)
        z = _normalize(network, z + rates * length * gradient)
        return z, z

    _, path = jax.lax.scan(step, latent, None, length=c.ascent_steps)  # [steps, E, O R C, S, D]
    path = jnp.moveaxis(path, 0, 1)
    path = path.reshape(path.shape[0], -1, *path.shape[3:])
    return _decode(network, params, path, key)


def _encode(network: JointNetwork, params: Params, tokens: Array) -> Array:
    return jax.vmap(lambda p: cast(Any, network.apply)({"params": p}, tokens, method="encode"))(
        params
    )


def _normalize(network: JointNetwork, latent: Array) -> Array:
    return ENCODERS[network.config.encoder].normalize(latent)


def _rms(x: Array) -> Array:
    return jnp.sqrt(jnp.mean(jnp.square(x), axis=(0, 2, 3), keepdims=True))


def _scores(
    network: JointNetwork, params: Params, is_source: Array, use_embedding: Array, latent: Array
) -> Array:
    def score(p: Params, z: Array) -> Array:
        e = cast(Any, network.apply)({"params": p}, is_source, method="embeddings")[TARGET]
        e = jnp.broadcast_to(e * use_embedding, (z.shape[0], *e.shape))
        u, r = cast(Any, network.apply)({"params": p}, z, e, method="score")
        return u + r

    return jax.vmap(score)(params, latent)


def _decode(network: JointNetwork, params: Params, latent: Array, key: Array | None) -> Array:
    """Decodes `[E, B, S, D]` to `[B, L]`, position by position; with `key` it samples."""
    length = len(network.mask)
    num_rows, vocabulary = latent.shape[1], len(network.mask[0])
    temperature = network.config.decode_temperature or 0.0

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
        if key is not None:
            noise = jax.random.gumbel(jax.random.fold_in(key, position), (num_rows, vocabulary))
            log_probs = log_probs + temperature * noise
        token = jnp.argmax(log_probs, axis=-1).astype(jnp.int32)
        return (state, token), token

    start = (call("start_decoding", latent), jnp.zeros(num_rows, jnp.int32))
    _, tokens = jax.lax.scan(step, start, jnp.arange(length))
    return tokens.T
