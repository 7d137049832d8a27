import dataclasses
import importlib
import importlib.util
import itertools
import json
import os
import pathlib
import subprocess
import sys
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from experiments.bench.steps import (
    LAYOUTS,
    NUM_CHECKED_STEPS,
    Case,
    Setup,
    TorchSteps,
    TwinError,
    all_cases,
    check_losses,
    check_num_params,
    choose_cases,
    first_losses,
    start,
)
from xfernas_jax.errors import FlagError, GenotypeError, RecipeError
from xfernas_jax.nn.builders import build_network
from xfernas_jax.nn.compile import count_params, initial_variables
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.nn.ops import OpContext, build_op, op_names
from xfernas_jax.space import SPACES
from xfernas_jax.space.nasbench201 import TopologyCell
from xfernas_jax.space.published import NAONET, NAONET_B

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = NetworkConfig(filters=4, num_cells=1, num_stages=2)
IMAGES = (8, 8, 3)
SETUP = Setup(CONFIG, batch_size=8, image_size=8, learning_rate=0.1)

SPACES_OF_CELLS = sorted(set(SPACES) - {"convnet"})  # the PyTorch twin is one of cells
every_space = pytest.mark.parametrize("space", SPACES_OF_CELLS)


@pytest.fixture(scope="module")
def twin() -> Any:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is absent; `make setup EXTRAS=bench` adds it")
    importlib.import_module("torch").set_num_threads(1)  # several wait on a busy machine
    return importlib.import_module("experiments.bench.torch_network")


def random_values(variables: Any, seed: int) -> Any:
    """Draws every value anew, so that a value that is not copied shows."""
    rng = np.random.default_rng(seed)
    flat: Any = traverse_util.flatten_dict(variables)
    drawn = {
        path: np.asarray(value + 0.2 * rng.uniform(-1, 1, np.shape(value)), np.float32)
        for path, value in flat.items()
    }
    return traverse_util.unflatten_dict(drawn)


def random_images(batch: int, height: int, width: int, channels: int) -> np.ndarray:
    shape = (batch, height, width, channels)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def as_torch(images: np.ndarray) -> Any:
    torch = importlib.import_module("torch")
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def as_jax(images: Any) -> np.ndarray:
    return images.numpy().transpose(0, 2, 3, 1)


def small_case(space_name: str, seed: int = 0) -> Case:
    space = SPACES[space_name]
    return Case(space_name, space, space.sample(np.random.default_rng(seed)))


@every_space
@pytest.mark.parametrize("train", [True, False])
def test_the_twin_computes_what_the_network_computes(twin: Any, space: str, train: bool) -> None:
    case = small_case(space, seed=1)
    network = build_network(case.space.plan(case.genotype), CONFIG, 10)
    variables = random_values(initial_variables(network, IMAGES, 0), 1)
    images = random_images(6, *IMAGES)
    (logits, _), updated = jax.jit(
        lambda v, x: network.apply(v, x, train=train, mutable=["batch_stats"])
    )(variables, images)
    model = twin.Network(case.space.plan(case.genotype), CONFIG, IMAGES, 10).train(train)
    twin.load_variables(model, variables)
    assert twin.count_params(model) == count_params(variables)
    own = model(as_torch(images)).detach().numpy()
    np.testing.assert_allclose(own, logits, rtol=1e-4, atol=1e-4)
    statistics: Any = traverse_util.flatten_dict(updated["batch_stats"])
    state = model.state_dict()
    for path, value in statistics.items():
        if path[-1] == "mean":
            name = ".".join((*path[:-1], "running_mean"))
            np.testing.assert_allclose(state[name].numpy(), value, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("space", "genotype"),
    [
        ("nasbench201", TopologyCell(("none", "none", "none", "none", "none", "none"))),
        ("nao11", NAONET),
        ("nao5", NAONET_B),
    ],
    ids=["no edges", "NAONet", "NAONet-B"],
)
def test_published_cells_and_none_equal_their_twins_on_odd_images(
    twin: Any, space: str, genotype: Any
) -> None:
    shape = (7, 9, 1)
    network = build_network(SPACES[space].plan(genotype), CONFIG, 5)
    variables = random_values(initial_variables(network, shape, 0), 1)
    images = random_images(4, *shape)
    logits, _ = jax.jit(network.apply)(variables, images)
    model = twin.Network(SPACES[space].plan(genotype), CONFIG, shape, 5).eval()
    twin.load_variables(model, variables)
    own = model(as_torch(images)).detach().numpy()
    np.testing.assert_allclose(own, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("op", "stride", "shape"),
    list(itertools.product(op_names(), (1, 2), ((8, 8, 4), (7, 6, 6), (5, 5, 4)))),
)
def test_every_operation_equals_its_twin(
    twin: Any, op: str, stride: int, shape: tuple[int, int, int]
) -> None:
    height, width, channels = shape
    module = build_op(op, OpContext(train=True), 4, stride, "op")
    images = random_images(3, height, width, channels)
    shapes = jax.eval_shape(module.init, jax.random.key(0), images)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    variables = random_values({"params": {}, "batch_stats": {}, **zeros}, 1)

    own_op = twin.build_op(op, CONFIG, twin.Shape(channels, height, width), 4, stride).train()
    twin.load_variables(own_op, variables)
    x = as_torch(images).requires_grad_()
    own = own_op(x)
    assert own_op.shape == tuple(own.shape[1:])
    weights = np.random.default_rng(2).normal(size=as_jax(own.detach()).shape).astype(np.float32)
    own.backward(as_torch(weights))

    @jax.jit
    def value_and_pull(variables: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        apply = partial(module.apply, variables, mutable=["batch_stats"])
        value, pull = jax.vjp(lambda x: apply(x)[0], x)
        return value, pull(jnp.asarray(weights))[0]

    expected, pulled = value_and_pull(variables, images)
    np.testing.assert_allclose(as_jax(own.detach()), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(as_jax(x.grad), pulled, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("op", ["absent", "none"])
def test_an_operation_without_a_twin_is_named(twin: Any, op: str) -> None:
    with pytest.raises(GenotypeError, match=f"'{op}' has no PyTorch twin"):
        twin.build_op(op, CONFIG, twin.Shape(4, 8, 8), 4, 1)


@pytest.mark.parametrize(
    "space",
    [
        pytest.param(name, marks=[] if name == "nasbench201" else pytest.mark.slow)
        for name in SPACES_OF_CELLS
    ],
)
def test_three_steps_have_equal_losses(twin: Any, space: str) -> None:
    case = small_case(space, seed=2)
    jax_steps, variables = start(case, SETUP)
    losses = {"jax": first_losses(jax_steps)[0]}
    for layout in LAYOUTS:
        steps = TorchSteps(case, SETUP, variables, layout)
        check_num_params(case.name, jax_steps, layout, steps)
        losses[layout] = first_losses(steps)[0]
    assert check_losses(case.name, losses) <= 1e-3
    assert len({round(loss, 4) for loss in losses["jax"]}) == NUM_CHECKED_STEPS


def test_a_changed_weight_is_found(twin: Any) -> None:
    case = small_case("nasbench201")
    jax_steps, variables = start(case, SETUP)
    variables = jax.tree.map(np.copy, variables)  # JAX may share the memory of the given arrays
    variables["params"]["stem"]["Conv_0"]["kernel"][1, 1, 0] += 0.5
    losses = {
        "jax": first_losses(jax_steps)[0],
        "torch": first_losses(TorchSteps(case, SETUP, variables, "contiguous"))[0],
    }
    with pytest.raises(TwinError, match=r"nasbench201: the loss of step 1 is \d.* in torch"):
        check_losses(case.name, losses)


@pytest.mark.parametrize(
    ("changes", "step"), [({"learning_rate": 0.15}, 2), ({"momentum": 0.8}, 3)]
)
def test_another_rate_or_momentum_is_found(twin: Any, changes: Any, step: int) -> None:
    case = small_case("nasbench201", seed=2)
    jax_steps, variables = start(case, SETUP)
    other = TorchSteps(case, dataclasses.replace(SETUP, **changes), variables, "contiguous")
    losses = {"jax": first_losses(jax_steps)[0], "torch": first_losses(other)[0]}
    with pytest.raises(TwinError, match=rf"the loss of step [{step}3]"):
        check_losses(case.name, losses)


def test_another_number_of_parameters_is_found(twin: Any) -> None:
    case = small_case("nasbench201")
    jax_steps, _ = start(case, SETUP)
    wider = dataclasses.replace(SETUP, network=dataclasses.replace(CONFIG, filters=6))
    _, variables = start(case, wider)
    with pytest.raises(TwinError, match=r"nasbench201: [\d,]+ parameters in JAX and [\d,]+ in it"):
        check_num_params(case.name, jax_steps, "it", TorchSteps(case, wider, variables, LAYOUTS[0]))


@pytest.mark.parametrize("losses", [[1.0, 1.0, float("nan")], [1.0, 1.0, 1.0011]])
def test_unequal_or_undefined_losses_are_an_error(losses: list[float]) -> None:
    with pytest.raises(TwinError, match="step 3"):
        check_losses("net", {"jax": [1.0, 1.0, 1.0], "other": losses})
    with pytest.raises(TwinError, match="step 3"):
        check_losses("net", {"jax": losses, "other": [1.0, 1.0, 1.0]})


def test_variables_of_another_network_are_refused(twin: Any) -> None:
    case = small_case("nasbench201")
    _, variables = start(case, SETUP)
    other = twin.Network(SPACES["nao11"].plan(NAONET), CONFIG, IMAGES, 10)
    with pytest.raises(RecipeError, match=r"in PyTorch and .* in Flax"):
        twin.load_variables(other, variables)


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout_keep": 0.5},
        {"drop_path_keep": 0.5},
        {"auxiliary_weight": 0.4},
        {"dtype": "bfloat16"},
    ],
)
def test_what_the_twin_lacks_is_refused(twin: Any, changes: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIG, **changes)
    with pytest.raises(RecipeError, match="has no drop path"):
        twin.Network(SPACES["nao11"].plan(NAONET), config, IMAGES, 10)


def test_seven_networks_of_three_spaces_are_known() -> None:
    cases = all_cases()
    assert (
        len({case.name for case in cases})
        == len({case.space.key(case.genotype) for case in cases})
        == 7
    )
    assert {case.space.name for case in cases} == {"nasbench201", "nao5", "nao11"}
    assert choose_cases([]) == cases
    assert [case.name for case in choose_cases(["nao5_random1", "naonet"])] == [
        "nao5_random1",
        "naonet",
    ]
    with pytest.raises(FlagError, match=r"--networks: 'vgg' is unknown\. Known: naonet"):
        choose_cases(["vgg"])


def run_script(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.bench.train_step", *arguments]
    paths = [path, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )


@pytest.mark.slow
def test_the_script_writes_what_it_measured(twin: Any, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "step.json"
    small = ("--batch=8", "--image_size=8", "--filters=4", "--num_stages=2", "--threads=1")
    done = run_script(*small, "--networks=nasbench201_best", "--rounds=5", f"--output={file}")
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    (row,) = result["networks"]
    assert row["name"] == "nasbench201_best"
    assert row["torch_compile_ms"] is None
    assert row["torch_eager_ms"] == min(row[f"torch_{layout}_ms"] for layout in LAYOUTS)
    assert row["ratio"] == pytest.approx(row["torch_eager_ms"] / row["jax_ms"])
    assert result["geometric_mean_ratio"] == pytest.approx(row["ratio"])
    assert (result["threads"], result["batch"], result["rounds"]) == (1, 8, 5)
    assert {"python", "jax", "flax", "torch", "device"} <= result["versions"].keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--networks=vgg",), "train_step: --networks: 'vgg' is unknown"),
        (("--threads=100000",), "train_step: --threads=100000: this process may use"),
        (("--output=/dev/null/x.json",), "train_step: --output=/dev/null/x.json: "),
        (("more",), "train_step: train_step takes flags only"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: tuple[str, ...], message: str) -> None:
    done = run_script(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_absent_torch_is_one_line_that_names_the_extra(tmp_path: pathlib.Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('none here')")
    done = run_script(path=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("train_step: This comparison needs torch; run `make setup EXTRAS")
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_torch_is_imported_only_to_run() -> None:
    code = "import sys, experiments.bench.train_step; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
