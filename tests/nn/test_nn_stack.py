import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.nn.programs import OwnProgram, Program, Programs, ScannedProgram
from xfernas_jax.nn.stack import equal_cells
from xfernas_jax.space import NASBENCH201_BEST, get_space

CONFIG = NetworkConfig(filters=4, num_cells=4, num_stages=1, stem_multiplier=1)
RANDOM = {"drop_path_keep": 0.6, "dropout_keep": 0.8, "auxiliary_weight": 0.4}
IMAGE = (8, 8, 3)
SPACES = ["nasbench201", "nao5"]


def program(space: str, config: NetworkConfig) -> Program:
    known = get_space(space)
    best = space == "nasbench201"
    genotype = NASBENCH201_BEST if best else known.sample(np.random.default_rng(1))
    return Programs(config, 5, IMAGE).of(known.plan(genotype))


def step(module: nn.Module, variables: dict[str, Any]) -> tuple[jax.Array, Any, Any]:
    """Returns the loss of a training step, its gradients and the new statistics."""
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.normal(size=(6, *IMAGE)), jnp.float32)
    positions = jnp.arange(6, dtype=jnp.int32)

    def loss(params: Any) -> tuple[jax.Array, Any]:
        (logits, auxiliary), updated = module.apply(
            {**variables, "params": params},
            images,
            positions,
            0.5,
            True,
            rngs={"dropout": jax.random.key(3)},
            mutable=["batch_stats"],
        )
        total = jax.nn.log_softmax(logits)[:, 0].mean()
        if auxiliary is not None:
            total = total + jax.nn.log_softmax(auxiliary)[:, 1].mean()
        return total, updated["batch_stats"]

    (value, stats), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])
    return value, grads, stats


def assert_equal_steps(first: Program, other: Program) -> None:
    variables = first.initial_variables(0)
    value, grads, stats = step(first.module, first.enter(variables))
    other_value, other_grads, other_stats = step(other.module, other.enter(variables))
    np.testing.assert_allclose(value, other_value, rtol=1e-5)
    own = first.leave({"params": grads, "batch_stats": stats})
    twin = other.leave({"params": other_grads, "batch_stats": other_stats})
    assert jax.tree.structure(own) == jax.tree.structure(twin)
    scale = max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(own["params"]))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * scale), own, twin
    )


@pytest.mark.slow
@pytest.mark.parametrize(("space", "remat"), [("nasbench201", True), ("nao5", False)])
def test_a_scanned_network_is_the_unrolled_one_with_every_random_part_on(
    space: str, remat: bool
) -> None:
    config = dataclasses.replace(CONFIG, num_stages=2 if space == "nasbench201" else 1, **RANDOM)
    scanned = program(space, dataclasses.replace(config, scan_cells=True, remat=remat))
    assert isinstance(scanned, ScannedProgram)
    assert_equal_steps(program(space, config), scanned)


@pytest.mark.slow
def test_rematerialised_cells_are_the_same_function() -> None:
    config = dataclasses.replace(CONFIG, num_cells=1, **RANDOM)
    assert_equal_steps(
        program("nao5", config), program("nao5", dataclasses.replace(config, remat=True))
    )


@pytest.mark.parametrize("space", SPACES)
def test_variables_enter_the_scanned_network_and_leave_it_unchanged(space: str) -> None:
    scanned = program(space, dataclasses.replace(CONFIG, scan_cells=True))
    variables = scanned.initial_variables(4)
    jax.tree.map(
        np.testing.assert_array_equal, variables, program(space, CONFIG).initial_variables(4)
    )
    left = scanned.leave(scanned.enter(variables))
    assert jax.tree.structure(left) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, left, variables)


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES)
def test_more_cells_do_not_lengthen_a_scanned_program(space: str) -> None:
    def num_lines(num_cells: int, scan: bool) -> int:
        config = dataclasses.replace(CONFIG, num_cells=num_cells, scan_cells=scan)
        own = program(space, config)
        variables = own.enter(own.initial_variables(0))
        images = jax.ShapeDtypeStruct((2, *IMAGE), jnp.float32)
        return jax.jit(own.module.apply).lower(variables, images).as_text().count("\n")

    assert num_lines(12, scan=True) == num_lines(6, scan=True)
    assert num_lines(12, scan=False) > 1.5 * num_lines(6, scan=False)


@pytest.mark.slow
def test_a_remat_step_keeps_less_memory() -> None:
    def temporary_bytes(remat: bool) -> int:
        config = dataclasses.replace(CONFIG, num_cells=6, scan_cells=True, remat=remat)
        own = program("nasbench201", config)
        variables = own.enter(own.initial_variables(0))

        def loss(variables: Any, images: jax.Array) -> jax.Array:
            return own.module.apply(variables, images)[0].sum()

        images = jax.ShapeDtypeStruct((64, 32, 32, 3), jnp.float32)
        compiled = jax.jit(jax.grad(loss)).lower(variables, images).compile()
        analysis = compiled.memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes

    assert temporary_bytes(True) < 0.7 * temporary_bytes(False)


def test_too_few_cells_leave_nothing_to_scan() -> None:
    space = get_space("nao5")
    plan = space.plan(space.sample(np.random.default_rng(0)))
    assert equal_cells(plan, 3, 2) == ()
    assert equal_cells(plan, 4, 2) == (range(2, 4), range(7, 9))
    few = program("nao5", dataclasses.replace(CONFIG, num_cells=2, scan_cells=True))
    own = program("nao5", dataclasses.replace(CONFIG, num_cells=2))
    assert isinstance(own, OwnProgram)
    assert jax.tree.structure(few.enter(few.initial_variables(0))) == jax.tree.structure(
        own.initial_variables(0)
    )
