import numpy as np
import pytest

from xfernas_jax.data import DataConfig, load_dataset
from xfernas_jax.data.lazy import LazyImages
from xfernas_jax.data.symmetry import keeps_class_when_mirrored, keeps_class_when_shifted


def strokes(mirrored_classes: bool, count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Noisy pictures of two classes: mirror images of each other, or each as often either way."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count).astype(np.int32)
    shape = np.zeros((12, 12))
    shape[2:10, 2:4], shape[8:10, 2:10] = 120.0, 120.0
    other = shape[::-1]
    first, second = (shape, shape[:, ::-1]) if mirrored_classes else (shape, other)
    pictures = np.where(labels[:, None, None] == 0, first, second)
    if not mirrored_classes:
        flipped = rng.random(count) < 0.5
        pictures = np.where(flipped[:, None, None], pictures[:, :, ::-1], pictures)
    noisy = pictures + rng.normal(60.0, 250.0, pictures.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)[..., None], labels


def test_classes_that_are_mirror_images_of_each_other_forbid_mirroring() -> None:
    evidence = keeps_class_when_mirrored(*strokes(True), seed=0)
    assert not evidence.allowed
    assert evidence.harmed > evidence.helped
    assert evidence.mirrored < evidence.original


def test_classes_that_come_either_way_allow_mirroring() -> None:
    evidence = keeps_class_when_mirrored(*strokes(False), seed=0)
    assert evidence.allowed
    assert evidence.low < evidence.helped / (evidence.helped + evidence.harmed) < evidence.high


def test_what_is_not_known_for_certain_is_not_allowed() -> None:
    pictures, labels = strokes(False)
    evidence = keeps_class_when_mirrored(pictures[:6], labels[:6], seed=0)
    assert (evidence.num, evidence.allowed) == (6, False)


@pytest.mark.parametrize("count", [1, 2])
def test_a_set_of_hardly_any_image_says_no(count: int) -> None:
    pictures, labels = strokes(False)
    assert not keeps_class_when_mirrored(pictures[:count], labels[:count], seed=0).allowed


def test_digits_are_not_mirrored() -> None:
    train = load_dataset("digits", DataConfig()).train
    assert not keeps_class_when_mirrored(train.images, train.labels, seed=0).allowed


def test_images_in_a_file_give_what_loaded_ones_give() -> None:
    pictures, labels = strokes(True)
    loaded = keeps_class_when_mirrored(pictures, labels, seed=1)
    assert keeps_class_when_mirrored(LazyImages(pictures), labels, seed=1) == loaded


def test_pictures_that_lie_anywhere_allow_shifts() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600).astype(np.int32)
    pictures = rng.normal(60.0, 30.0, (600, 16, 16))
    for picture, label in zip(pictures, labels, strict=True):
        top, left = rng.integers(0, 11, 2)
        picture[top : top + 5, left : left + (5 if label else 3)] += 90.0
    evidence = keeps_class_when_shifted(
        np.clip(pictures, 0, 255).astype(np.uint8)[..., None], labels, seed=0
    )
    assert evidence.allowed
