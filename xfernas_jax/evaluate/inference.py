"""What a trained network says of images: the function that is tested, exported and loaded again."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from xfernas_jax.data.augment import Normalizer, normalize
from xfernas_jax.types import ImageRows


def inference(
    network: nn.Module, normalizer: Normalizer, flips: bool
) -> Callable[[Any, jax.Array], jax.Array]:
    """Returns the function from variables and images to logits, to be jitted.

    Args:
      network: of a space's builder.
      normalizer: of the images.
      flips: whether the logits of an image and of its mirror image are averaged.

    Returns:
      From `params` and `batch_stats`, and `[B, H, W, C]` uint8, to `[B, classes]` float32.
    """

    def infer(variables: Any, images: jax.Array) -> jax.Array:
        return evaluated(network, variables, normalize(images, normalizer), flips)

    return infer


def evaluated(network: nn.Module, variables: Any, images: jax.Array, flips: bool) -> jax.Array:
    """Returns the logits of standardised images, averaged with those of their mirror images.

    Logits are averaged, not probabilities: what comes out is still logits, for every metric and
    for the exported function. It is the geometric mean of the probabilities, normalised.
    """
    if not flips:
        return network.apply(variables, images)[0]
    both = jnp.concatenate([images, images[:, :, ::-1]])  # one network in the program, not two
    logits = network.apply(variables, both)[0]
    return logits.reshape(2, -1, logits.shape[-1]).mean(axis=0)


def all_logits(
    infer: Callable[[Any, np.ndarray], jax.Array], variables: Any, images: ImageRows, size: int
) -> np.ndarray:
    """Returns logits `[N, classes]` of images `[N, H, W, C]`, at least one.

    Args:
      infer: of `inference`, jitted.
      variables: of the network.
      images: read as they are needed.
      size: images at a time; the last ones are filled up, so that one program serves all.
    """
    found = []
    for start in range(0, len(images), size):
        part = np.asarray(images[start : start + size])
        whole = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), np.uint8)])
        found.append(np.asarray(infer(variables, whole))[: len(part)])
    return np.concatenate(found)
