"""A network's inference as a portable StableHLO program (`jax.export`).

It takes images of any size and brings them to the network's, by the rule of `data/resize.py`. Each
size is compiled once, when it is first met.

The program takes its variables as an argument, so the file of arrays beside it is the one copy of
them. It loads in the version of jax that wrote it and for some time in later ones, not in earlier
ones; the genotype and the variables are what lasts.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from jax import export

from xfernas_jax.data.resize import resized
from xfernas_jax.errors import ExportError
from xfernas_jax.train.initial import flat_variables

PLATFORMS = ("cpu", "cuda", "tpu")

Arrays = dict[str, np.ndarray]


def flat_arrays(variables: Mapping[str, Any]) -> Arrays:
    """Returns float32 arrays by path, such as `params/stem/Conv_0/kernel`."""
    return {path: np.asarray(value) for path, value in flat_variables(variables).items()}


def export_program(
    infer: Callable[[Any, jax.Array], jax.Array], arrays: Arrays, image_shape: tuple[int, int, int]
) -> bytes:
    """Serialises inference for any number and size of images and for CPU, CUDA and TPU.

    Args:
      infer: from nested variables and uint8 images of `image_shape` to logits `[B, classes]`.
      arrays: of `flat_arrays`; the program's first argument is such a dictionary, its second are
        uint8 images `[B, H, W, C]`.
      image_shape: (height, width, channels) of the network.

    Raises:
      ExportError: the network's module works for batches of one size only.
    """
    height, width, channels = image_shape
    matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)

    def call(arrays: Any, images: jax.Array) -> jax.Array:
        small = resized(images, height, width, jnp, matmul)
        return infer(traverse_util.unflatten_dict(arrays, sep="/"), small)

    any_size = export.symbolic_shape("batch, height, width")
    shapes = {path: jax.ShapeDtypeStruct(x.shape, x.dtype) for path, x in arrays.items()}
    images = jax.ShapeDtypeStruct((*any_size, channels), np.uint8)
    try:
        exported = export.export(jax.jit(call), platforms=PLATFORMS)(shapes, images)
    except (TypeError, jax.errors.InconclusiveDimensionOperation) as error:
        reason = " ".join(str(error).split())
        raise ExportError(
            f"The network cannot be written for any batch size ({reason:.200}); its module must "
            "take that from images.shape[0], not from len(images)."
        ) from error
    return bytes(exported.serialize())
