"""Networks whose logits are averaged: the variables of each, and of all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.nn.builders import build_network
from xfernas_jax.nn.compile import count_params, initial_variables
from xfernas_jax.nn.members import averaged, joined, parted
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space import PUBLISHED, get_space

PLAN = get_space("convnet").plan(PUBLISHED["vgg_tiny"][1])
NETWORK = build_network(PLAN, NetworkConfig(), 3)
SHAPE = (8, 8, 1)


def same(first: object, second: object) -> bool:
    equal = jax.tree.map(np.array_equal, first, second)
    return jax.tree.structure(first) == jax.tree.structure(second) and all(jax.tree.leaves(equal))


@pytest.mark.slow
def test_the_logits_are_the_mean_of_those_of_each_network() -> None:
    drawn = [initial_variables(NETWORK, SHAPE, seed) for seed in range(3)]
    members = [jax.tree.map(jnp.asarray, variables) for variables in drawn]
    images = jnp.asarray(np.random.default_rng(0).normal(size=(5, *SHAPE)), jnp.float32)
    each = [np.asarray(NETWORK.apply(variables, images)[0]) for variables in members]
    both, auxiliary = averaged(NETWORK, 3).apply(joined(members), images)
    np.testing.assert_allclose(both, np.mean(each, axis=0), rtol=1e-5, atol=1e-6)
    assert auxiliary is None
    assert np.abs(each[0] - each[1]).max() > 0.01


def test_variables_of_several_networks_can_be_parted_again() -> None:
    members = [initial_variables(NETWORK, SHAPE, seed) for seed in range(2)]
    both = joined(members)
    assert count_params(both) == 2 * count_params(members[0])
    assert all(map(same, parted(both), members))
    assert same(joined(parted(both)), both)


def test_a_single_network_stays_as_it_is() -> None:
    variables = initial_variables(NETWORK, SHAPE, 0)
    assert same(joined([variables]), variables)
    assert same(parted(variables), [variables])
    assert averaged(NETWORK, 1) is NETWORK


def test_networks_without_statistics_are_joined_too() -> None:
    members = [{"params": {"w": np.full(2, i)}} for i in range(3)]
    assert same(parted(joined(members)), members)
    with_empty = [{"params": {"w": np.zeros(1)}, "batch_stats": {}} for _ in range(2)]
    assert same(parted(joined(with_empty)), with_empty)
