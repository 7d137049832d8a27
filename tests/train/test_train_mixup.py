import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from toy_training import make_trainer, toy_config, variables

from xfernas_jax.train.mixup import beta_quantile, mix
from xfernas_jax.train.parallel import AXIS

B, ALPHA = 8, 0.4
IMAGES = np.random.default_rng(0).normal(size=(B, 3, 3, 1)).astype(np.float32)
TARGETS = np.eye(B, dtype=np.float32)  # a class for each example: what is mixed shows by whom


def mixed(num_devices: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    local = B // num_devices

    def step(images: jax.Array, targets: jax.Array) -> tuple[jax.Array, jax.Array]:
        positions = jax.lax.axis_index(AXIS) * local + jnp.arange(local, dtype=jnp.int32)
        return mix(images, targets, jax.random.key(seed), positions, ALPHA, AXIS)

    devices = jax.devices()[:num_devices]
    shares = [x.reshape(num_devices, local, *x.shape[1:]) for x in (IMAGES, TARGETS)]
    images, targets = jax.pmap(step, axis_name=AXIS, devices=devices)(*shares)
    return np.asarray(images).reshape(IMAGES.shape), np.asarray(targets).reshape(TARGETS.shape)


@pytest.mark.parametrize("num_devices", [2, 4])
def test_devices_mix_as_one_device_does(num_devices: int) -> None:
    for found, expected in zip(mixed(num_devices), mixed(1), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_images_and_targets_are_mixed_alike_with_the_mirrored_position() -> None:
    images, targets = mixed(1)
    shares = np.diagonal(targets)
    assert len(set(shares.tolist())) == B  # each example has its own
    expected = shares[:, None] * TARGETS + (1.0 - shares)[:, None] * TARGETS[::-1]
    np.testing.assert_allclose(targets, expected, atol=1e-6)
    np.testing.assert_allclose(images, np.einsum("bo,ohwc->bhwc", targets, IMAGES), atol=1e-5)
    assert (mixed(1, seed=1)[1] != targets).any()


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 3.0])
def test_shares_are_of_the_beta_distribution(alpha: float) -> None:
    draws = (np.arange(10_000, dtype=np.float32) + 0.5) / 10_000
    shares = np.asarray(beta_quantile(jnp.asarray(draws), alpha))
    assert (np.diff(shares) >= 0.0).all()
    # Evenly spread draws: the largest distance is that of the table's 1024 lines, < 1/1024.
    inside = shares[(shares > 1e-6) & (shares < 1 - 1e-6)]
    levels = draws[(shares > 1e-6) & (shares < 1 - 1e-6)]
    assert np.abs(stats.beta(alpha, alpha).cdf(inside) - levels).max() < 1e-3


def test_two_devices_train_with_mixup_as_one_does() -> None:
    def trained(num_devices: int) -> np.ndarray:
        trainer, part = make_trainer(toy_config(epochs=1, mixup=0.4), num_devices)
        return trainer.fit(variables(), part, 1).variables["params"]["dense"]["kernel"]

    np.testing.assert_allclose(trained(1), trained(2), rtol=1e-5, atol=1e-6)
