"""From a genotype to a Flax module and its initial values."""

import math
import zlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from xfernas_jax.nn.network import Network, NetworkConfig
from xfernas_jax.space.base import Genotype, Space

Variables = dict[str, Any]


def compile_network(
    space: Space,
    genotype: Genotype,
    config: NetworkConfig,
    num_classes: int,
    axis_name: str | None = None,
) -> Network:
    """Builds the module of a genotype; nothing is traced or compiled yet."""
    return Network(space.plan(genotype), config, num_classes, axis_name)


def variable_shapes(network: Network, image_shape: tuple[int, int, int]) -> Variables:
    """Returns the shapes of `params` and `batch_stats` without running anything.

    Args:
      network: the module.
      image_shape: (height, width, channels).
    """
    unsynchronized = network.clone(axis_name=None)
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    positions = jax.ShapeDtypeStruct((1,), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def init(key: jax.Array, images: jax.Array, positions: jax.Array) -> Variables:
        rngs = {"params": key, "dropout": key}
        return dict(unsynchronized.init(rngs, images, positions, train=True))

    return jax.eval_shape(init, key, images, positions)


def count_params(variables: Variables) -> int:
    """Returns the number of trainable parameters (batch statistics do not count)."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def initial_variables(network: Network, image_shape: tuple[int, int, int], seed: int) -> Variables:
    """Draws initial values on the host: no program is compiled for it.

    The distributions are those of the modules' Flax initialisers: truncated normals of variance
    2 / fan-in for convolutions (He et al., 2015) and 1 / fan-in for the classifiers (Flax's
    default for `nn.Dense`), ones for scales and variances, zeros for biases and means. A leaf's
    draw depends on the seed and on its own path only.

    Returns:
      `{"params": ..., "batch_stats": ...}` of NumPy float32 arrays.
    """
    flat: dict[Any, Any] = dict(traverse_util.flatten_dict(variable_shapes(network, image_shape)))
    return draw_variables({path: leaf.shape for path, leaf in flat.items()}, seed)


def draw_variables(shapes: Mapping[tuple[str, ...], tuple[int, ...]], seed: int) -> Variables:
    """Draws initial values as `initial_variables` does, from the shape of each path."""
    values = {path: _initial_value(path, shape, seed) for path, shape in shapes.items()}
    nested = traverse_util.unflatten_dict(values)
    return {"params": nested["params"], "batch_stats": nested.get("batch_stats", {})}


def _initial_value(path: tuple[str, ...], shape: tuple[int, ...], seed: int) -> np.ndarray:
    leaf = path[-1]
    if leaf in ("bias", "mean"):
        return np.zeros(shape, np.float32)
    if leaf in ("scale", "var"):
        return np.ones(shape, np.float32)
    if leaf != "kernel":
        raise ValueError(f"No initial distribution is known for the variable {'/'.join(path)}.")
    gain = 2.0 if len(shape) == 4 else 1.0
    rng = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
    return _truncated_normal(rng, shape, math.sqrt(gain / math.prod(shape[:-1])))


def _truncated_normal(
    rng: np.random.Generator, shape: tuple[int, ...], stddev: float
) -> np.ndarray:
    """Draws normals cut at two standard deviations, rescaled to `stddev`, as Flax does."""
    draws = rng.standard_normal(shape)
    outside = np.abs(draws) > 2.0
    while outside.any():
        draws[outside] = rng.standard_normal(int(outside.sum()))
        outside = np.abs(draws) > 2.0
    return (draws * (stddev / 0.87962566103423978)).astype(np.float32)
