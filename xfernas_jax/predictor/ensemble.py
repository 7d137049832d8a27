"""A fitted ensemble, and what it says of architectures.

The ensemble is one network with a block latent: each member has its own z, scores and decoder.
"""

import dataclasses
import functools
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from xfernas_jax.predictor.fit_data import TARGET
from xfernas_jax.predictor.network import JointNetwork, Params
from xfernas_jax.predictor.padding import capacity, pad_rows

_MIN_QUERY, _MAX_QUERY = 64, 8192


class Features(NamedTuple):
    """N architectures as an ensemble of E members sees them.

    Attributes:
      scores: `[N, E, T]` by each member for every task, not re-standardised: a source that teaches
        little has scores near 0.
      z: `[N, E D]` embeddings of all members.
      hidden: `[N, E H]` hidden layers of their heads.
      costs: `[N, C]` standardised log costs, mean over the members.
    """

    scores: Any
    z: Any
    hidden: Any
    costs: Any


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

    def features(self, tokens: np.ndarray) -> Features:
        """Returns everything that the ensemble says of `[N, L]` tokens."""
        size = max(1, min(len(tokens), _MAX_QUERY))
        parts = []
        for start in range(0, max(len(tokens), 1), size):
            rows = tokens[start : start + size]
            padded = pad_rows(rows, capacity(len(rows), _MIN_QUERY))
            found = task_features(self.network, self.params, self.is_source, padded)
            parts.append([np.asarray(x)[: len(rows)] for x in found])
        return Features(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def source_scores(self, found: Features) -> np.ndarray:
        """Returns `[N, J]`, mean over the members."""
        return found.scores[..., self.is_source > 0.0].mean(1)

    def target_scores(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the target's score `[E, N]` by each member."""
        return self.features(tokens).scores[..., TARGET].T


@functools.partial(jax.jit, static_argnames="network")
def task_features(
    network: JointNetwork, params: Params, is_source: Array, tokens: Array
) -> Features:
    """Returns the features of tokens `[B, L]`."""
    return latent_features(network, params, is_source, encode(network, params, tokens))


def encode(network: JointNetwork, params: Params, tokens: Array) -> Array:
    """Returns latents `[E, B, S, D]` of tokens `[B, L]`."""

    def member(p: Params) -> Any:
        return cast(Any, network.apply)({"params": p}, tokens, method="encode")

    return jax.vmap(member)(params)


def latent_features(
    network: JointNetwork, params: Params, is_source: Array, latent: Array
) -> Features:
    """Returns the features of latents `[E, B, S, D]`."""

    def member(p: Params, x: Array) -> Any:
        return cast(Any, network.apply)({"params": p}, x, is_source, method="features")

    found = [jnp.moveaxis(x, 0, 1) for x in jax.vmap(member)(params, latent)]  # [B, E, ...]
    scores, z, hidden, costs = found
    flat = [x.reshape(len(x), -1) for x in (z, hidden)]
    return Features(scores, *flat, jnp.mean(costs, axis=1))
