"""Classes of picture files by exported networks."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from xfernas_jax.data.pictures import read_image
from xfernas_jax.data.resize import resize
from xfernas_jax.errors import DatasetError, ModelError
from xfernas_jax.export.load import BATCH_SIZE, LoadedNetwork


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """What is said of a file.

    Attributes:
      file: as it was named.
      probabilities: `[classes]`, which add up to 1; None where the file could not be read.
      failure: why not, in one line; empty where it was read.
    """

    file: pathlib.Path
    probabilities: np.ndarray | None = None
    failure: str = ""


def predict_files(
    networks: Sequence[LoadedNetwork], files: Iterable[pathlib.Path]
) -> Iterator[Prediction]:
    """Classifies pictures in their order, some at a time; memory does not grow with their number.

    Args:
      networks: of the same classes; with several the mean of their probabilities counts.
      files: that are read in parallel.
    """
    check_same_classes(networks)
    names = iter(files)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := list(itertools.islice(names, BATCH_SIZE)):
            read = list(pool.map(lambda file: _read(file, networks), batch))
            images = [found for found in read if not isinstance(found, str)]
            means = iter(_mean_probabilities(networks, images))
            for file, found in zip(batch, read, strict=True):
                if isinstance(found, str):
                    yield Prediction(file, failure=found)
                else:
                    yield Prediction(file, next(means))


def check_same_classes(networks: Sequence[LoadedNetwork]) -> None:
    """Raises `ModelError` unless all networks tell the same classes apart, in the same order."""
    first, *others = networks
    for other in others:
        if other.class_names != first.class_names:
            ours, theirs = set(first.class_names), set(other.class_names)
            differing = sorted(ours ^ theirs)
            what = f"{differing[0]!r:.60} is of one of them" if differing else "in another order"
            raise ModelError(
                f"The networks are of different classes ({len(ours)} and {len(theirs)}; {what}), "
                "so their probabilities have no mean; give one --model at a time."
            )


def _read(file: pathlib.Path, networks: Sequence[LoadedNetwork]) -> list[np.ndarray] | str:
    """Returns a picture at each network's size, or why it cannot be read."""
    try:
        images = {n.image_shape[2]: read_image(file, n.image_shape[2]) for n in networks}
        return [
            resize(images[channels][None], height, width)[0]
            for height, width, channels in (network.image_shape for network in networks)
        ]
    except DatasetError as error:
        return str(error)


def _mean_probabilities(
    networks: Sequence[LoadedNetwork], images: Sequence[list[np.ndarray]]
) -> np.ndarray:
    if not images:
        return np.zeros((0, len(networks[0].class_names)))
    each = [
        network.probabilities(np.stack([sizes[number] for sizes in images]))
        for number, network in enumerate(networks)
    ]
    return np.mean(each, axis=0)
