"""An exported network as a Flax module with its variables, for predictions and other loops."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from scipy.special import softmax

from xfernas_jax.data.augment import normalize
from xfernas_jax.data.resize import resize
from xfernas_jax.errors import GenotypeError, ModelError, SpaceError
from xfernas_jax.evaluate.inference import all_logits, inference
from xfernas_jax.export.model import ModelFacts, read_facts
from xfernas_jax.nn.builders import build_network
from xfernas_jax.nn.compile import variable_shapes
from xfernas_jax.nn.members import averaged
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.genotype_file import read_genotype
from xfernas_jax.space.registry import lookup_space
from xfernas_jax.train.initial import VARIABLES_FILE, flat_variables, read_arrays

BATCH_SIZE = 64
"""Images that `LoadedNetwork.logits` computes at once."""


class Classifier(nn.Module):
    """A network that takes images and gives logits, as loops of one's own expect it.

    Its variables are the network's own: `params` and `batch_stats`.

    Attributes:
      network: of a space's builder; see `nn.builders`.
    """

    network: nn.Module

    def setup(self) -> None:
        """Makes the network's variables those of this module."""
        nn.share_scope(self, self.network)

    def __call__(self, images: jax.Array | np.ndarray, train: bool = False) -> jax.Array:
        """Classifies images.

        Args:
          images: `[B, H, W, C]` float32, of `LoadedNetwork.preprocess`.
          train: batch statistics of the images and dropout, where the network has it; needs
            `mutable=["batch_stats"]` and `rngs={"dropout": key}`.

        Returns:
          `[B, classes]` float32.
        """
        positions = jnp.arange(images.shape[0], dtype=jnp.int32)
        return self.network(jnp.asarray(images), positions, 1.0, train)[0]


@dataclasses.dataclass(frozen=True, eq=False)
class LoadedNetwork:
    """A trained network with all that is needed to use it.

    Attributes:
      module: gives logits; `module.apply(variables, preprocess(images))`.
      variables: its `params` and `batch_stats`, float32.
      facts: what the folder says of it.
      space: of the genotype.
      genotype: the architecture.
    """

    module: Classifier
    variables: Mapping[str, Any]
    facts: ModelFacts
    space: Space
    genotype: Genotype

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return self.facts.class_names

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images that the network was trained on."""
        return self.facts.image_shape

    def resize(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Brings images to the network's size.

        Args:
          images: `[N, H, W, C]` uint8 of any size, or a sequence of `[H, W, C]` of many sizes.

        Returns:
          `[N, height, width, C]` uint8.

        Raises:
          ModelError: the images are no uint8, or have another number of channels.
        """
        height, width, channels = self.image_shape
        if not isinstance(images, np.ndarray):
            rows = [self.resize(np.asarray(image)[None]) for image in images]
            return np.concatenate(rows) if rows else np.zeros((0, *self.image_shape), np.uint8)
        if images.ndim != 4 or images.dtype != np.uint8 or images.shape[-1] != channels:
            raise ModelError(
                f"Images are [N, H, W, {channels}] uint8 of 0 to 255, of any height and width. Got "
                f"shape {list(images.shape)}, dtype {images.dtype}."
            )
        return resize(images, height, width)

    def preprocess(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Brings images to the network's size and standardises them; see `resize`.

        Returns:
          `[N, height, width, C]` float32.
        """
        return np.asarray(normalize(jnp.asarray(self.resize(images)), self.facts.normalizer))

    def logits(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Classifies images; see `resize`.

        Where the network was tested so, the logits of an image and of its mirror image are
        averaged.

        Returns:
          `[N, classes]` float32.
        """
        small = self.resize(images)
        if not len(small):
            return np.zeros((0, len(self.class_names)), np.float32)
        return all_logits(self._infer, self.variables, small, BATCH_SIZE)

    def probabilities(self, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
        """Returns the softmax of `logits`, `[N, classes]` float64; the rows add up to 1."""
        return softmax(self.logits(images).astype(np.float64), axis=-1)

    @functools.cached_property
    def _infer(self) -> Callable[..., jax.Array]:
        facts = self.facts
        return jax.jit(inference(self.module.network, facts.normalizer, facts.test_flips))


def load_network(folder: str | os.PathLike[str], space: Space | None = None) -> LoadedNetwork:
    """Loads what `export` wrote; nothing in the folder is executed.

    Args:
      folder: of the network.
      space: of its genotype, where that is one of your own; by default one of ours of the recorded
        name.

    Raises:
      ModelError: a file is missing, damaged or does not fit the others, or the space is a user's
        own and not given.
    """
    path = pathlib.Path(folder)
    if not path.is_dir():
        raise ModelError(f"{path}: there is no such folder; name one that `export` wrote.")
    facts = read_facts(path)
    try:
        found = lookup_space(facts.space) if space is None else space
        genotype = read_genotype(path / "genotype.json", found)
        single = build_network(found.plan(genotype), facts.network, len(facts.class_names))
        network = averaged(single, facts.num_members)
    except (GenotypeError, SpaceError) as error:
        raise ModelError(f"{path}: {error}") from error
    variables = _read_variables(path / VARIABLES_FILE)
    _check_fits(path, network, facts, variables)
    return LoadedNetwork(Classifier(network), variables, facts, found, genotype)


def _read_variables(file: pathlib.Path) -> dict[str, Any]:
    arrays = {tuple(name.split("/")): array for name, array in read_arrays(file).items()}
    nested: dict[str, Any] = {"params": {}, "batch_stats": {}}
    try:
        nested.update(traverse_util.unflatten_dict(arrays))
    except (TypeError, ValueError, KeyError) as error:
        raise ModelError(f"{file}: its names are no paths of variables.") from error
    return nested


def _check_fits(
    path: pathlib.Path, network: nn.Module, facts: ModelFacts, variables: Mapping[str, Any]
) -> None:
    """Raises `ModelError` unless the variables are those of the network."""
    shapes = flat_variables(variable_shapes(network, facts.image_shape))
    wanted = {key: leaf.shape for key, leaf in shapes.items()}
    flat = flat_variables(variables)
    found = {key: np.shape(value) for key, value in flat.items()}
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            raise ModelError(
                f"{path}: {VARIABLES_FILE} does not fit genotype.json and model.json: {key} has "
                f"shape {found.get(key)}, and the network of {len(facts.class_names)} classes "
                f"wants {wanted.get(key)}. Export the network again."
            )
