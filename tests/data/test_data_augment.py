import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.data import DataConfig, ImageDataset, Split, augment_batch, normalize, normalizer
from xfernas_jax.history.record import Task

EVERYTHING = DataConfig(augment="crop_flip", crop_padding=2, cutout=3, cutout_probability=0.5)


def random_images(count: int = 8, side: int = 7, channels: int = 3) -> np.ndarray:
    shape = (count, side, side, channels)
    return np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)


def dataset_of(images: np.ndarray) -> ImageDataset:
    split = Split(images, (np.arange(len(images)) % 2).astype(np.int32))
    return ImageDataset(Task("toy", "as given", 2), split, split, split, ("a", "b"))


def augment(images: np.ndarray, config: DataConfig, seed: int = 0, first: int = 0) -> np.ndarray:
    positions = first + jnp.arange(len(images), dtype=jnp.int32)
    step = jax.jit(lambda x, key, p: augment_batch(x, key, p, config))
    return np.asarray(step(jnp.asarray(images), jax.random.key(seed), positions))


@pytest.mark.parametrize("pieces", [2, 4, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_dividing_a_batch_changes_no_image(pieces: int, dtype: type) -> None:
    images = random_images().astype(dtype)
    whole = augment(images, EVERYTHING)
    size = len(images) // pieces
    parts = [
        augment(images[i : i + size], EVERYTHING, first=i) for i in range(0, len(images), size)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.dtype == dtype


def test_draws_differ_by_position_and_by_key() -> None:
    images = np.repeat(random_images(count=1), 16, axis=0)
    one, two = augment(images, EVERYTHING, seed=0), augment(images, EVERYTHING, seed=1)
    # 25 crops x 2 mirrors x 49 centres: 16 equal images have a chance below 1e-40.
    assert len({image.tobytes() for image in one}) > 1
    assert (one != two).any()


def test_every_crop_is_a_window_of_the_padded_image_and_all_occur() -> None:
    image = random_images(count=1, side=4)[0]
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    windows = {padded[i : i + 4, j : j + 4].tobytes() for i in range(3) for j in range(3)}
    config = DataConfig(augment="crop", crop_padding=1)
    found = augment(np.repeat(image[None], 200, axis=0), config)
    # A window is missed by 200 draws with chance at most 9 (8/9)^200 < 1e-9.
    assert {window.tobytes() for window in found} == windows


def test_about_half_of_the_images_are_mirrored_and_nothing_else_happens() -> None:
    image = random_images(count=1)[0]
    config = DataConfig(augment="crop_flip", crop_padding=0)
    found = augment(np.repeat(image[None], 400, axis=0), config)
    mirrored = (found == image[:, ::-1]).all(axis=(1, 2, 3))
    same = (found == image).all(axis=(1, 2, 3))
    assert (mirrored ^ same).all()
    assert 140 < mirrored.sum() < 260  # binomial(400, 1/2): 6 standard deviations of 10


def test_flip_alone_is_crop_flip_without_padding() -> None:
    images = random_images(count=16)
    expected = augment(images, DataConfig(augment="crop_flip", crop_padding=0))
    np.testing.assert_array_equal(augment(images, DataConfig(augment="flip")), expected)
    assert (expected != images).any()


def test_a_part_of_the_images_is_erased_and_those_as_if_all_were() -> None:
    images = np.ones((400, 6, 6, 1), np.uint8)
    every = augment(images, DataConfig(cutout=3))
    some = augment(images, DataConfig(cutout=3, cutout_probability=0.25))
    erased = (some == 0).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(some[erased], every[erased])
    assert (some[~erased] == 1).all()
    assert 50 < erased.sum() < 150  # binomial(400, 1/4): 5.8 standard deviations of 8.7


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_cutout_erases_one_clipped_square(length: int) -> None:
    images = np.ones((300, 6, 6, 2), np.uint8)
    erased = augment(images, DataConfig(cutout=length)) == 0
    assert (erased[..., 0] == erased[..., 1]).all()
    rows, columns = erased[..., 0].any(axis=2), erased[..., 0].any(axis=1)
    assert (erased[..., 0] == rows[:, :, None] & columns[:, None, :]).all()
    for line in (*rows, *columns):
        where = np.flatnonzero(line)
        assert 1 <= len(where) <= length
        assert where[-1] - where[0] == len(where) - 1
    assert rows.sum(axis=1).max() == length
    assert rows.any(axis=0).all()
    assert columns.any(axis=0).all()


def test_no_augmentation_returns_the_images() -> None:
    images = random_images()
    np.testing.assert_array_equal(augment(images, DataConfig()), images)


def test_training_images_have_mean_0_and_deviation_1_in_each_channel() -> None:
    dataset = dataset_of(random_images(count=50))
    statistics = normalizer(dataset, DataConfig())
    result = np.asarray(normalize(jnp.asarray(dataset.train.images), statistics))
    np.testing.assert_allclose(result.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(0, 1, 2)), 1, atol=1e-5)
    assert result.dtype == np.float32


def test_each_image_has_mean_0_and_deviation_1() -> None:
    dataset = dataset_of(random_images())
    statistics = normalizer(dataset, DataConfig(standardize="image"))
    result = np.asarray(normalize(jnp.asarray(dataset.train.images), statistics))
    np.testing.assert_allclose(result.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(1, 2, 3)), 1, atol=1e-5)


@pytest.mark.parametrize("standardize", ["dataset", "image"])
@pytest.mark.parametrize("value", [0, 255])
def test_constant_images_become_zero(standardize: str, value: int) -> None:
    dataset = dataset_of(np.full((4, 5, 5, 3), value, np.uint8))
    statistics = normalizer(dataset, DataConfig(standardize=standardize))
    result = np.asarray(normalize(jnp.asarray(dataset.train.images), statistics))
    np.testing.assert_allclose(result, 0, atol=1e-4)
