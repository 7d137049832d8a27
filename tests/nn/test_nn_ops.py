import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.nn.depthwise import depthwise_conv
from xfernas_jax.nn.pooling import avg_pool, max_pool


@pytest.mark.parametrize(
    ("size", "kernel", "stride"), list(itertools.product((7, 8), (2, 3, 5), (1, 2)))
)
def test_shifted_depthwise_equals_grouped_convolution(size: int, kernel: int, stride: int) -> None:
    x = jax.random.normal(jax.random.key(0), (2, size, size + 1, 3))
    w = jax.random.normal(jax.random.key(1), (kernel, kernel, 1, 3))

    def value(form: str):
        def loss(x, w):
            return jnp.sin(depthwise_conv(x, w, stride, 1, form)).sum()

        return jax.value_and_grad(loss, (0, 1))(x, w)

    for own, reference in zip(
        jax.tree.leaves(value("shift")), jax.tree.leaves(value("lax")), strict=True
    ):
        np.testing.assert_allclose(own, reference, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize(("kernel", "stride"), list(itertools.product((2, 3, 5), (1, 2))))
def test_max_pool_and_its_gradient_equal_reduce_window(kernel: int, stride: int) -> None:
    x = jax.random.normal(jax.random.key(0), (2, 7, 8, 3))

    def reference(x):
        window, strides = (1, kernel, kernel, 1), (1, stride, stride, 1)
        return jax.lax.reduce_window(x, -np.inf, jax.lax.max, window, strides, "SAME")

    np.testing.assert_array_equal(max_pool(x, kernel, stride), reference(x))
    weights = jax.random.normal(jax.random.key(1), reference(x).shape)
    own = jax.grad(lambda x: (max_pool(x, kernel, stride) * weights).sum())(x)
    other = jax.grad(lambda x: (reference(x) * weights).sum())(x)
    np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)


def test_avg_pool_of_a_constant_image_is_that_constant_at_the_border_too() -> None:
    np.testing.assert_allclose(avg_pool(jnp.full((1, 5, 6, 2), 3.0), 3, 2), 3.0, rtol=1e-6)
