import dataclasses
import hashlib
import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from xfernas_jax.nn.compile import initial_variables, variable_leaves
from xfernas_jax.nn.conv import Conv
from xfernas_jax.nn.initializers import HostNormal, dense_init
from xfernas_jax.nn.network import Network, NetworkConfig
from xfernas_jax.nn.ops import OpContext, register_op
from xfernas_jax.nn.programs import Programs
from xfernas_jax.space import NASBENCH201_BEST, get_space
from xfernas_jax.space.graph import CellGraph, Edge, NetworkPlan

CONFIG = NetworkConfig(
    filters=4, num_cells=2, num_stages=2, stem_multiplier=1, auxiliary_weight=0.4
)
IMAGE = (8, 8, 3)


def digest(variables: dict[str, Any]) -> str:
    """Returns a number of every path, shape and bit."""
    total = hashlib.sha256()
    for path, value in sorted(traverse_util.flatten_dict(variables).items()):
        total.update(f"{'/'.join(path)}{value.shape}{value.dtype}".encode())
        total.update(np.ascontiguousarray(value).tobytes())
    return total.hexdigest()[:16]


@pytest.mark.parametrize(
    ("name", "share", "changes", "expected"),
    [
        ("nasbench201", False, {}, "7c9d70c7aac57ed8"),
        ("nasbench201", True, {}, "7c9d70c7aac57ed8"),
        ("nasbench201", False, {"remat": True, "scan_cells": True}, "7c9d70c7aac57ed8"),
        ("nao11", False, {"remat": True}, "88796d2013cf93b0"),
        ("nasnet", False, {"auxiliary_weight": 0.0}, "b1ddaf22a1dca74a"),
    ],
)
def test_the_first_values_of_a_network_are_those_of_version_0_1_0(
    name: str, share: bool, changes: dict[str, Any], expected: str
) -> None:
    space = get_space(name)
    best = name == "nasbench201"
    genotype = NASBENCH201_BEST if best else space.sample(np.random.default_rng(1))
    programs = Programs(dataclasses.replace(CONFIG, **changes), 5, IMAGE, share=share)
    assert digest(programs.of(space.plan(genotype)).initial_variables(3)) == expected


@pytest.mark.parametrize("name", ["nao11", "nasbench201"])
def test_the_host_draws_every_variable_of_our_own_networks(name: str) -> None:
    space = get_space(name)
    network = Network(space.plan(space.sample(np.random.default_rng(0))), CONFIG, 5, "devices")
    assert None not in [leaf.init for leaf in variable_leaves(network, IMAGE).values()]


def test_the_host_draws_what_flax_batch_norm_holds() -> None:
    leaves = variable_leaves(Bare((nn.BatchNorm(use_running_average=False),)), IMAGE)
    drawn = {path[-1]: leaf.init for path, leaf in leaves.items()}
    assert drawn == {"scale": 1.0, "bias": 0.0, "mean": 0.0, "var": 1.0}


class Bare(nn.Module):
    """Layers one after the other as a network."""

    layers: tuple[nn.Module, ...]

    @nn.compact
    def __call__(self, images: jax.Array, *_: Any, **__: Any) -> tuple[jax.Array, None]:
        for layer in self.layers:
            images = layer(images)
        return images.mean(axis=(1, 2)), None


class OwnOp(nn.Module):
    """An operation whose initialisers are a user's own."""

    context: OpContext
    filters: int
    INITS: ClassVar[dict[str, Any]] = {
        "kernel_init": nn.initializers.zeros,
        "bias_init": nn.initializers.ones,
    }

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        gamma = self.param("gamma", nn.initializers.constant(0.5), (1,))
        slope = self.param("slope", lambda key, shape: jnp.arange(*shape, dtype=float), (4,))
        x = nn.Conv(self.filters, (1, 1), **self.INITS)(x) * gamma[None, None, None]
        return Conv(self.filters)(nn.Dense(self.filters)(x)) * slope[None, None, None]


register_op("own_inits", lambda context, filters, stride, name: OwnOp(context, filters, name=name))
OWN = NetworkPlan(CellGraph(1, ((Edge(0, "own_inits"),),), "last"), None)
SMALL = NetworkConfig(filters=4, num_cells=2, num_stages=1)


def values_of_own_op(config: NetworkConfig = SMALL, seed: int = 0, cell: int = 0) -> Any:
    variables = Programs(config, 5, IMAGE).of(OWN).initial_variables(seed)
    return variables["params"][f"cell{cell}"]["node0_edge0_own_inits"]


def test_an_operations_own_initialisers_decide_its_first_values() -> None:
    values = values_of_own_op()
    assert (values["Conv_0"]["kernel"] == 0.0).all()
    assert (values["Conv_0"]["bias"] == 1.0).all()


def test_a_parameter_of_any_name_has_its_own_initialiser() -> None:
    values = values_of_own_op()
    np.testing.assert_array_equal(values["gamma"], [0.5])
    np.testing.assert_array_equal(values["slope"], [0.0, 1.0, 2.0, 3.0])


def test_flax_draws_of_an_operation_follow_the_seed_and_the_place() -> None:
    first = values_of_own_op()["Dense_0"]["kernel"]
    np.testing.assert_array_equal(first, values_of_own_op()["Dense_0"]["kernel"])
    assert not (first == values_of_own_op(seed=1)["Dense_0"]["kernel"]).any()
    assert not (first == values_of_own_op(cell=1)["Dense_0"]["kernel"]).any()
    deeper = dataclasses.replace(SMALL, num_cells=3, remat=True)
    np.testing.assert_array_equal(first, values_of_own_op(deeper)["Dense_0"]["kernel"])


def test_our_convolutions_inside_an_operation_stay_the_hosts() -> None:
    leaves = variable_leaves(Network(OWN, SMALL, 5), IMAGE)
    inits = {path[-2:]: leaf.init for path, leaf in leaves.items() if path[1] == "cell0"}
    assert inits["Conv_1", "kernel"] == HostNormal(2.0)
    assert inits["Dense_0", "kernel"] is None


class Copied(nn.Module):
    """A parameter in bfloat16, and one whose first value a running statistic copies."""

    @nn.compact
    def __call__(self, images: jax.Array, *_: Any, **__: Any) -> tuple[jax.Array, None]:
        narrow = self.param("narrow", dense_init, (3, 5), jnp.bfloat16)
        kernel = self.param("kernel", dense_init, (3, 5))
        self.variable("batch_stats", "mean_kernel", lambda: kernel)
        return images.mean(axis=(1, 2)) @ (kernel + narrow.astype(jnp.float32)), None


def test_a_copied_first_value_is_the_same_in_both_places() -> None:
    values = initial_variables(Copied(), IMAGE, 0)
    kernel = values["params"]["kernel"]
    assert kernel.std() > 0.0
    np.testing.assert_array_equal(kernel, values["batch_stats"]["mean_kernel"])


def test_a_parameter_has_the_type_that_its_module_gives_it() -> None:
    assert initial_variables(Copied(), IMAGE, 0)["params"]["narrow"].dtype == jnp.bfloat16


def test_the_values_of_jax_are_those_of_flax_init() -> None:
    network = Bare((nn.Dense(4, name="first"), nn.Dense(4, name="second")))
    values = initial_variables(network, IMAGE, 7)["params"]
    flax = network.init(jax.random.key(7), jnp.zeros((1, *IMAGE)))["params"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), values, flax)


def test_an_initialiser_of_the_host_has_one_distribution_on_both_ways() -> None:
    shape = (64, 256)
    host = dense_init.draw(("kernel",), shape, 0)
    by_jax = np.asarray(dense_init(jax.random.key(0), shape))
    limit = 2 / math.sqrt(64) / 0.87962566103423978
    for values in (host, by_jax):
        assert values.std() == pytest.approx(1 / math.sqrt(64), rel=0.02)  # of 16,384: 4 sigma
        assert np.abs(values).max() <= limit + 1e-6
