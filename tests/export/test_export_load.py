"""An exported network as a Flax module: the same function, whatever the size of an image."""

import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from exported import write_network
from jax import export

import xfernas_jax
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.resize import resize
from xfernas_jax.errors import ModelError
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.space import PUBLISHED, get_space, write_genotype

SPACE = get_space("convnet")


@pytest.fixture(scope="module", params=[1, 3])
def exported(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> pathlib.Path:
    """The folder of a network for `digits`, of a training or several; tests only read it."""
    return write_network(tmp_path_factory.mktemp("network"), request.param)


@pytest.fixture
def copy(exported: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    return shutil.copytree(exported, tmp_path / "copy")


@pytest.mark.slow
def test_the_module_the_program_and_the_record_agree_on_images_of_any_size(
    exported: pathlib.Path,
) -> None:
    network, test = (
        xfernas_jax.load_network(exported),
        load_dataset("digits", get_recipe("cpu").data).test,
    )
    assert network.class_names == tuple("0123456789")
    logits = network.logits(test.images[:])
    assert np.mean(logits.argmax(-1) == test.labels) == network.facts.test_value
    model = export.deserialize(bytearray((exported / "model.stablehlo").read_bytes()))
    variables = dict(np.load(exported / "variables.npz"))
    for shape in ((8, 8), (21, 30), (5, 9)):
        images = resize(np.asarray(test.images[:70]), *shape)
        by_program = np.asarray(model.call(variables, images))
        np.testing.assert_allclose(network.logits(images), by_program, atol=1e-5)
    both = [resize(np.asarray(test.images[i : i + 1]), 9 + i, 8)[0] for i in range(3)]
    each = np.concatenate([network.logits(image[None]) for image in both])
    np.testing.assert_allclose(network.logits(both), each, atol=1e-5)
    shares = network.probabilities(both)
    np.testing.assert_allclose(shares.sum(axis=-1), 1.0)
    np.testing.assert_array_equal(shares.argmax(-1), each.argmax(-1))
    assert network.logits([]).shape == (0, 10)


@pytest.mark.slow
def test_a_loop_of_ones_own_trains_the_module_on(exported: pathlib.Path) -> None:
    network = xfernas_jax.load_network(exported)
    train = load_dataset("digits", get_recipe("cpu").data).train
    images, labels = network.preprocess(train.images[:256]), train.labels[:256]

    def loss(params: Any, stats: Any) -> tuple[jax.Array, Any]:
        variables = {"params": params, "batch_stats": stats}
        logits, updated = network.module.apply(
            variables, images, train=True, mutable=["batch_stats"]
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), updated["batch_stats"]

    params, stats = network.variables["params"], network.variables["batch_stats"]
    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    losses = []
    for _ in range(5):
        (value, stats), gradients = step(params, stats)
        params = jax.tree.map(lambda p, g: p - 0.05 * g, params, gradients)
        losses.append(float(value))
    assert losses[-1] < losses[0]
    logits: Any = network.module.apply(
        {"params": params, "batch_stats": stats}, jnp.asarray(images)
    )
    assert np.shape(logits) == (256, 10)


def rewrite(folder: pathlib.Path, **changes: object) -> None:
    value = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**value, **changes}))


def drop_array(folder: pathlib.Path) -> None:
    arrays = dict(np.load(folder / "variables.npz"))
    arrays.pop(min(arrays))
    np.savez(folder / "variables.npz", **arrays)


def make_nan(folder: pathlib.Path) -> None:
    arrays = {
        name: np.full_like(x, np.nan) for name, x in np.load(folder / "variables.npz").items()
    }
    np.savez(folder / "variables.npz", **arrays)


def cut(folder: pathlib.Path) -> None:
    data = (folder / "variables.npz").read_bytes()
    (folder / "variables.npz").write_bytes(data[: len(data) // 2])


DAMAGES: dict[str, tuple[Callable[[pathlib.Path], object], str]] = {
    "no model.json": (lambda f: (f / "model.json").unlink(), "model.json: cannot be read"),
    "no JSON": (lambda f: (f / "model.json").write_text("{"), "model.json: is not JSON"),
    "a later format": (lambda f: rewrite(f, format=2), "is of format 2"),
    "a field too many": (lambda f: rewrite(f, more=1), "unknown: ['more']"),
    "another network": (lambda f: rewrite(f, network={"x": 1}), "network has an unknown field"),
    "no width": (
        lambda f: rewrite(f, image={"height": 8, "width": 0, "channels": 1}),
        "at least one pixel",
    ),
    "a user's space": (lambda f: rewrite(f, space="os:system"), "not as module:NAME"),
    "fewer classes": (
        lambda f: (f / "classes.json").write_text('["a", "b"]'),
        "the network of 2 classes wants",
    ),
    "no classes": (lambda f: (f / "classes.json").write_text("[1]"), "names of classes"),
    "half an archive": (cut, "variables.npz: is damaged"),
    "an array less": (drop_array, "does not fit genotype.json"),
    "not finite": (make_nan, "not finite"),
    "another genotype": (
        lambda f: write_genotype(f / "genotype.json", SPACE, PUBLISHED["resnet8"][1]),
        "does not fit genotype.json",
    ),
    "no genotype": (lambda f: (f / "genotype.json").unlink(), "genotype.json"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_one_line_that_names_the_file(copy: pathlib.Path, name: str) -> None:
    damage, rule = DAMAGES[name]
    damage(copy)
    with pytest.raises(ModelError) as refused:
        xfernas_jax.load_network(copy)
    assert rule in str(refused.value)
    assert str(copy) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_other_images_are_refused(exported: pathlib.Path) -> None:
    network = xfernas_jax.load_network(exported)
    for images in (
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 1), np.float32),
        np.zeros((8, 8, 1), np.uint8),
    ):
        with pytest.raises(ModelError, match=r"\[N, H, W, 1\] uint8 of 0 to 255"):
            network.logits(images)
    with pytest.raises(ModelError, match="no such folder"):
        xfernas_jax.load_network(exported / "nowhere")
