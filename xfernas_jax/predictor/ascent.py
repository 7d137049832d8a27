"""What is done with a fitted ensemble: predict, ascend in the latent, decode.

The ensemble is one network with a block latent: each member has its own z, scores and the
decoders' log-probabilities are averaged over the members.
"""

import functools
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
    c = network.config
    latent = _encode(network, params, starts)  # [E, C, S, D]
    latent = jnp.tile(latent, (1, len(c.ascent_rates), 1, 1))
    rates = jnp.repeat(jnp.asarray(c.ascent_rates), starts.shape[0])[None, :, None, None]

    def objective(z: Array) -> Array:
        scores = _scores(network, params, is_source, use_embedding, z)
        return jnp.sum(jnp.mean(scores, axis=0))

    def step(z: Array, _: None) -> tuple[Array, Array]:
        gradient = jax.grad(objective)(z)
        length = _rms(z) / jnp.maximum(_rms(gradient), 1e-12)
        z = _normalize(network, z + rates * length * gradient)
        return z, z

    _, path = jax.lax.scan(step, latent, None, length=c.ascent_steps)  # [steps, E, R C, S, D]
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
