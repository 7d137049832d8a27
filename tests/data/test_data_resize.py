import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from PIL import Image

from xfernas_jax.data.resize import MOST_PIXELS, resize, resized, shrink, shrunk_shape
from xfernas_jax.errors import DatasetError

exact_matmul = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def exact_row(old: list[int], new: int) -> list[Fraction]:
    """Returns what the rule says of one row of pixels, without rounding."""
    size, found = len(old), []
    for i in range(new):
        if size >= new:
            begin, end = Fraction(i * size, new), Fraction((i + 1) * size, new)
            covered = [max(Fraction(0), min(end, j + 1) - max(begin, j)) for j in range(size)]
            level = sum((c * x for c, x in zip(covered, old, strict=True)), Fraction(0))
            found.append(level / (end - begin))
            continue
        place = Fraction((2 * i + 1) * size, 2 * new) - Fraction(1, 2)
        place = min(max(place, Fraction(0)), Fraction(size - 1))
        left = min(int(place), max(size - 2, 0))
        share = place - left
        found.append((1 - share) * old[left] + share * old[min(left + 1, size - 1)])
    return found


def test_means_of_squares_by_hand() -> None:
    image = np.array([[0, 1, 10, 10], [2, 3, 10, 13]], np.uint8)[None, :, :, None]
    # (0 + 1 + 2 + 3) / 4 = 1.5, rounded up; (10 + 10 + 10 + 13) / 4 = 10.75.
    assert shrink(image, 2)[0, :, :, 0].tolist() == [[2, 11]]


@pytest.mark.parametrize(("old", "new"), [(7, 3), (5, 5), (3, 7), (1, 4), (9, 1), (640, 64)])
def test_a_row_is_what_the_rule_says(old: int, new: int) -> None:
    row = random_images(1, 1, old, 1)
    found = resize(row, 1, new)[0, 0, :, 0].tolist()
    wanted = exact_row(row[0, 0, :, 0].tolist(), new)
    assert all(abs(f - w) <= Fraction(1, 2) for f, w in zip(found, wanted, strict=True))
    column = np.swapaxes(row, 1, 2)
    # The first axis is rounded to 1/128 before it is rounded to a level.
    below = resize(column, new, 1)[0, :, 0, 0].tolist()
    most = Fraction(1, 2) + Fraction(1, 256)
    assert all(abs(f - w) <= most for f, w in zip(below, wanted, strict=True))


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
    assert abs(result.mean() - images.mean()) < 5  # means by area keep the mean of the image


def test_whole_factors_agree_with_pillows_box_filter_and_enlarging_with_its_bilinear() -> None:
    image = random_images(28, 20, 3)
    for (height, width), rule in (((14, 10), "BOX"), ((61, 50), "BILINEAR")):
        other = Image.fromarray(image).resize((width, height), getattr(Image.Resampling, rule))
        ours = resize(image[None], height, width)[0]
        assert abs(ours.astype(int) - np.asarray(other).astype(int)).max() <= 1


def test_constant_images_stay_constant() -> None:
    for level in (0, 200, 255):
        images = np.full((1, 28, 20, 3), level, np.uint8)
        for shape in ((14, 10), (9, 13), (40, 40), (1, 1)):
            assert (resize(images, *shape) == level).all()


def test_many_images_are_resized_as_each_alone() -> None:
    images = random_images(9, 700, 300, 3)  # more than one chunk
    each = [resize(image[None], 64, 27)[0] for image in images]
    np.testing.assert_array_equal(resize(images, 64, 27), each)


@pytest.mark.parametrize("shape", [(85, 64), (20, 30), (300, 7), (1, 1), (3000, 2)])
def test_a_program_of_any_size_gives_the_same_bits(shape: tuple[int, int]) -> None:
    program = _program()
    images = random_images(2, *shape, 3)
    np.testing.assert_array_equal(np.asarray(program.call(images)), resize(images, 33, 24))


@functools.cache
def _program() -> export.Exported:
    batch, height, width = export.symbolic_shape("batch, height, width")

    def call(images: jax.Array) -> jax.Array:
        return resized(images, 33, 24, jnp, exact_matmul)

    images = jax.ShapeDtypeStruct((batch, height, width, 3), np.uint8)
    return export.deserialize(export.export(jax.jit(call))(images).serialize())


def test_extreme_sides_are_exact_up_to_the_limit_and_refused_beyond() -> None:
    long = np.full((1, 1, MOST_PIXELS, 1), 255, np.uint8)
    assert (resize(long, 1, 3) == 255).all()
    assert (resize(long[:, :, :2], 1, MOST_PIXELS) == 255).all()
    with pytest.raises(DatasetError, match=r"at most 32,000 pixels a side. Got 32,001"):
        resize(np.zeros((1, 1, MOST_PIXELS + 1, 1), np.uint8), 1, 3)
