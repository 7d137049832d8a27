import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.export.program import export_program, flat_arrays
from xfernas_jax.nn.builders import build_network
from xfernas_jax.nn.compile import count_params, initial_variables, variable_shapes
from xfernas_jax.nn.convnet import ConvNet, _features
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space import PUBLISHED, ConvNetPlan, get_space

SIZES = [(8, 8, 1), (28, 28, 1), (32, 32, 3), (65, 43, 3), (224, 224, 3)]
SPACE = get_space("convnet")
BLOCKS = ("plain", "residual", "bottleneck", "separable", "cell")


def plan_of(block: str, **changes: Any) -> ConvNetPlan:
    plan = ConvNetPlan("conv_3x3", (8, 12), (1, 1), block, 3, "stride", "mean")
    return dataclasses.replace(plan, **changes)


def values_of(network: Any, image_shape: tuple[int, int, int], seed: int) -> Any:
    return jax.tree.map(jnp.asarray, initial_variables(network, image_shape, seed))


def network_of(name: str, config: NetworkConfig | None = None) -> Any:
    space, genotype = PUBLISHED[name]
    config = config or NetworkConfig(filters=4, num_cells=1, num_stages=2)
    return build_network(get_space(space).plan(genotype), config, 10)


def gradient(network: Any, variables: Any, images: jax.Array) -> Any:
    def loss(params: Any) -> jax.Array:
        (logits, _), _ = network.apply(
            {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
        )
        return (logits**2).sum()

    return jax.jit(jax.grad(loss))(variables["params"])


def check_shapes(network: Any, image_shape: tuple[int, int, int]) -> None:
    images = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    variables = variable_shapes(network, image_shape)
    logits, auxiliary = jax.eval_shape(network.apply, variables, images)
    assert (logits.shape, logits.dtype) == ((2, 10), jnp.float32)
    assert auxiliary is None


def test_resnet_20_has_the_parameters_that_its_paper_gives_and_short_cuts() -> None:
    # Batch norms have 2 parameters a channel. Stem 9*3*16 + 32 = 464.
    # Stage 1: 3 * 2 * (9*16*16 + 32) = 14,016.
    # Stage 2: (9*16*32 + 64) + (9*32*32 + 64) + short cut (16*32 + 64) = 14,528, and
    # 2 * 2 * (9*32*32 + 64) = 37,120. Stage 3, likewise: (9*32*64 + 128) + (9*64*64 + 128) +
    # (32*64 + 128) = 57,728, and 2 * 2 * (9*64*64 + 128) = 147,968. Classifier 64*10 + 10 = 650.
    # He et al. give 0.27 million; without the short cuts it is 269,722.
    count = count_params(variable_shapes(network_of("resnet20"), (32, 32, 3)))
    assert count == 464 + 14_016 + 14_528 + 37_120 + 57_728 + 147_968 + 650
    assert count - (16 * 32 + 64) - (32 * 64 + 128) == 269_722


def test_the_vgg_like_network_has_the_parameters_of_six_convolutions() -> None:
    # 9 * in * out + 2 * out each, for 3-32-32-64-64-128-128; classifier 128*10 + 10.
    convolutions = 928 + 9_280 + 18_560 + 36_992 + 73_984 + 147_712
    count = count_params(variable_shapes(network_of("vgg_like"), (32, 32, 3)))
    assert count == convolutions + 1_290


def test_parameters_of_hand_derived_bottleneck_and_separable_blocks() -> None:
    # Stem 9*1*8 + 16 = 88. Classifier 12*10 + 10 = 130.
    # Bottleneck 8-4-8: 8*4 + 8 + 9*4*4 + 8 + 4*8 + 16 = 240; 8-6-12 of stride 2, with short cut:
    # 8*6 + 12 + 9*6*6 + 12 + 6*12 + 24 + 8*12 + 24 = 612.
    count = count_params(
        variable_shapes(ConvNet(plan_of("bottleneck"), NetworkConfig(), 10), (8, 8, 1))
    )
    assert count == 88 + 240 + 612 + 130
    # Separable: expand 8*32 + 64, depthwise 9*32 + 64, gates 32*4 + 4 and 4*32 + 32, project
    # 32*8 + 16 = 1,236, to 12 channels 32*12 + 24 = 1,372; last 12*48 + 96; classifier 48*10 + 10.
    count = count_params(
        variable_shapes(ConvNet(plan_of("separable"), NetworkConfig(), 10), (8, 8, 1))
    )
    assert count == 88 + 1_236 + 1_372 + 672 + 490


@pytest.mark.slow
@pytest.mark.parametrize("image_shape", SIZES)
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_published_network_takes_every_size(name: str, image_shape: Any) -> None:
    check_shapes(network_of(name), image_shape)


@pytest.mark.parametrize("block", BLOCKS)
def test_four_stages_on_patches_leave_a_small_image_one_pixel_and_every_head_reads_it(
    block: str,
) -> None:
    for head, downsample in (
        ("mean", "stride"),
        ("max", "max_pool"),
        ("grid", "avg_pool"),
        ("flat", "max_pool"),
    ):
        plan = plan_of(
            block,
            stem="patches_4x4",
            widths=(8, 8, 8, 8),
            depths=(1, 1, 1, 1),
            head=head,
            downsample=downsample,
        )
        network = ConvNet(plan, NetworkConfig(), 10)
        images = jax.ShapeDtypeStruct((1, 9, 8, 1), jnp.float32)
        logits, variables = jax.eval_shape(
            lambda x, net=network: net.init_with_output(jax.random.key(0), x), images
        )
        assert logits[0].shape == (1, 10)
        features = 32 if block == "separable" else 8
        kernel = variables["params"]["classifier"]["kernel"]
        assert kernel.shape == (features, 10)


def test_the_grid_head_averages_quarters_that_share_the_middle_of_odd_sides() -> None:
    x = jnp.arange(12.0).reshape(1, 3, 4, 1)
    # Rows 0-1 or 1-2; columns 0-1 or 2-3.
    np.testing.assert_allclose(_features(x, "grid"), [[2.5, 4.5, 6.5, 8.5]])
    assert _features(x[:, :1], "grid").shape == (1, 2)
    np.testing.assert_allclose(_features(x, "max"), [[11.0]])
    np.testing.assert_allclose(_features(x, "flat"), x.reshape(1, -1))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_gradients_of_random_networks_are_finite_and_reach_every_parameter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = SPACE.plan(SPACE.sample(rng))
    plan = dataclasses.replace(plan, block=BLOCKS[seed], widths=(8,) * len(plan.widths))
    network = ConvNet(plan, NetworkConfig(), 3)
    variables = values_of(network, (17, 12, 3), seed)
    images = jnp.asarray(rng.normal(size=(6, 17, 12, 3)), jnp.float32)
    for leaf in jax.tree.leaves(gradient(network, variables, images)):
        assert np.isfinite(leaf).all()
        assert np.any(leaf)


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_recomputing_keeps_the_variables_and_their_gradients(block: str) -> None:
    plain, again = (ConvNet(plan_of(block), NetworkConfig(remat=r), 3) for r in (False, True))
    variables = values_of(plain, (8, 8, 1), 0)
    jax.tree.map(np.testing.assert_array_equal, variables, values_of(again, (8, 8, 1), 0))
    images = jnp.asarray(np.random.default_rng(0).normal(size=(4, 8, 8, 1)), jnp.float32)
    assert "remat" in str(jax.make_jaxpr(lambda v: gradient(again, v, images))(variables))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        gradient(plain, variables, images),
        gradient(again, variables, images),
    )


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_two_devices_give_what_one_gives_on_the_same_batch(block: str) -> None:
    plan = plan_of(block)
    whole, halved = (ConvNet(plan, NetworkConfig(), 3, axis) for axis in (None, "devices"))
    variables = values_of(whole, (8, 8, 1), 0)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(8, 8, 8, 1)), jnp.float32)

    def run(network: ConvNet, images: jax.Array) -> Any:
        return network.apply(variables, images, train=True, mutable=["batch_stats"])

    (logits, _), stats = run(whole, images)
    parts = images.reshape(2, 4, 8, 8, 1)
    (both, _), both_stats = jax.pmap(lambda x: run(halved, x), "devices")(parts)
    np.testing.assert_allclose(both.reshape(8, 3), logits, rtol=1e-3, atol=1e-4)
    for ours, other in zip(jax.tree.leaves(stats), jax.tree.leaves(both_stats), strict=True):
        np.testing.assert_allclose(other[1], ours, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_dropout_follows_the_position_of_an_example_and_needs_it() -> None:
    network = ConvNet(plan_of("plain"), NetworkConfig(dropout_keep=0.5), 3)
    variables = values_of(network, (8, 8, 1), 0)
    images = jnp.tile(jnp.asarray(np.random.default_rng(0).normal(size=(1, 8, 8, 1))), (3, 1, 1, 1))

    def run(positions: Any) -> Any:
        key = {"dropout": jax.random.key(1)}
        out, _ = network.apply(variables, images, positions, 1.0, True, rngs=key, mutable=True)
        return out[0]

    logits = run(jnp.array([4, 5, 4]))
    np.testing.assert_array_equal(logits[0], logits[2])
    assert not np.array_equal(logits[0], logits[1])
    with pytest.raises(ValueError, match="positions"):
        run(None)


def test_what_a_plan_does_not_name_changes_nothing() -> None:
    changes: dict[str, Any] = {
        "filters": 7,
        "num_cells": 5,
        "num_stages": 1,
        "stem_multiplier": 2,
        "drop_path_keep": 0.5,
        "auxiliary_weight": 0.4,
        "scan_cells": True,
    }
    fields = {field.name for field in dataclasses.fields(NetworkConfig)}
    assert fields - set(changes) == ConvNetPlan.reads

    def program(config: NetworkConfig) -> str:
        network = ConvNet(plan_of("plain"), config, 3)
        variables, images = variable_shapes(network, (8, 8, 1)), jnp.zeros((2, 8, 8, 1))
        apply = lambda v: network.apply(v, images, None, 0.5, True, mutable=True)  # noqa: E731
        return jax.jit(apply).lower(variables).as_text()

    assert program(NetworkConfig(**changes)) == program(NetworkConfig())


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_an_exported_network_gives_its_logits_for_any_batch_size(block: str) -> None:
    network = ConvNet(plan_of(block, head="grid", downsample="max_pool"), NetworkConfig(), 3)
    variables = values_of(network, (9, 8, 1), 0)

    def infer(variables: Any, images: jax.Array) -> jax.Array:
        return network.apply(variables, images.astype(jnp.float32))[0]

    arrays = flat_arrays(variables)
    program = jax.export.deserialize(bytearray(export_program(infer, arrays, (9, 8, 1))))
    for count in (1, 3):
        images = jnp.arange(count * 72, dtype=jnp.uint8).reshape(count, 9, 8, 1)
        expected = infer(variables, images)
        np.testing.assert_allclose(program.call(arrays, images), expected, rtol=1e-4, atol=1e-3)
