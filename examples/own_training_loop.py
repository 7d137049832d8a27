"""Your own Flax training, asked by AskTell, with what an earlier task has taught.

    python examples/own_training_loop.py

The earlier task is to tell the digits 0 to 4 apart, the new one 5 to 9. Of twelve architectures all
are trained for the first, and four for the second.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

from xfernas_jax import AskTell, CategoricalSpace

SPACE = CategoricalSpace(
    "my_convnets", {"width": [4, 8, 16], "depth": [1, 2], "pooling": ["mean", "max"]}
)


class Network(nn.Module):
    """A small convolutional network for images `[B, 8, 8, 1]`."""

    width: int
    depth: int
    pooling: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for block in range(self.depth):
            x = nn.relu(nn.Conv(self.width * 2**block, (3, 3))(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        pool = jnp.mean if self.pooling == "mean" else jnp.max
        return nn.Dense(5)(pool(x, axis=(1, 2)))


def digits(first: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and labels of five digits."""
    images, labels = load_digits(return_X_y=True)
    wanted = (labels >= first) & (labels < first + 5)
    return images[wanted].reshape(-1, 8, 8, 1) / 16.0, labels[wanted] - first


def accuracy(network: Network, images: np.ndarray, labels: np.ndarray) -> float:
    """Trains a network and returns its accuracy on images that it has not seen."""
    cut = len(images) * 2 // 3
    optimizer = optax.adam(3e-3)
    variables = network.init(jax.random.key(0), images[:1])
    state = optimizer.init(variables)

    @jax.jit
    def step(variables, state, x, y):
        def loss(variables):
            logits = network.apply(variables, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        updates, state = optimizer.update(jax.grad(loss)(variables), state)
        return optax.apply_updates(variables, updates), state

    rng = np.random.default_rng(0)
    for _ in range(60):
        rows = rng.integers(0, cut, 64)
        variables, state = step(variables, state, images[rows], labels[rows])
    found = network.apply(variables, images[cut:]).argmax(-1)
    return float((found == labels[cut:]).mean())


def main() -> None:
    """Trains all networks for the earlier task and asks for four for the new one."""

    @functools.cache
    def score(first: int, genotype) -> float:
        return accuracy(Network(**SPACE.named(genotype)), *digits(first))

    everything = [SPACE.decode(row) for row in SPACE.all_tokens(100)]
    earlier = [score(0, genotype) for genotype in everything]
    search = AskTell(SPACE, sources=[(everything, earlier)], seed=0)
    best, best_score = None, -1.0
    for number in range(4):
        (genotype,) = search.ask()
        found = score(5, genotype)
        search.tell(genotype, found)
        print(f"{number + 1}: {100 * found:.1f} % with {SPACE.named(genotype)}")
        if found > best_score:
            best, best_score = genotype, found
    print(f"best: {100 * best_score:.1f} % with {SPACE.named(best)}")


if __name__ == "__main__":
    main()
