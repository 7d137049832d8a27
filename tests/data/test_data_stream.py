import pathlib
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from xfernas_jax.data import epoch_indices, load_dataset, normalizer
from xfernas_jax.data.base import DataConfig, ImageDataset
from xfernas_jax.data.lazy import LazyImages
from xfernas_jax.data.npz import load_npz
from xfernas_jax.data.split import apply_config, build_dataset
from xfernas_jax.data.stream import is_streamed, read_batches

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (90, 8, 8, 3), np.uint8)
LABELS = np.arange(90) % 3


def test_streamed_batches_are_the_rows_of_the_table() -> None:
    table = epoch_indices(len(IMAGES), 16, seed=1, epoch=0)
    labels = LABELS.astype(np.int32)
    batches = list(read_batches(IMAGES, labels, table))
    assert len(batches) == len(table)
    for rows, (images, targets) in zip(table, batches, strict=True):
        np.testing.assert_array_equal(images, IMAGES[rows])
        np.testing.assert_array_equal(targets, labels[rows])


def lazily(path: str) -> ImageDataset:
    return build_dataset("images", *load_npz(path, lazy_bytes=1), by_content=True)


@pytest.mark.parametrize("image_size", [None, 4])
@pytest.mark.parametrize("grey", [False, True])
def test_a_mapped_file_gives_the_same_set_without_loading_it(
    tmp_path: pathlib.Path, image_size: int | None, grey: bool
) -> None:
    path = str(tmp_path / "images.npz")
    np.savez(path, x=IMAGES[..., 0] if grey else IMAGES, y=LABELS)
    config = DataConfig(train_examples=30, valid_examples=10, image_size=image_size)
    lazy, loaded = apply_config(lazily(path), config), load_dataset(path, config)
    assert lazy.task == loaded.task
    for name, part in loaded.parts().items():
        other = lazy.parts()[name]
        assert isinstance(other.images, LazyImages)
        assert not isinstance(part.images, LazyImages)
        np.testing.assert_array_equal(np.asarray(other.images), part.images)
        np.testing.assert_array_equal(other.images[np.array([4, 1])], part.images[[4, 1]])
        np.testing.assert_array_equal(other.labels, part.labels)
    for one, other in zip(normalizer(lazy, config), normalizer(loaded, config), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_cannot_be_mapped_is_loaded(tmp_path: pathlib.Path) -> None:
    packed, fractions = str(tmp_path / "packed.npz"), str(tmp_path / "fractions.npz")
    np.savez_compressed(packed, x=IMAGES, y=LABELS)
    np.savez(fractions, x=IMAGES / 255.0, y=LABELS)
    for path in (packed, fractions):
        part = lazily(path).train.images
        assert isinstance(part, np.ndarray)


def device(stats: dict[str, int] | None) -> Any:
    return SimpleNamespace(memory_stats=lambda: stats)


def test_auto_streams_what_would_fill_the_smallest_device() -> None:
    large, small, silent = (
        device({"bytes_limit": 2**34}),
        device({"bytes_limit": 2**20}),
        device(None),
    )
    assert not is_streamed("auto", 2**30, [large, large])
    assert is_streamed("auto", 2**30, [large, small])
    assert not is_streamed("auto", 2**31, [silent])
    assert is_streamed("auto", 2**31 + 1, [silent])
    assert is_streamed("stream", 1, [large])
    assert not is_streamed("device", 2**40, [small])
