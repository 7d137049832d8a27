"""A network's inference as a portable StableHLO program (`jax.export`).

The program takes its variables as an argument, so the file of arrays beside it is the one copy of
them. It loads in the version of jax that wrote it and for some time in later ones, not in earlier
ones; the genotype and the variables are what lasts.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jax import export

from xfernas_jax.errors import ExportError

PLATFORMS = ("cpu", "cuda", "tpu")

Arrays = dict[str, np.ndarray]


def flat_arrays(variables: Mapping[str, Any]) -> Arrays:
    """Returns float32 arrays by path, such as `params/stem/Conv_0/kernel`."""
    flat: Mapping[str, Any] = traverse_util.flatten_dict(dict(variables), sep="/")
    return {path: np.asarray(value) for path, value in flat.items()}


def export_program(
    infer: Callable[[Any, jax.Array], jax.Array], arrays: Arrays, image_shape: tuple[int, int, int]
) -> bytes:
    """Serialises inference for any batch size and for CPU, CUDA and TPU.

    Args:
      infer: from nested variables and uint8 images `[B, H, W, C]` to logits `[B, classes]`.
      arrays: of `flat_arrays`; the program's first argument is such a dictionary.
      image_shape: (height, width, channels).

    Raises:
      ExportError: the network's module works for batches of one size only.
    """

    def call(arrays: Any, images: jax.Array) -> jax.Array:
        return infer(traverse_util.unflatten_dict(arrays, sep="/"), images)

    (batch,) = export.symbolic_shape("batch")
    shapes = {path: jax.ShapeDtypeStruct(x.shape, x.dtype) for path, x in arrays.items()}
    images = jax.ShapeDtypeStruct((batch, *image_shape), np.uint8)
    try:
        exported = export.export(jax.jit(call), platforms=PLATFORMS)(shapes, images)
    except (TypeError, jax.errors.InconclusiveDimensionOperation) as error:
        reason = " ".join(str(error).split())
        raise ExportError(
            f"The network cannot be written for any batch size ({reason:.200}); its module must "
            "take that from images.shape[0], not from len(images)."
        ) from error
    return bytes(exported.serialize())
