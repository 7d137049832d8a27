# pyright: reportAttributeAccessIssue=false
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from xfernas_jax.nn.conv import convolve
from xfernas_jax.nn.depthwise import depthwise_conv
from xfernas_jax.nn.norm import BatchNorm
from xfernas_jax.nn.pooling import avg_pool, max_pool


def value_and_gradients(function: Callable[..., Any], *inputs: jax.Array) -> list[np.ndarray]:
    """Returns the value and the gradients of a weighted sum of it, none of them symmetric."""

    def loss(*inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        value = function(*inputs)
        weights = np.random.default_rng(9).normal(size=value.shape).astype(np.float32)
        return (value * weights).sum(), value

    gradients, value = jax.jit(jax.grad(loss, range(len(inputs)), has_aux=True))(*inputs)
    return [np.asarray(leaf) for leaf in (value, *gradients)]


def assert_equal_within_1e_5(own: list[np.ndarray], reference: list[np.ndarray]) -> None:
    for a, b in zip(own, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * np.abs(b).max())


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), list(itertools.product((2, 3, 5, 7), (1, 2, 3), (1, 2)))
)
def test_shifted_depthwise_equals_grouped_convolution(
    kernel: int, stride: int, dilation: int
) -> None:
    for size in ((7, 8), (8, 5)):
        inputs = normal(2, *size, 3), normal(kernel, kernel, 1, 3, seed=1)
        own, reference = (
            value_and_gradients(
                lambda x, w, form=form: depthwise_conv(x, w, stride, dilation, form), *inputs
            )
            for form in ("shift", "lax")
        )
        assert_equal_within_1e_5(own, reference)


def padded_window(x: jax.Array, fill: float, kind: Any, size: int, stride: int) -> jax.Array:
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return jax.lax.reduce_window(x, np.float32(fill), kind, window, strides, "SAME")


@pytest.mark.parametrize(("size", "stride"), list(itertools.product((2, 3, 5, 7), (1, 2, 3))))
def test_pools_equal_reduce_window(size: int, stride: int) -> None:
    def average(x: jax.Array) -> jax.Array:
        total, count = (
            padded_window(a, 0.0, jax.lax.add, size, stride) for a in (x, jnp.ones_like(x))
        )
        return total / count

    def maximum(x: jax.Array) -> jax.Array:
        return padded_window(x, -np.inf, jax.lax.max, size, stride)

    x = normal(2, 7, 8, 3)
    for pool, reference in ((max_pool, maximum), (avg_pool, average)):
        own = value_and_gradients(lambda x, pool=pool: pool(x, size, stride), x)
        assert_equal_within_1e_5(own, value_and_gradients(reference, x))


def test_the_first_of_equal_maxima_gets_the_gradient() -> None:
    gradient = jax.grad(lambda x: max_pool(x, 2, 2).sum())(jnp.zeros((1, 2, 2, 1)))
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[1, 0], [0, 0]])


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 2), (3, 3)])
def test_a_convolution_of_1x1_equals_that_of_xla(stride: tuple[int, int]) -> None:
    def reference(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.conv_general_dilated(
            x, w, stride, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    inputs = normal(3, 7, 8, 5), normal(1, 1, 5, 4, seed=1)
    own = value_and_gradients(lambda x, w: convolve(x, w, stride), *inputs)
    assert_equal_within_1e_5(own, value_and_gradients(reference, *inputs))


def run_norm(
    kind: Any, x: jax.Array, num_devices: int, train: bool, dtype: Any
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns value and gradients on devices that share a batch, and the new statistics."""
    axis = "devices" if train else None
    module = kind(
        use_running_average=not train, momentum=0.8, epsilon=1e-5, dtype=dtype, axis_name=axis
    )
    c = x.shape[-1]
    params = {"scale": normal(c, seed=1), "bias": normal(c, seed=2)}
    stats = {"mean": normal(c, seed=3), "var": normal(c, seed=4) ** 2}
    weights = normal(*x.shape, seed=5)

    def loss(
        params: Any, x: jax.Array, weights: jax.Array
    ) -> tuple[jax.Array, tuple[jax.Array, Any]]:
        variables = {"params": params, "batch_stats": stats}
        value, updated = module.apply(variables, x, mutable=["batch_stats"])
        return (value.astype(jnp.float32) * weights).sum(), (value, updated["batch_stats"])

    step = jax.pmap(
        jax.grad(loss, (0, 1), has_aux=True),
        "devices",
        in_axes=(None, 0, 0),
        devices=jax.devices()[:num_devices],
    )
    shares = [a.reshape(num_devices, -1, *a.shape[1:]) for a in (x, weights)]
    (of_params, of_x), (value, updated) = step(params, *shares)
    results = [value.reshape(x.shape), of_x.reshape(x.shape)]
    results += [leaf.sum(0) for leaf in jax.tree.leaves(of_params)]
    return (
        [np.asarray(leaf, np.float32) for leaf in results],
        [np.asarray(leaf[0]) for leaf in jax.tree.leaves(updated)],
    )


@pytest.mark.parametrize("num_devices", [1, 4])
@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_equals_that_of_flax(num_devices: int, train: bool) -> None:
    x = 2.0 * normal(8, 5, 7, 3) + 1.0
    own, statistics = run_norm(BatchNorm, x, num_devices, train, jnp.float32)
    reference, expected = run_norm(nn.BatchNorm, x, 1, train, jnp.float32)
    assert_equal_within_1e_5(own, reference)
    assert_equal_within_1e_5(statistics, expected)


def test_batch_norm_of_bfloat16_keeps_float32_statistics() -> None:
    x = normal(8, 5, 7, 3).astype(jnp.bfloat16)
    own, statistics = run_norm(BatchNorm, x, 1, True, jnp.bfloat16)
    reference, expected = run_norm(nn.BatchNorm, x, 1, True, jnp.bfloat16)
    assert_equal_within_1e_5(statistics, expected)
    for a, b in zip(own, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=0.02, atol=0.02 * np.abs(b).max())


def test_batch_norm_has_the_variables_of_flax() -> None:
    options = {"momentum": 0.9, "epsilon": 1e-5, "dtype": jnp.float32, "use_running_average": True}
    shapes = [
        jax.eval_shape(kind(**options).init, jax.random.key(0), jnp.ones((2, 3, 3, 5)))
        for kind in (BatchNorm, nn.BatchNorm)
    ]
    assert jax.tree.map(lambda a: (a.shape, a.dtype), shapes[0]) == jax.tree.map(
        lambda a: (a.shape, a.dtype), shapes[1]
    )
