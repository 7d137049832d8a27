import dataclasses
import math
import sys
import types

import jax
import numpy as np
import pytest

from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.nn.builders import build_network
from xfernas_jax.nn.compile import count_params, variable_shapes
from xfernas_jax.nn.costs import (
    COSTS,
    Cost,
    NetworkCosts,
    find_cost,
    flops_of,
    measure_latency,
    trace_forward,
)
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space import NASBENCH201_BEST, PUBLISHED, get_space
from xfernas_jax.space.nasbench201 import TopologyCell

SPACE = get_space("nasbench201")
CONFIG = get_recipe("cpu", ["network.filters=8"]).network
SHAPE = (8, 8, 1)


def cell(op: str) -> TopologyCell:
    return TopologyCell((op, "none", "none", "none", "identity", "none"))


def flops(genotype: TopologyCell, shape: tuple[int, int, int] = SHAPE) -> float:
    network = build_network(SPACE.plan(genotype), CONFIG, 10)
    return flops_of(trace_forward(network, variable_shapes(network, shape), shape))


def test_flops_of_a_convolution_are_two_for_each_multiply_add_inside_the_image() -> None:
    # 3x3 and 1x1 convolutions on the one edge that computes differ by their taps alone.
    first = flops(cell("nor_conv_3x3")) - flops(cell("nor_conv_1x1"))
    side, filters = 8, 8
    taps = (3 * side - 2) ** 2 - side**2  # those of the border fall outside
    assert first == 2 * taps * filters * filters * CONFIG.num_cells


@pytest.mark.slow
def test_flops_grow_with_the_image_and_do_not_depend_on_how_they_are_computed() -> None:
    assert flops(NASBENCH201_BEST, (16, 16, 1)) > 3.5 * flops(NASBENCH201_BEST)
    nao = get_space("nao5")
    genotype = nao.sample(np.random.default_rng(0))
    two_cell = get_recipe("cpu_two_cell", []).network
    found = {
        form: NetworkCosts(
            nao, get_recipe("cpu_two_cell", [f"network.depthwise={form}"]).network, 10, SHAPE
        )(genotype)
        for form in ("lax", "shift")
    }
    assert found["lax"] == found["shift"]
    assert found["lax"]["params"] == count_params(
        variable_shapes(build_network(nao.plan(genotype), two_cell, 10), SHAPE)
    )


def test_parameters_are_those_of_the_network_where_a_program_is_shared() -> None:
    costs = NetworkCosts(SPACE, CONFIG, 10, SHAPE, ["params"])
    rng = np.random.default_rng(0)
    for genotype in [SPACE.sample(rng) for _ in range(4)]:
        network = build_network(SPACE.plan(genotype), CONFIG, 10)
        assert costs(genotype)["params"] == count_params(variable_shapes(network, SHAPE))


def test_costs_are_those_that_were_asked_for_and_each_network_is_looked_at_once() -> None:
    costs = NetworkCosts(SPACE, CONFIG, 10, SHAPE, ["params"])
    assert list(costs(NASBENCH201_BEST)) == ["params"]
    assert costs(NASBENCH201_BEST) is costs(NASBENCH201_BEST)


def test_latency_is_a_time_that_grows_with_the_work() -> None:
    def infer(variables: dict, images: jax.Array) -> jax.Array:
        for _ in range(4):
            images = images @ variables["w"]
        return images

    def milliseconds(size: int) -> float:
        weights = {"w": np.eye(size, dtype=np.float32)}
        return measure_latency(infer, weights, np.ones((size, size), np.float32))

    small, large = milliseconds(8), milliseconds(1024)  # two million times the work
    assert 0.0 < small < large
    assert math.isfinite(large)


def test_a_users_own_cost_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("users_costs")
    own = Cost("nodes", "", "nodes of a cell", known=lambda its: len(its.plan.normal.nodes))
    vars(module).update(NODES=own, SIX=dataclasses.replace(own, name="params"))
    monkeypatch.setitem(sys.modules, "users_costs", module)
    costs = NetworkCosts(SPACE, CONFIG, 10, SHAPE, ["users_costs:NODES", "latency_ms"])
    assert find_cost("users_costs:NODES") is own
    assert costs(NASBENCH201_BEST) == {"nodes": 3.0}
    with pytest.raises(FlagError, match="name that none of ours has"):
        find_cost("users_costs:SIX")
    with pytest.raises(FlagError, match=r"--costs.*Did you mean flops\?"):
        find_cost("flop")


def test_a_cost_is_either_known_or_measured() -> None:
    assert COSTS["params"].measure is None
    for change in ({"known": None}, {"measure": measure_latency}):
        with pytest.raises(ValueError, match="either known or measured"):
            dataclasses.replace(COSTS["params"], **change)


def test_activations_are_what_convolutions_and_the_classifier_give() -> None:
    space, genotype = get_space("convnet"), PUBLISHED["vgg_tiny"][1]
    costs = NetworkCosts(space, NetworkConfig(), 10, (32, 32, 3), ["activations"])
    layers = 2 * (8 * 32**2 + 16 * 16**2 + 32 * 8**2)  # two convolutions in each of three stages
    assert costs(genotype)["activations"] == layers + 10


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (33, 20, 3)])
def test_bounds_without_a_trace_are_below_what_the_trace_says_and_near_it(
    shape: tuple[int, int, int],
) -> None:
    space, rng = get_space("convnet"), np.random.default_rng(0)
    costs = NetworkCosts(space, NetworkConfig(), 10, shape, ["flops", "activations"])
    blocks = set()
    for genotype in [space.sample(rng) for _ in range(25)]:
        least, known = costs.at_least(genotype), costs(genotype)
        blocks.add(genotype.block)
        for name in ("flops", "activations"):
            assert 0.0 < least[name] <= known[name] * (1.0 + 1e-6)
            if genotype.block != "cell" and min(shape[:2]) >= 28:
                assert least[name] >= 0.5 * known[name]
    assert len(blocks) == 5
    cells = NetworkCosts(SPACE, CONFIG, 10, SHAPE)
    assert cells.at_least(NASBENCH201_BEST) == {}
