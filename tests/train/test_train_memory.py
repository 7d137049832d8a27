from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from xfernas_jax.train import memory, parallel
from xfernas_jax.train.memory import check_step, free_on, step_bytes

MIB = 2**20


def squares(x: jax.Array) -> jax.Array:
    """Keeps a matrix of the size of `x` beside it: sorting is not fused with what follows."""
    return jnp.sort(x, axis=0) @ x


def device(**stats: int) -> Any:
    return SimpleNamespace(platform="gpu", memory_stats=lambda: stats)


def test_the_bytes_of_a_step_hold_what_it_computes_on_the_way() -> None:
    compiled = jax.jit(squares).lower(jax.ShapeDtypeStruct((512, 512), jnp.float32)).compile()
    assert step_bytes(compiled) >= 2 * MIB  # a sorted copy and the result


@pytest.mark.parametrize("free", [MIB, None])
def test_a_step_that_does_not_fit_is_refused_before_it_runs(
    free: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_on", lambda _: free)
    x = parallel.replicate(jnp.ones((512, 512)), jax.devices()[:1])
    step = parallel.parallel(squares, jax.devices()[:1])
    if free is None:  # unknown, so it is tried
        assert parallel.compile_step(step, jax.devices()[:1], x)(x).shape == (1, 512, 512)
        return
    with pytest.raises(MemoryError, match=r"takes 0\.0 GiB, and 0\.0 GiB are free"):
        parallel.compile_step(step, jax.devices()[:1], x)


def test_processors_share_one_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 3 * MIB)
    compiled = SimpleNamespace(
        memory_analysis=lambda: SimpleNamespace(
            temp_size_in_bytes=2 * MIB, output_size_in_bytes=5, alias_size_in_bytes=5
        )
    )
    check_step(compiled, jax.devices()[:1])
    with pytest.raises(MemoryError):
        check_step(compiled, jax.devices()[:2])


def test_of_accelerators_the_fullest_counts() -> None:
    full, empty = device(bytes_limit=100, bytes_in_use=90), device(bytes_limit=80)
    assert free_on([empty, full]) == 10
    assert free_on([device()]) is None
