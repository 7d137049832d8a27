"""The ONNX model: the rule of resizing to the bit, and the network's own probabilities."""

import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from exported import GENOTYPE, SPACE, write_network
from jax import export
from PIL import Image
from scipy.special import softmax

import xfernas_jax
from xfernas_jax.data.augment import Normalizer
from xfernas_jax.data.pictures import read_image
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.resize import resize
from xfernas_jax.errors import ExportError
from xfernas_jax.evaluate.inference import inference
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.export import onnx_file
from xfernas_jax.export.model import ModelFacts
from xfernas_jax.nn.boundary import alone
from xfernas_jax.nn.builders import build_network
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space import PUBLISHED, get_space

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.mark.slow
def test_a_program_of_onnx_resizes_as_numpy_does_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    for new in ((8, 8), (5, 13), (1, 2)):
        model = onnx_file.preparation((*new, 3), test_flips=True)
        session = runtime.InferenceSession(model.SerializeToString())
        for old in (new, (1, 1), (2, 31), (40, 7), (401, 8), (13, 5)):
            images = rng.integers(0, 256, (2, *old, 3), dtype=np.uint8)
            (found,) = session.run(None, {"images": images})
            small = resize(images, *new)
            np.testing.assert_array_equal(found, np.concatenate([small, small[:, :, ::-1]]))


@pytest.mark.slow
@pytest.mark.parametrize("num_members", [1, 2])
def test_onnx_stablehlo_and_flax_agree_on_files_and_give_the_recorded_score(
    num_members: int, tmp_path: pathlib.Path
) -> None:
    folder = write_network(tmp_path, num_members)
    network, variables = xfernas_jax.load_network(folder), dict(np.load(folder / "variables.npz"))
    onnx_file.write_onnx(folder, SPACE.plan(GENOTYPE), network.facts, network.variables)
    program = export.deserialize(bytearray((folder / "model.stablehlo").read_bytes()))
    test = load_dataset("digits", get_recipe("cpu").data).test
    logits = onnx_file.onnx_logits(folder / "model.onnx", test.images[:])
    assert np.mean(logits.argmax(-1) == test.labels) == network.facts.test_value
    for number, shape in enumerate(((8, 8), (33, 20), (5, 6))):
        file = tmp_path / f"{number}.png"
        Image.fromarray(resize(test.images[number : number + 1], *shape)[0, ..., 0]).save(file)
        image = read_image(file, 1)[None]
        wanted = network.probabilities(image)
        by_program = softmax(np.asarray(program.call(variables, image)), axis=-1)
        by_onnx = softmax(onnx_file.onnx_logits(folder / "model.onnx", image), axis=-1)
        np.testing.assert_allclose(by_program, wanted, atol=1e-5)
        np.testing.assert_allclose(by_onnx, wanted, atol=1e-5)
    (names,) = [p.value for p in onnx.load(folder / "model.onnx").metadata_props]
    assert json.loads(names) == list("0123456789")
    infer = inference(network.module.network, network.facts.normalizer, flips=True)
    onnx_file.check_onnx(folder, infer, network.variables, test.images[:9])
    other = jax.tree.map(lambda x: x * 1.01, network.variables)
    with pytest.raises(ExportError, match="differ by up to"):
        onnx_file.check_onnx(folder, infer, other, test.images[:9])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nasbench201_best", "naonet_b", "mobilenet_like"])
def test_other_spaces_and_blocks_are_written(name: str, tmp_path: pathlib.Path) -> None:
    space_name, genotype = PUBLISHED[name]
    plan = get_space(space_name).plan(genotype)
    config = NetworkConfig(filters=4, num_cells=2, num_stages=2)
    facts = ModelFacts(
        *(space_name, config, (16, 16, 3), Normalizer(np.ones(3), np.ones(3), True), False),
        *(("a", "b"), "digits", "accuracy", 0.5),
    )
    network = build_network(plan, config, 2)
    variables = network.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    onnx_file.write_onnx(tmp_path, plan, facts, variables)
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    infer = inference(network, facts.normalizer, facts.test_flips)
    onnx_file.check_onnx(tmp_path, infer, variables, images)


def test_calls_that_change_nothing_are_taken_apart() -> None:
    def double(x: jax.Array) -> jax.Array:
        return 2.0 * x

    def whole(x: jax.Array) -> dict[str, jax.Array]:
        return {"found": jax.jit(lambda y: alone(double)(y) + 1.0)(x)}

    plain = onnx_file.inlined(whole)
    x = jnp.arange(3.0)
    np.testing.assert_array_equal(plain(x)["found"], 2.0 * x + 1.0)
    assert "call" in str(jax.make_jaxpr(whole)(x))
    names = [equation.primitive.name for equation in jax.make_jaxpr(plain)(x).jaxpr.eqns]
    assert names == ["mul", "add"]


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(ExportError, match=r"needs the package jax2onnx.*xfernas_jax\[onnx\]"):
        onnx_file.needs_onnx()
