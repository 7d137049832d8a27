import numpy as np
import pytest
from PIL import Image

from xfernas_jax.data.resize import resize_image, shrink, shrunk_shape


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_mean_pool_by_hand() -> None:
    image = np.array([[0, 1, 10, 10], [2, 3, 10, 13]], np.uint8)[None, :, :, None]
    # (0 + 1 + 2 + 3) / 4 = 1.5, rounded up; (10 + 10 + 10 + 13) / 4 = 10.75.
    assert shrink(image, 2)[0, :, :, 0].tolist() == [[2, 11]]


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (28, 28, 14, (14, 14)),
        (32, 32, 8, (8, 8)),
        (28, 28, 10, (10, 10)),
        (28, 28, 28, (28, 28)),
        (8, 8, 14, (8, 8)),
        (40, 20, 10, (10, 5)),
        (15, 10, 5, (5, 3)),
        (300, 1, 3, (3, 1)),
    ],
)
def test_longer_side_becomes_the_size(
    height: int, width: int, size: int, expected: tuple[int, int]
) -> None:
    images = random_images(2, height, width, 3)
    result = shrink(images, size)
    assert result.shape == (2, *expected, 3) == (2, *shrunk_shape(height, width, size), 3)
    assert result.dtype == np.uint8
    # Both filters are means by area: they keep the mean of the image.
    assert abs(result.mean() - images.mean()) < 5


def test_mean_pool_agrees_with_pillows_box_filter() -> None:
    images = random_images(3, 28, 28, 3)
    box = np.stack([resize_image(image, 14, 14, Image.Resampling.BOX) for image in images])
    assert abs(shrink(images, 14).astype(int) - box.astype(int)).max() <= 1


def test_constant_images_stay_constant() -> None:
    images = np.full((1, 28, 20, 3), 200, np.uint8)
    assert (shrink(images, 14) == 200).all()
    assert (shrink(images, 9) == 200).all()
