"""Test images that an exported network is tried on and that come along with it."""

import dataclasses
import pathlib

import numpy as np

from xfernas_jax.cli import flags
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.data.pictures import read_image
from xfernas_jax.data.registry import is_tfds, load_dataset
from xfernas_jax.data.split import with_found
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.evaluate.spec import TrainedSpec
from xfernas_jax.export.bundle import LOAD_TEST, TestImages

_NUM_ORIGINALS = 3  # each size is compiled once


def originals(trained: TrainedSpec, dataset: ImageDataset) -> dict[int, np.ndarray]:
    """Returns test images of some sizes, from the smallest to the largest, as in their source."""
    found = with_found(dataset).found
    assert found is not None
    part, network_size = found.parts["test"], np.array(dataset.input_shape[:2])
    sizes, rows = np.unique(part.sizes, axis=0, return_index=True)
    rows = rows[(sizes != network_size).any(axis=1)]
    if not len(rows):
        return {}
    places = np.linspace(0, len(rows) - 1, min(_NUM_ORIGINALS, len(rows))).round().astype(int)
    chosen = rows[np.unique(places)].tolist()
    if part.files:
        channels = dataset.input_shape[-1]
        return {row: read_image(pathlib.Path(part.files[row]), channels) for row in chosen}
    if len(sizes) > 1:  # of a set that gives no files and no images as they were
        return {}
    data = dataclasses.replace(trained.recipe.data, image_size=None)
    images = load_dataset(trained.dataset, data, trained.data_dir).test.images
    return {row: np.asarray(images[row : row + 1])[0] for row in chosen}


def test_images(name: str, dataset: ImageDataset, recipe: Recipe) -> TestImages:
    """Returns the test part, with a loader instead where it may not be passed on."""
    choice = flags.TEST_IMAGES.value
    loader = None
    if choice == "no" or (choice == "auto" and is_tfds(name)):
        loader = LOAD_TEST.format(name=name, config=dataclasses.asdict(recipe.data))
    return TestImages(dataset.test.images[:], dataset.test.labels, loader)
