"""A fitted ensemble, and what it says of architectures.

The ensemble is one network with a block latent: each member has its own z, scores and decoder.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from xfernas_jax.predictor.fit_data import TARGET
from xfernas_jax.predictor.network import JointNetwork, Params, apply
from xfernas_jax.predictor.padding import capacity, in_chunks, pad_rows

_MIN_QUERY = 64


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
        padded = pad_rows(tokens, capacity(len(tokens), _MIN_QUERY))
        found = task_features(self.network, self.params, self.is_source, padded)
        return Features._make(np.asarray(rows)[: len(tokens)] for rows in found)

    def source_scores(self, found: Features) -> np.ndarray:
        """Returns `[N, J]`, mean over the members."""
        return found.scores[..., self.is_source > 0.0].mean(1)

    def target_scores(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the target's score `[E, N]` by each member."""
        return in_chunks(lambda rows: self.features(rows).scores[..., TARGET], tokens).T


@functools.partial(jax.jit, static_argnames="network")
def task_features(
    network: JointNetwork, params: Params, is_source: Array, tokens: Array
) -> Features:
    """Returns the features of tokens `[B, L]`."""
    return latent_features(network, params, is_source, encode(network, params, tokens))


def encode(network: JointNetwork, params: Params, tokens: Array) -> Array:
    """Returns latents `[E, B, S, D]` of tokens `[B, L]`."""
    return jax.vmap(lambda p: apply(network, p, "encode", tokens))(params)


def latent_features(
    network: JointNetwork, params: Params, is_source: Array, latent: Array
) -> Features:
    """Returns the features of latents `[E, B, S, D]`."""
    found = jax.vmap(lambda p, x: apply(network, p, "features", x, is_source))(params, latent)
    scores, z, hidden, costs = (jnp.moveaxis(x, 0, 1) for x in found)  # [B, E, ...]
    rows = len(scores)
    return Features(scores, z.reshape(rows, -1), hidden.reshape(rows, -1), jnp.mean(costs, axis=1))
