"""The joint network: encoder, decoder and heads, with initial values drawn by NumPy."""

from collections.abc import Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from xfernas_jax.errors import FlagError
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.decoder import DECODERS
from xfernas_jax.predictor.encoder import ENCODERS, Mask, rms_normalize
from xfernas_jax.predictor.heads import ScoreHeads, center_embeddings

Params = Mapping[str, Any]


class JointNetwork(nn.Module):
    """One member of the ensemble.

    Its fields are shapes alone: programs are compiled for a network, so what is no shape (rates,
    weights, steps, seeds) must not be one.

    Attributes:
      mask: `[L][V]`, which tokens may stand at each position.
      encoder_name: in `ENCODERS`; the decoder follows from it.
      latent_size: D.
      hidden_size: width of encoder, heads and decoder.
      task_embedding_size: length of e.
      num_tasks: rows of the task embedding; row 0 is the target, the rest sources (or padding).
      num_costs: C, costs that are predicted beside the score.
    """

    mask: Mask
    encoder_name: str
    latent_size: int
    hidden_size: int
    task_embedding_size: int
    num_tasks: int
    num_costs: int = 0

    def setup(self) -> None:
        self.encoder = ENCODERS[self.encoder_name](self.mask, self.latent_size, self.hidden_size)
        self.decoder = DECODERS[self.encoder_name](self.mask, self.hidden_size)
        self.heads = ScoreHeads(self.hidden_size, self.task_embedding_size, self.num_costs)
        self.task_embedding = self.param(
            "task_embedding",
            nn.initializers.normal(0.1),
            (self.num_tasks, self.task_embedding_size),
        )

    def __call__(self, tokens: Array, task_ids: Array, is_source: Array) -> Array:
        """Touches every parameter; used for their shapes only."""
        latent = self.encode(tokens)
        universal, residual = self.score(latent, self.embeddings(is_source)[task_ids])
        costs = jnp.sum(self.costs(latent), axis=-1)
        return universal + residual + costs + self.reconstruct(latent, tokens)

    @property
    def latent_entries(self) -> int:
        """Returns S * D."""
        encoder = ENCODERS[self.encoder_name](self.mask, self.latent_size, self.hidden_size)
        tokens = jnp.ones((1, len(self.mask)), jnp.int32)
        latent, _ = jax.eval_shape(encoder.init_with_output, jax.random.key(0), tokens)
        return latent.shape[1] * latent.shape[2]

    def normalize(self, latent: Array) -> Array:
        """Puts any `[..., S, D]` back on the surface where latents lie."""
        return ENCODERS[self.encoder_name].normalize(latent)

    def encode(self, tokens: Array) -> Array:
        """`[B, L]` tokens to a normalised latent `[B, S, D]`."""
        return self.encoder(tokens)

    def score(self, latent: Array, e: Array) -> tuple[Array, Array]:
        """Returns u and r, `[B]` each; the heads see an embedding of rms 1 from any encoder."""
        return self.heads(rms_normalize(self.encoder.pool(latent)), e)

    def costs(self, latent: Array) -> Array:
        """Returns `[B, C]` standardised log costs."""
        return self.heads.predict_costs(rms_normalize(self.encoder.pool(latent)))

    def features(self, latent: Array, is_source: Array) -> tuple[Array, Array, Array, Array]:
        """Returns scores `[B, T]`, embedding `[B, D]`, hidden layer `[B, H]`, costs `[B, C]`."""
        z = rms_normalize(self.encoder.pool(latent))
        scores, hidden = self.heads.all_tasks(z, self.embeddings(is_source))
        return scores, z, hidden, self.heads.predict_costs(z)

    def embeddings(self, is_source: Array) -> Array:
        """Returns the centred task embeddings `[T, K]`."""
        return center_embeddings(self.task_embedding, is_source)

    def reconstruct(self, latent: Array, tokens: Array) -> Array:
        """Returns `[B]` the mean negative log-likelihood of the tokens, in nats."""
        return self.decoder(latent, self.encoder.pool(latent), tokens)

    def start_decoding(self, latent: Array) -> Any:
        """Returns the decoder's carry before position 0."""
        return self.decoder.start(latent, self.encoder.pool(latent))

    def decode_step(self, carry: Any, latent: Array, previous: Array, position: Array) -> Any:
        """Returns the next carry and the logits `[B, V]` of `position`."""
        return self.decoder.step(carry, latent, previous, position)


def apply(network: JointNetwork, params: Params, method: str, *args: Any) -> Any:
    """Calls a method of one member."""
    return cast(Any, network.apply)({"params": params}, *args, method=method)


def build_network(
    mask: np.ndarray, config: PredictorConfig, num_tasks: int, num_costs: int = 0
) -> JointNetwork:
    """Builds the network of a space.

    Raises:
      FlagError: the encoder's name is unknown.
    """
    if config.encoder not in ENCODERS:
        raise FlagError(
            f"Unknown encoder {config.encoder!r} (--encoder). Known: {', '.join(ENCODERS)}."
        )
    rows = tuple(tuple(bool(x) for x in row) for row in mask)
    c = config.resolve(len(rows))
    assert c.latent_size is not None
    assert c.hidden_size is not None
    sizes = (c.latent_size, c.hidden_size, c.task_embedding_size, num_tasks, num_costs)
    return JointNetwork(rows, c.encoder, *sizes)


def draw_params(network: JointNetwork, num_members: int, seed: int) -> Params:
    """Draws the ensemble's initial values with NumPy: compiling `init` would cost seconds.

    Kernels are normal with variance 1 / fan-in, biases 0, the score's last layers a tenth of
    that, the token embeddings normal. The target's task embedding is left to `fit`. More rows
    in the task embedding do not change the other values, so padding changes no result.

    Returns:
      Parameters with a leading member axis `[E, ...]`, float32.
    """
    shapes = jax.eval_shape(
        network.init,
        jax.random.key(0),
        jnp.ones((1, len(network.mask)), jnp.int32),
        jnp.zeros(1, jnp.int32),
        jnp.ones(network.num_tasks),
    )["params"]

    def draw(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        names = [str(entry.key) for entry in path]
        words = [int.from_bytes("/".join(names).encode(), "little") % (2**61 - 1)]
        members = []
        for member in range(num_members):
            rng = np.random.default_rng([seed, member, *words])
            members.append(rng.normal(0.0, _scale(names, leaf.shape), leaf.shape))
        return np.stack(members).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _scale(names: list[str], shape: tuple[int, ...]) -> float:
    if names[-1] == "bias":
        return 0.0
    if names[-1] == "task_embedding":
        return 0.1
    if names[-1] == "embedding":
        return 1.0
    fan_in = float(np.prod(shape[:-1]))
    return (0.1 if "heads" in names and "hidden" not in names else 1.0) / fan_in**0.5
