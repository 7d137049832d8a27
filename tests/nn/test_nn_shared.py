import dataclasses

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.nn.programs import OwnProgram, Program, Programs, SharedProgram
from xfernas_jax.space.nasbench201 import TopologyCell, parse_official
from xfernas_jax.space.published import NASBENCH201_BEST
from xfernas_jax.space.registry import get_space
from xfernas_jax.types import PyTree

SPACE = get_space("nasbench201")
CONFIG = NetworkConfig(filters=4, num_cells=1, num_stages=2, stem_multiplier=1)
SHAPE = (7, 6, 3)
EMPTY = TopologyCell(("none",) * 6)
THROUGH_ONE = parse_official("|none~0|+|nor_conv_1x1~0|none~1|+|none~0|none~1|nor_conv_3x3~2|")
POOLS = parse_official(
    "|avg_pool_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|"
)
CELLS = [EMPTY, THROUGH_ONE, POOLS, NASBENCH201_BEST] + [
    SPACE.sample(np.random.default_rng(seed)) for seed in range(2)
]


def programs(cell: TopologyCell) -> tuple[Program, Program]:
    plan = SPACE.plan(cell)
    own, shared = (Programs(CONFIG, 5, SHAPE, share=share).of(plan) for share in (False, True))
    assert isinstance(own, OwnProgram)
    assert isinstance(shared, SharedProgram)
    return own, shared


def loss_and_gradients(program: Program, variables: PyTree) -> tuple[PyTree, PyTree, PyTree]:
    """Returns the loss, and gradients and new statistics as the network's own."""
    rng = np.random.default_rng(1)
    images = jnp.asarray(rng.standard_normal((6, *SHAPE)), jnp.float32)
    labels = rng.integers(0, 5, 6)
    entered = program.enter(variables)

    def loss_of(params: PyTree) -> tuple[jax.Array, PyTree]:
        (logits, _), updated = program.module.apply(
            {"params": params, "batch_stats": entered["batch_stats"]},
            images,
            train=True,
            mutable=["batch_stats"],
        )
        scores = jax.nn.log_softmax(logits)
        return -jnp.mean(scores[jnp.arange(6), labels]), updated["batch_stats"]

    (loss, stats), grads = jax.jit(jax.value_and_grad(loss_of, has_aux=True))(entered["params"])
    left = program.leave({"params": grads, "batch_stats": stats})
    return loss, left["params"], left["batch_stats"]


def random_values(program: Program) -> PyTree:
    """Returns variables in which no two are equal, so that a mixed-up place shows."""
    rng = np.random.default_rng(2)
    return jax.tree.map(
        lambda x: (x + 0.2 * rng.standard_normal(x.shape)).astype(np.float32),
        program.initial_variables(3),
    )


@pytest.mark.parametrize("cell", CELLS, ids=SPACE.key)
def test_loss_gradients_and_statistics_are_those_of_the_own_program(cell: TopologyCell) -> None:
    own, shared = programs(cell)
    variables = random_values(own)
    expected, found = (loss_and_gradients(p, variables) for p in (own, shared))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-5),
        expected[1:],
        found[1:],
    )


@pytest.mark.parametrize("cell", CELLS, ids=SPACE.key)
def test_values_enter_and_leave_unchanged_and_start_alike(cell: TopologyCell) -> None:
    own, shared = programs(cell)
    variables = random_values(own)
    jax.tree.map(np.testing.assert_array_equal, shared.leave(shared.enter(variables)), variables)
    jax.tree.map(
        np.testing.assert_array_equal, shared.initial_variables(7), own.initial_variables(7)
    )


@pytest.mark.slow
def test_a_second_network_traces_and_compiles_nothing() -> None:
    recipe = get_recipe("cpu", ["train.epochs=1", "network.filters=4", "data.train_examples=128"])
    benchmark = TrainedEvaluator(SPACE, load_dataset("digits", recipe.data), recipe)
    benchmark.train(NASBENCH201_BEST, 1)
    events: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, _, **__: events.append(event)
    )
    benchmark.train(POOLS, 1)
    assert not events
    jax.jit(lambda x: x + 1.0)(1.0)
    assert events  # the listener hears compilations


@pytest.mark.slow
def test_unused_parts_do_not_change_a_training() -> None:
    recipe = get_recipe("cpu", ["train.epochs=2", "network.filters=4", "data.train_examples=256"])
    dataset = load_dataset("digits", recipe.data)
    own, shared = (
        TrainedEvaluator(SPACE, dataset, recipe, jax.devices()[:1], programs)
        for programs in ("own", "shared")
    )
    curves = [b.train(THROUGH_ONE, 5).losses for b in (own, shared)]
    np.testing.assert_allclose(*curves, rtol=1e-3)


def test_programs_share_only_under_plain_sgd() -> None:
    recipe = get_recipe("cpu", ["train.optimizer=lamb"])
    benchmark = TrainedEvaluator(
        SPACE, load_dataset("digits", recipe.data), recipe, programs="shared"
    )
    assert isinstance(benchmark._program(NASBENCH201_BEST), OwnProgram)


@pytest.mark.parametrize(
    ("space", "recipe", "changes", "shares"),
    [
        ("nasbench201", "cpu", (), True),
        ("nasbench201", "cpu", ("train.optimizer=adamw",), False),
        ("nasbench201", "cpu", ("network.drop_path_keep=0.9",), False),
        ("nasbench201", "cpu", ("network.filters=128", "data.train_examples=null"), False),
        ("nao5", "cpu_two_cell", (), False),
    ],
)
def test_auto_shares_only_where_it_is_exact_and_short(
    space: str, recipe: str, changes: tuple[str, ...], shares: bool
) -> None:
    chosen = get_recipe(recipe, changes)
    found = get_space(space)
    benchmark = TrainedEvaluator(found, load_dataset("digits", chosen.data), chosen)
    cell = found.sample(np.random.default_rng(0))
    assert isinstance(benchmark._program(cell), SharedProgram) == shares


def test_cells_beyond_the_shared_one_have_their_own_program() -> None:
    plan = SPACE.plan(NASBENCH201_BEST)
    other = dataclasses.replace(plan.normal.nodes[0][0], op="max_pool_3x3")
    nodes = ((other,), *plan.normal.nodes[1:])
    changed = dataclasses.replace(plan, normal=dataclasses.replace(plan.normal, nodes=nodes))
    assert isinstance(Programs(CONFIG, 5, SHAPE, share=True).of(changed), OwnProgram)
