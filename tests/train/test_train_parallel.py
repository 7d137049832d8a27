import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.train import parallel
from xfernas_jax.train.parallel import AXIS, compile_step, replicate, unreplicate


def total_of_squares(x: jax.Array) -> jax.Array:
    return jax.lax.psum(x @ x, AXIS)


def compiled_total(monkeypatch: pytest.MonkeyPatch, options: dict[str, str]) -> np.ndarray:
    monkeypatch.setattr(parallel, "CPU_OPTIONS", options)
    devices = jax.devices()[:2]
    x = replicate(jnp.arange(9.0).reshape(3, 3), devices)
    return unreplicate(compile_step(parallel.parallel(total_of_squares, devices), devices, x)(x))


def test_an_option_that_this_version_does_not_know_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = np.arange(9.0, dtype=np.float32).reshape(3, 3)
    found = compiled_total(monkeypatch, {"xla_cpu_no_such_option": "1"})
    np.testing.assert_array_equal(found, 2 * x @ x)


def test_the_options_reach_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "xla_cpu_experimental_ynn_fusion_type"
    assert name in parallel.CPU_OPTIONS
    with pytest.raises(jax.errors.JaxRuntimeError, match="NO_SUCH_FUSION"):
        compiled_total(monkeypatch, {name: "NO_SUCH_FUSION"})
