"""A fitted ensemble, and what it says of architectures.

The ensemble is one network with a block latent: each member has its own z, scores and decoder.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from xfernas_jax.predictor.fit_data import TARGET
from xfernas_jax.predictor.network import JointNetwork, Params
from xfernas_jax.predictor.padding import capacity, pad_rows

_MIN_QUERY, _MAX_QUERY = 64, 8192


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Architectures as an ensemble sees them.

    Attributes:
      scores: `[N, J]` score for each source, mean over the members, not re-standardised: a
        source that teaches little has scores near 0.
      z: `[N, E D]` embeddings of all members.
      hidden: `[N, E H]` hidden layers of their heads.
    """

    scores: np.ndarray
    z: np.ndarray
    hidden: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Ensemble:
    """E fitted networks of one shape.

    Attributes:
      network: shared by all members.
      params: `[E, ...]`.
      is_source: `[T]` 1.0 for sources.
    """

    network: JointNetwork
    params: Params
    is_source: np.ndarray

    @property
    def num_members(self) -> int:
        """Returns E."""
        return len(self.params["task_embedding"])

    def target_scores(self, tokens: np.ndarray, use_embedding: np.float32) -> np.ndarray:
        """Returns the target's score `[E, N]` by each member; u alone where the latter is 0.0."""

        def predict(padded: np.ndarray) -> np.ndarray:
            args = (self.network, self.params, self.is_source, use_embedding, padded)
            return np.asarray(predict_scores(*args)).T

        empty = np.zeros((0, self.num_members), np.float32)
        parts = [
            _padded(predict, tokens[i : i + _MAX_QUERY])[0]
            for i in range(0, len(tokens), _MAX_QUERY)
        ]
        return np.concatenate([empty, *parts]).T

    def features(self, tokens: np.ndarray) -> Features:
        """Returns what a model on top of this fit works on."""
        program = functools.partial(task_features, self.network, self.params, self.is_source)
        scores, z, hidden = _padded(program, tokens)
        return Features(scores[:, self.is_source > 0.0], z, hidden)

    def costs(self, tokens: np.ndarray) -> np.ndarray:
        """Returns standardised log costs `[N, C]`."""
        return _padded(functools.partial(predict_costs, self.network, self.params), tokens)[0]


def _padded(program: Callable[[np.ndarray], Any], tokens: np.ndarray) -> list[np.ndarray]:
    """Calls a program that maps rows to rows; a history may grow without a recompilation."""
    found = jax.tree.leaves(program(pad_rows(tokens, capacity(len(tokens), _MIN_QUERY))))
    return [np.asarray(rows)[: len(tokens)] for rows in found]


@functools.partial(jax.jit, static_argnames="network")
def predict_scores(
    network: JointNetwork, params: Params, is_source: Array, use_embedding: Array, tokens: Array
) -> Array:
    """Returns the target's score `[E, B]` by each member for tokens `[B, L]`.

    `use_embedding` is 1.0, or 0.0 for u alone.
    """
    latent = encode(network, params, tokens)
    return latent_scores(network, params, is_source, use_embedding, latent)


@functools.partial(jax.jit, static_argnames="network")
def task_features(
    network: JointNetwork, params: Params, is_source: Array, tokens: Array
) -> tuple[Array, Array, Array]:
    """Returns scores for every task `[B, T]`, z `[B, E D]` and hidden layers `[B, E H]`."""
    return latent_features(network, params, is_source, encode(network, params, tokens))


@functools.partial(jax.jit, static_argnames="network")
def predict_costs(network: JointNetwork, params: Params, tokens: Array) -> Array:
    """Returns standardised log costs `[B, C]` of tokens `[B, L]`, mean over the members."""

    def member(p: Params, x: Array) -> Any:
        return cast(Any, network.apply)({"params": p}, x, method="costs")

    return jnp.mean(jax.vmap(member)(params, encode(network, params, tokens)), axis=0)


def encode(network: JointNetwork, params: Params, tokens: Array) -> Array:
    """Returns latents `[E, B, S, D]` of tokens `[B, L]`."""

    def member(p: Params) -> Any:
        return cast(Any, network.apply)({"params": p}, tokens, method="encode")

    return jax.vmap(member)(params)


def latent_features(
    network: JointNetwork, params: Params, is_source: Array, latent: Array
) -> tuple[Array, Array, Array]:
    """Returns `task_features` of latents `[E, B, S, D]`."""

    def member(p: Params, x: Array) -> Any:
        return cast(Any, network.apply)({"params": p}, x, is_source, method="all_scores")

    scores, z, hidden = jax.vmap(member)(params, latent)  # [E, B, ...]
    flat = [jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1) for x in (z, hidden)]
    return jnp.mean(scores, axis=0), flat[0], flat[1]


def latent_scores(
    network: JointNetwork, params: Params, is_source: Array, use_embedding: Array, latent: Array
) -> Array:
    """Returns `predict_scores` of latents `[E, B, S, D]`."""

    def member(p: Params, z: Array) -> Array:
        e = cast(Any, network.apply)({"params": p}, is_source, method="embeddings")[TARGET]
        e = jnp.broadcast_to(e * use_embedding, (z.shape[0], *e.shape))
        u, r = cast(Any, network.apply)({"params": p}, z, e, method="score")
        return u + r

    return jax.vmap(member)(params, latent)
