"""Taps that meet padding alone are left out, and nothing else changes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from xfernas_jax.nn.conv import convolve
from xfernas_jax.nn.depthwise import depthwise_conv
from xfernas_jax.nn.shifts import reached


@pytest.mark.parametrize(
    ("size", "taps"), [(1, (2, 3)), (2, (1, 4)), (3, (0, 5)), (4, (0, 5)), (16, (0, 5))]
)
def test_a_small_image_reaches_few_of_five_taps(size: int, taps: tuple[int, int]) -> None:
    assert reached(size, 5, 1) == taps


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_reached_taps_are_those_of_a_count_over_all_places(
    kernel: int, stride: int, dilation: int
) -> None:
    for size in range(1, 12):
        span = (kernel - 1) * dilation + 1
        places = -(-size // stride)
        low = max((places - 1) * stride + span - size, 0) // 2
        met = [
            tap
            for tap in range(kernel)
            if any(0 <= o * stride + tap * dilation - low < size for o in range(places))
        ]
        first, stop = reached(size, kernel, stride, dilation)
        assert first == met[0]
        assert stop == met[-1] + 1


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        *itertools.product([(1, 1), (2, 2), (1, 3)], [3, 5], [1, 2]),
        ((4, 3), 7, 1),
        ((5, 2), 5, 2),
    ],
)
def test_convolutions_are_xlas_with_all_taps(
    shape: tuple[int, int], kernel: int, stride: int
) -> None:
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, *shape, 3)), jnp.float32)
    w = jnp.asarray(rng.normal(size=(kernel, kernel, 3, 4)), jnp.float32)

    def whole(x: jax.Array, w: jax.Array) -> jax.Array:
        names = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=names)

    want, back = jax.vjp(whole, x, w)
    got, own_back = jax.vjp(lambda x, w: convolve(x, w, (stride, stride)), x, w)
    np.testing.assert_allclose(got, want, atol=1e-5)
    g = jnp.asarray(rng.normal(size=want.shape), jnp.float32)
    for mine, its in zip(own_back(g), back(g), strict=True):
        np.testing.assert_allclose(mine, its, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (2, 3)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("form", ["shift", "lax"])
def test_depthwise_convolutions_are_xlas_with_all_taps(
    shape: tuple[int, int], stride: int, form: str
) -> None:
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(2, *shape, 4)), jnp.float32)
    w = jnp.asarray(rng.normal(size=(5, 5, 1, 4)), jnp.float32)
    names = ("NHWC", "HWIO", "NHWC")
    want = lax.conv_general_dilated(
        x, w, (stride, stride), "SAME", dimension_numbers=names, feature_group_count=4
    )
    np.testing.assert_allclose(depthwise_conv(x, w, stride, form=form), want, atol=1e-5)  # type: ignore[arg-type]


def test_an_image_of_one_pixel_takes_one_tap() -> None:
    x, w = jnp.ones((1, 1, 1, 8)), jnp.ones((5, 5, 8, 8))
    text = jax.jit(lambda x, w: convolve(x, w, (1, 1))).lower(x, w).as_text()
    assert "convolution" not in text


@pytest.mark.parametrize(
    ("size", "stride", "is_product"), [(4, 1, True), (8, 2, True), (8, 1, False)]
)
def test_only_a_kernel_wider_than_the_result_is_a_product(
    size: int, stride: int, is_product: bool
) -> None:
    x, w = jnp.ones((1, size, size, 4)), jnp.ones((5, 5, 4, 4))
    text = jax.jit(lambda x, w: convolve(x, w, (stride, stride))).lower(x, w).as_text()
    assert ("convolution" not in text) == is_product
