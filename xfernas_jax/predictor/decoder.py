"""Decoders: a latent `[B, S, D]` back to token logits, always within the space's mask.

One is built as `decoder(mask, hidden_size)`. The call is for the loss: of a latent, its pooled
embedding `[B, D]` and allowed tokens it gives `[B]` the mean over tokens of the negative
log-likelihood, in nats. Free decoding is `start`, the carry before position 0, and then one `step`
a position: it takes the token before (0, the start symbol, at position 0) and gives the next carry
and logits `[B, V]`. The probabilities of the steps multiply to that of the call (tested).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from xfernas_jax.predictor.encoder import Mask, allowed_pairs, one_hot_pairs

FORBIDDEN = -1e9  # logit of a token that its position does not allow
LOGIT_CAP = 15.0  # of the parallel decoder


class MlpDecoder(nn.Module):
    """All positions at once: embedding, one hidden layer, a logit for each allowed token."""

    mask: Mask
    hidden_size: int

    def setup(self) -> None:
        self.hidden = nn.Dense(self.hidden_size)
        self.logits = nn.Dense(len(allowed_pairs(self.mask)[0]))

    def __call__(self, latent: Array, embedding: Array, tokens: Array) -> Array:
        # Sums over the tokens of a position are a product with a 0/1 matrix: gathers and
        # forbidden logits would cost more than the network itself. The cap keeps exp finite.
        logits = self._pair_logits(embedding)  # [B, F]
        positions, _ = allowed_pairs(self.mask)
        member = (positions[:, None] == np.arange(len(self.mask))[None]).astype(np.float32)
        normalizers = jnp.sum(jnp.log(jnp.exp(logits) @ member), axis=-1)
        own = jnp.sum(logits * one_hot_pairs(tokens, self.mask), axis=-1)
        return (normalizers - own) / len(self.mask)

    def start(self, latent: Array, embedding: Array) -> Array:
        """Returns the logits `[B, L, V]` of all positions; they do not see each other."""
        logits = self._pair_logits(embedding)
        shape = (logits.shape[0], len(self.mask), len(self.mask[0]))
        return jnp.full(shape, FORBIDDEN).at[:, *allowed_pairs(self.mask)].set(logits)

    def step(
        self, carry: Array, latent: Array, previous: Array, position: Array
    ) -> tuple[Array, Array]:
        return carry, carry[:, position]

    def _pair_logits(self, embedding: Array) -> Array:
        logits = self.logits(nn.silu(self.hidden(embedding)))
        return LOGIT_CAP * jnp.tanh(logits / LOGIT_CAP)


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
        states = cast(Any, self.rnn)(self.embed(previous), initial_carry=carry)  # [B, L, D]
        logits = jnp.where(np.asarray(self.mask)[None], self._attend(states, latent), FORBIDDEN)
        log_probs = nn.log_softmax(logits, axis=-1)
        own = jnp.take_along_axis(log_probs, tokens[..., None], axis=-1)
        return -jnp.mean(own[..., 0], axis=-1)

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
