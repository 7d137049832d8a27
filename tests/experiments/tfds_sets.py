"""Small sets under the names of TFDS's own, prepared on disk with made-up images: no network."""

import pathlib
from collections.abc import Iterator
from typing import Any

import array_record.python.array_record_data_source  # noqa: F401  # its flags outlive `run_here`
import numpy as np
import pytest
import tensorflow_datasets as tfds

from xfernas_jax.data.fashion_mnist import DebianFashionMnist

SETS = {  # number of examples in each split
    "fashion_mnist": {"train": 120, "test": 40},
    "cifar10": {"train": 200, "test": 40},
    "cifar100": {"train": 600, "test": 100},
    "quickdraw_bitmap": {"train": 1400},
    "svhn_cropped": {"train": 150, "test": 40, "extra": 20},
}


def prepare(data_dir: pathlib.Path, names: list[str]) -> None:
    """Writes sets whose images are noise, brighter or darker by their label.

    Names, features, splits and files are those of the stock builders, and of ours.
    """
    for name in names:
        options: dict[str, Any] = {"data_dir": str(data_dir), "file_format": "array_record"}
        is_ours = name == "fashion_mnist"
        builder = DebianFashionMnist(**options) if is_ours else tfds.builder(name, **options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(builder, "_split_generators", _Splits(builder.info.features, SETS[name]))
            builder.download_and_prepare()


class _Splits:
    """Stands in for `_split_generators` of a builder."""

    def __init__(self, features: Any, counts: dict[str, int]) -> None:
        self._features, self._counts = features, counts

    def __call__(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._examples(count) for split, count in self._counts.items()}

    def _examples(self, count: int) -> Iterator[tuple[int, dict[str, Any]]]:
        from PIL import Image

        rng = np.random.default_rng(count)
        shape, classes = self._features["image"].shape, self._features["label"].num_classes
        others = {"id": "row", "coarse_label": 0}
        fixed = {key: value for key, value in others.items() if key in self._features}
        for row in range(count):
            label = row % classes
            pixels = rng.integers(0, 128, shape) + 127 * label // classes
            grey = pixels[..., 0] if shape[-1] == 1 else pixels
            image: Any = Image.fromarray(grey.astype(np.uint8))
            if type(self._features["image"]) is tfds.features.Tensor:
                image = pixels.astype(np.uint8)
            yield row, {"image": image, "label": label, **fixed}
