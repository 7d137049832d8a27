"""What a person would write without us: a small network in plain Flax, trained as tutorials do.

It is what the demo and the experiments compare with, so it shares no code with our trainer: pixels
divided by 255, no augmentation, batches of 64, Adam with a learning rate of .001 until the time is
over, and the parameters of the epoch with the best validation accuracy.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from xfernas_jax.data.base import ImageDataset, Split
from xfernas_jax.errors import FlagError
from xfernas_jax.registry import near_hint

SIDE = 32
"""Pixels of the longer side, for which images are shrunk: the size of CIFAR-10's."""

_BATCH, _LEARNING_RATE = 64, 1e-3


class ConvNet(nn.Module):
    """Two convolutions with pools and two dense layers, as in Flax's example for MNIST.

    Attributes:
      num_classes: of the task.
    """

    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Returns logits `[B, num_classes]` of images `[B, H, W, C]`."""
        for width in (32, 64):
            x = nn.avg_pool(nn.relu(nn.Conv(width, (3, 3))(x)), (2, 2), (2, 2))
        x = nn.relu(nn.Dense(256)(x.reshape(len(x), -1)))
        return nn.Dense(self.num_classes)(x)


class ResNet8(nn.Module):
    """Three residual blocks, 16, 32 and 64 wide.

    Attributes:
      num_classes: of the task.
    """

    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Returns logits `[B, num_classes]` of images `[B, H, W, C]`."""

        def norm(y: jax.Array) -> jax.Array:
            return nn.BatchNorm(use_running_average=not train, momentum=0.9)(y)

        x = nn.relu(norm(nn.Conv(16, (3, 3), use_bias=False)(x)))
        for width, stride in ((16, 1), (32, 2), (64, 2)):
            y = nn.relu(norm(nn.Conv(width, (3, 3), stride, use_bias=False)(x)))
            y = norm(nn.Conv(width, (3, 3), use_bias=False)(y))
            if stride > 1:
                x = norm(nn.Conv(width, (1, 1), stride, use_bias=False)(x))
            x = nn.relu(x + y)
        return nn.Dense(self.num_classes)(x.mean((1, 2)))


NETWORKS: Mapping[str, Callable[[int], nn.Module]] = MappingProxyType(
    {"convnet": ConvNet, "resnet8": ResNet8}
)
"""From the number of classes to a module, by name."""


@dataclasses.dataclass(frozen=True)
class Tutorial:
    """What such a training gave.

    Attributes:
      network: its name.
      valid: best validation accuracy of an epoch, in [0, 1].
      test: test accuracy of that epoch's parameters, read once.
      epochs: that were trained.
      seconds: in all, compilation included.
      num_params: trainable parameters.
    """

    network: str
    valid: float
    test: float
    epochs: int
    seconds: float
    num_params: int


def train_tutorial(
    network: str,
    dataset: ImageDataset,
    seed: int = 0,
    *,
    seconds: float = float("inf"),
    epochs: int | None = None,
) -> Tutorial:
    """Trains until the time or the epochs are over; the first epoch is always finished.

    Args:
      network: a key of `NETWORKS`.
      dataset: with images as they are to be used.
      seed: of the initial parameters and the order of the images.
      seconds: after which no epoch is begun that would not end in time.
      epochs: at most.

    Raises:
      FlagError: there is no such network.
    """
    if network not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise FlagError(
            f"There is no tutorial network {network!r:.80}. {near_hint(network, NETWORKS)}"
            f"Known: {known}."
        )
    assert dataset.task.num_classes is not None
    start = time.monotonic()
    module, optimizer = NETWORKS[network](dataset.task.num_classes), optax.adam(_LEARNING_RATE)
    state = _begin(module, optimizer, dataset.input_shape, seed)
    num_params = sum(leaf.size for leaf in jax.tree.leaves(state[0]["params"]))
    step, infer = _step(module, optimizer), _infer(module)
    rng = np.random.default_rng(seed)
    best, kept, epoch, longest = -1.0, state[0], 0, 0.0
    while epoch != epochs:
        begun = time.monotonic()
        if epoch and begun - start + longest > seconds:
            break
        for images, labels in _batches(dataset.train, rng):
            state = step(*state, images, labels)
        found = _accuracy(infer, state[0], dataset.valid)
        if found > best:
            best, kept = found, state[0]
        if epoch:  # the first one compiles
            longest = max(longest, time.monotonic() - begun)
        epoch += 1
    test = _accuracy(infer, kept, dataset.test)
    return Tutorial(network, best, test, epoch, time.monotonic() - start, num_params)


def _begin(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    shape: tuple[int, int, int],
    seed: int,
) -> tuple[Any, Any]:
    variables = module.init(jax.random.key(seed), jnp.zeros((1, *shape)), train=False)
    return variables, optimizer.init(variables["params"])


def _step(module: nn.Module, optimizer: optax.GradientTransformation) -> Callable[..., Any]:
    @jax.jit
    def step(variables: Any, opt_state: Any, images: jax.Array, labels: jax.Array) -> Any:
        others = {name: its for name, its in variables.items() if name != "params"}

        def loss(params: Any) -> tuple[jax.Array, Any]:
            logits, changed = module.apply(
                {"params": params, **others}, images / 255.0, train=True, mutable=list(others)
            )
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(), changed

        gradients, changed = jax.grad(loss, has_aux=True)(variables["params"])
        updates, opt_state = optimizer.update(gradients, opt_state)
        params = optax.apply_updates(variables["params"], updates)
        return {"params": params, **changed}, opt_state

    return step


def _infer(module: nn.Module) -> Callable[..., Any]:
    return jax.jit(lambda variables, images: module.apply(variables, images / 255.0, train=False))


def _batches(part: Split, rng: np.random.Generator) -> Any:
    """Gives the batches of an epoch; what does not fill one waits for another order."""
    size = min(_BATCH, len(part))
    order = rng.permutation(len(part))
    for first in range(0, len(part) - size + 1, size):
        rows = np.sort(order[first : first + size])
        yield np.asarray(part.images[rows]), part.labels[rows]


def _accuracy(infer: Callable[..., Any], variables: Any, part: Split) -> float:
    right = 0
    for first in range(0, len(part), 250):
        rows = slice(first, first + 250)
        logits = infer(variables, np.asarray(part.images[rows]))
        right += int((np.argmax(logits, axis=-1) == part.labels[rows]).sum())
    return right / len(part)
