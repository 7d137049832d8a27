"""Decoders: a latent `[B, S, D]` back to token logits, always within the space's mask."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from xfernas_jax.predictor.encoder import Mask

FORBIDDEN = -1e9  # logit of a token that its position does not allow


class Decoder(Protocol):
    """What every decoder module offers.

    Teacher-forced logits come from the call, free decoding from `start` and one `step` a
    position; both give the same logits for the same tokens (tested).
    """

    def __call__(self, latent: Array, embedding: Array, tokens: Array) -> Array:
        """Returns `[B, L, V]` logits given the true tokens `[B, L]` before each position."""
        ...

    def start(self, latent: Array, embedding: Array) -> Any:
        """Returns the carry before position 0."""
        ...

    def step(self, carry: Any, latent: Array, previous: Array, position: Array) -> Any:
        """Returns the next carry and the logits `[B, V]` of `position`.

        `previous` holds the token `[B]` before it (0, the start symbol, at position 0).
        """
        ...


def apply_mask(logits: Array, mask: Mask) -> Array:
    """Sets the logits `[B, L, V]` of forbidden tokens to `FORBIDDEN`."""
    return jnp.where(np.asarray(mask)[None], logits, FORBIDDEN)


class MlpDecoder(nn.Module):
    """All positions at once: embedding, one hidden layer, `L x V` logits."""

    mask: Mask
    hidden_size: int

    def setup(self) -> None:
        self.hidden = nn.Dense(self.hidden_size)
        self.logits = nn.Dense(len(self.mask) * len(self.mask[0]))

    def __call__(self, latent: Array, embedding: Array, tokens: Array) -> Array:
        del latent, tokens  # positions do not see each other
        flat = self.logits(nn.silu(self.hidden(embedding)))
        return apply_mask(flat.reshape(-1, len(self.mask), len(self.mask[0])), self.mask)

    def start(self, latent: Array, embedding: Array) -> Array:
        return self(latent, embedding, embedding)

    def step(
        self, carry: Array, latent: Array, previous: Array, position: Array
    ) -> tuple[Array, Array]:
        del latent, previous
        return carry, carry[:, position]


class LstmDecoder(nn.Module):
    """NAO's decoder: an LSTM that starts at the embedding and attends to the latent.

    Hidden and cell state start at the architecture embedding; the attention is the dot
    product with the encoder's outputs, joined to the state by a tanh layer.

    Source: NAO_pytorch, decoder.py (attention and start state). Deviates: no dropout.
    """

    mask: Mask
    hidden_size: int
    token_embedding_size: int = 32

    def setup(self) -> None:
        self.embed = nn.Embed(len(self.mask[0]), self.token_embedding_size)
        self.cell = nn.OptimizedLSTMCell(self.hidden_size)
        self.rnn = nn.RNN(self.cell)
        self.query = nn.Dense(self.hidden_size, use_bias=False)
        self.join = nn.Dense(self.hidden_size)
        self.logits = nn.Dense(len(self.mask[0]))

    def __call__(self, latent: Array, embedding: Array, tokens: Array) -> Array:
        previous = jnp.pad(tokens[:, :-1], ((0, 0), (1, 0)))  # the start symbol is 0
        carry = self.start(latent, embedding)
        states = self.rnn(self.embed(previous), initial_carry=carry)  # [B, L, D]
        return apply_mask(self._attend(states, latent), self.mask)

    def start(self, latent: Array, embedding: Array) -> tuple[Array, Array]:
        del latent
        return embedding, embedding

    def step(
        self, carry: tuple[Array, Array], latent: Array, previous: Array, position: Array
    ) -> tuple[tuple[Array, Array], Array]:
        carry, state = self.cell(carry, self.embed(previous))
        logits = self._attend(state[:, None], latent)[:, 0]
        return carry, jnp.where(jnp.asarray(self.mask)[position][None], logits, FORBIDDEN)

    def _attend(self, states: Array, latent: Array) -> Array:
        weights = nn.softmax(self.query(states) @ jnp.swapaxes(latent, -1, -2), axis=-1)
        context = weights @ latent  # [B, L, D]
        return self.logits(nn.tanh(self.join(jnp.concatenate([states, context], axis=-1))))


DECODERS: Mapping[str, type[MlpDecoder] | type[LstmDecoder]] = MappingProxyType(
    {"mlp": MlpDecoder, "lstm": LstmDecoder}
)
