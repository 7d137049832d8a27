import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.errors import GenotypeError, RecipeError
from xfernas_jax.nn.builders import build_network
from xfernas_jax.nn.compile import count_params, initial_variables, variable_shapes
from xfernas_jax.nn.network import Network, NetworkConfig
from xfernas_jax.nn.ops import OpContext, build_op
from xfernas_jax.space import NAONET, NASBENCH201_BEST, get_space
from xfernas_jax.space.graph import CellGraph, Edge, NetworkPlan

SMALL = NetworkConfig(filters=4, num_cells=1, num_stages=2, stem_multiplier=1)


def test_parameter_count_of_a_hand_derived_nasbench201_network() -> None:
    # Filters 4 then 8, image of 1 channel, 10 classes. stem 3*3*1*4 + BN 8 = 44.
    # Cell: one conv 3x3 (c*c*9 + BN 2c) and one identity: 144 + 8 = 152, later 576 + 16 = 592.
    # Residual reduction 4 -> 8: 288 + 16, 576 + 16, short cut 32 = 928. Last BN 16, dense 90.
    cell = CellGraph(1, ((Edge(0, "nor_conv_3x3"), Edge(0, "identity")),), "last")
    network = Network(NetworkPlan(cell, None), SMALL, 10)
    count = count_params(variable_shapes(network, (8, 8, 1)))
    assert count == 44 + 152 + 928 + 592 + 16 + 90


def test_parameter_count_of_a_hand_derived_two_cell_network() -> None:
    # One node: identity of both inputs; both are read, so the output is that node (c channels).
    # Calibration: two 1x1 convolutions + BN a cell. stem 36 + 8 = 44 (4 channels).
    # cell0 (4): 2 * (16 + 8) = 48. reduction (8): calibrate 2 * (4*8 + 16) = 96, and two
    # identities of stride 2: 2 * (8*8 + 16) = 160. cell2 (8): its older input (4 channels) is
    # twice as large, factorised 4*8 + 16 = 48; newer 8*8 + 16 = 80. dense 90.
    cell = CellGraph(2, ((Edge(0, "identity"), Edge(1, "identity")),), "concat_unused")
    network = Network(NetworkPlan(cell, cell), SMALL, 10)
    count = count_params(variable_shapes(network, (8, 8, 1)))
    assert count == 44 + 48 + 96 + 160 + 48 + 80 + 90


def test_initial_values_follow_flax_initialisers_and_the_seed() -> None:
    space = get_space("nasbench201")
    network = build_network(space.plan(NASBENCH201_BEST), NetworkConfig(filters=16), 10)
    first, again, other = (initial_variables(network, (8, 8, 3), seed) for seed in (0, 0, 1))
    own = first["params"]["cell0"]["node0_edge0_nor_conv_3x3"]["Conv_0"]["kernel"]
    assert own.std() == pytest.approx(np.sqrt(2 / (9 * 16)), rel=0.1)
    assert np.abs(own).max() <= 2 * np.sqrt(2 / (9 * 16)) / 0.8796
    jax.tree.map(np.testing.assert_array_equal, first, again)
    same = other["params"]["cell0"]["node0_edge0_nor_conv_3x3"]["Conv_0"]["kernel"] == own
    assert not same.any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nao5", "nao11", "nasnet", "nasbench201"])
def test_every_space_gives_networks_of_the_right_shape(name: str) -> None:
    space = get_space(name)
    for seed in range(3):
        genotype = space.sample(np.random.default_rng(seed))
        network = build_network(space.plan(genotype), SMALL, 7)
        variables = variable_shapes(network, (9, 7, 3))
        images = jax.ShapeDtypeStruct((2, 9, 7, 3), jnp.float32)
        logits, auxiliary = jax.eval_shape(network.apply, variables, images)
        assert logits.shape == (2, 7)
        assert auxiliary is None


def test_naonet_compiles_with_auxiliary_head_and_bfloat16() -> None:
    config = NetworkConfig(filters=4, num_cells=1, auxiliary_weight=0.4, dtype="bfloat16")
    network = build_network(get_space("nao11").plan(NAONET), config, 10)
    variables = variable_shapes(network, (32, 32, 3))
    assert "auxiliary" in variables["params"]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(variables))


def test_unknown_operation_and_bad_config_name_the_rule() -> None:
    with pytest.raises(GenotypeError, match="register_op"):
        build_op("warp", OpContext(train=False), 4, 1, "x")
    with pytest.raises(RecipeError, match=r"drop_path_keep lies in \(0, 1\]"):
        NetworkConfig(drop_path_keep=0.0)
