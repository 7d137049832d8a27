"""Encoders: token sequences to a latent `[B, S, D]`. NAO's LSTM, and a parallel one.

One is built as `encoder(mask, latent_size, hidden_size)`. Calling it turns `[B, L]` tokens into a
normalised latent; `normalize` puts any `[..., S, D]` back on the surface where latents lie; `pool`
gives the architecture embedding `[..., D]`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

Mask = tuple[tuple[bool, ...], ...]  # [L, V]; a tuple because a module's fields are hashed


def rms_normalize(x: Array) -> Array:
    """Scales the last axis to a root mean square of 1."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-12)


def l2_normalize(x: Array) -> Array:
    """Scales the last axis to length 1."""
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-12)


class MlpEncoder(nn.Module):
    """One-hot tokens, one hidden layer, a linear latent of one step (S = 1), rms 1.

    The one-hot features of a position are centred over its allowed tokens, and the whole
    input has an rms of about 1, so no position counts more for having more choices.
    """

    mask: Mask
    latent_size: int
    hidden_size: int

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        hidden = nn.silu(nn.Dense(self.hidden_size)(_one_hot_features(tokens, self.mask)))
        return self.normalize(nn.Dense(self.latent_size)(hidden)[:, None, :])

    @staticmethod
    def normalize(latent: Array) -> Array:
        return rms_normalize(latent)

    @staticmethod
    def pool(latent: Array) -> Array:
        return latent[..., 0, :]


class LstmEncoder(nn.Module):
    """NAO's encoder: embedded tokens, LSTM, every output L2-normalised.

    The `tokens_per_step` tokens of a branch enter as one step where they divide L, else one
    token a step. The embedding is the mean over steps, normalised again. The latent size is
    the LSTM's own (`hidden_size`), as in NAO; `latent_size` is not used.

    Source: NAO (Luo et al. 2018), official code, encoder.py. Deviates: no dropout.
    """

    mask: Mask
    latent_size: int
    hidden_size: int
    tokens_per_step: int = 2
    token_embedding_size: int = 32

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        num_rows, length = tokens.shape
        per_step = self.tokens_per_step if length % self.tokens_per_step == 0 else 1
        embedded = nn.Embed(len(self.mask[0]), self.token_embedding_size)(tokens)
        steps = embedded.reshape(num_rows, length // per_step, -1)
        cell = nn.OptimizedLSTMCell(self.hidden_size)
        return self.normalize(cast(Any, nn.RNN(cell))(steps))

    @staticmethod
    def normalize(latent: Array) -> Array:
        return l2_normalize(latent)

    @staticmethod
    def pool(latent: Array) -> Array:
        return l2_normalize(jnp.mean(latent, axis=-2))


def allowed_pairs(mask: Mask) -> tuple[np.ndarray, np.ndarray]:
    """Returns positions `[F]` and tokens `[F]` of all allowed pairs, by position."""
    positions, tokens = np.nonzero(np.asarray(mask))
    return positions, tokens


def one_hot_pairs(tokens: Array, mask: Mask) -> Array:
    """Returns `[B, F]`: 1.0 where a sequence has the allowed (position, token) pair."""
    positions, symbols = allowed_pairs(mask)
    return (tokens[:, positions] == symbols[None, :]).astype(jnp.float32)


def _one_hot_features(tokens: Array, mask: Mask) -> Array:
    """Returns `[B, F]`: the one-hot pairs, centred and scaled."""
    positions, _ = allowed_pairs(mask)
    num_choices = np.asarray(mask).sum(1)  # [L]
    share = (1.0 / num_choices)[positions].astype(np.float32)
    # The features of a position with k choices have the summed variance 1 - 1/k.
    scale = np.float32(np.sqrt(len(positions) / max((1.0 - 1.0 / num_choices).sum(), 1e-6)))
    return (one_hot_pairs(tokens, mask) - share[None, :]) * scale


ENCODERS: Mapping[str, type[MlpEncoder] | type[LstmEncoder]] = MappingProxyType(
    {"mlp": MlpEncoder, "lstm": LstmEncoder}
)
