"""The score: a universal head u(z) shared by all tasks and a residual r(z, e) for one task."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float


class ScoreHeads(nn.Module):
    """Computes u(z) and r(z, e) from the architecture embedding z and task embedding e.

    The residual is linear in e with no bias anywhere behind e, so r(z, 0) is exactly 0: a task
    of which nothing is known is served by u alone.

    Source: our reading of XferNAS (Wistuba 2019); the paper's own wiring is not known to us.
    """

    hidden_size: int
    task_embedding_size: int
    num_costs: int = 0

    def setup(self) -> None:
        self.hidden = nn.Dense(self.hidden_size)
        self.universal = nn.Dense(1)
        self.residual = nn.Dense(self.task_embedding_size)
        if self.num_costs:
            self.costs = nn.Dense(self.num_costs)

    def features(self, z: Float[Array, "batch d"]) -> Float[Array, "batch f"]:
        """Returns `[B, hidden_size + D]`: what u and r are linear in."""
        return jnp.concatenate([nn.silu(self.hidden(z)), z], axis=-1)

    def __call__(
        self, z: Float[Array, "batch d"], e: Float[Array, "batch k"]
    ) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
        """Returns `[B]` universal score and `[B]` residual, in standardised units."""
        features = self.features(z)
        return self.universal(features)[:, 0], jnp.sum(self.residual(features) * e, axis=-1)

    def predict_costs(self, z: Float[Array, "batch d"]) -> Float[Array, "batch c"]:
        """Returns `[B, C]` standardised log costs: one more output each, shared by all tasks."""
        return self.costs(self.features(z)) if self.num_costs else jnp.zeros((len(z), 0))

    def all_tasks(
        self, z: Float[Array, "batch d"], embeddings: Float[Array, "tasks k"]
    ) -> tuple[Float[Array, "batch tasks"], Float[Array, "batch h"]]:
        """Returns `[B, T]` u + r for every task, and the hidden layer `[B, hidden_size]`."""
        features = self.features(z)
        scores = self.universal(features) + self.residual(features) @ embeddings.T
        return scores, features[:, : self.hidden_size]


def center_embeddings(
    embeddings: Float[Array, "tasks k"], is_source: Float[Array, " tasks"]
) -> Float[Array, "tasks k"]:
    """Subtracts the mean over the sources from every row, the target's included.

    So e = 0 stands for the average source, and u cannot hide what the sources share in e.
    """
    count = jnp.maximum(jnp.sum(is_source), 1.0)
    mean = jnp.sum(embeddings * is_source[:, None], axis=0, keepdims=True) / count
    return embeddings - mean
