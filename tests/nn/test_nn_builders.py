import contextlib
import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.errors import ExportError, SpaceError
from xfernas_jax.evaluate.recipes import default_recipe, get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.export.program import export_program, flat_arrays
from xfernas_jax.history.record import Job
from xfernas_jax.nn.builders import build_network, find_builder
from xfernas_jax.nn.compile import variable_leaves
from xfernas_jax.nn.initializers import dense_init
from xfernas_jax.nn.network import Network, NetworkConfig
from xfernas_jax.nn.programs import OwnProgram, Programs
from xfernas_jax.space import NASBENCH201_BEST, Assignment, CategoricalSpace, get_space
from xfernas_jax.train.checkpoint import TrainingCheckpoints, VariablesStore
from xfernas_jax.train.loop import Stop, TrainResult


@dataclasses.dataclass(frozen=True)
class MixerPlan:
    builder: ClassVar[str] = f"{__name__}:Mixer"
    width: int
    num_blocks: int


class MixerSpace(CategoricalSpace):
    def plan(self, genotype: Assignment) -> MixerPlan:
        named: dict[str, Any] = self.named(genotype)
        return MixerPlan(**named)


class Mlp(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        hidden = nn.Dense(2 * x.shape[-1], kernel_init=dense_init)(nn.LayerNorm()(x))
        return nn.Dense(x.shape[-1], kernel_init=dense_init)(nn.gelu(hidden))


class Mixer(nn.Module):
    plan: MixerPlan
    config: NetworkConfig
    num_classes: int
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        positions: jax.Array | None = None,
        progress: jax.Array | float = 1.0,
        train: bool = False,
    ) -> tuple[jax.Array, None]:
        patches = nn.Conv(self.plan.width, (4, 4), (4, 4), kernel_init=dense_init, name="patches")
        x = patches(images)
        x = x.reshape(x.shape[0], -1, self.plan.width)
        for _ in range(self.plan.num_blocks):
            x = x + Mlp()(x.swapaxes(1, 2)).swapaxes(1, 2)
            x = x + Mlp()(x)
        features, init = x.mean(axis=1), nn.initializers.zeros
        return nn.Dense(self.num_classes, kernel_init=init, name="classifier")(features), None


SPACE = MixerSpace("test_mixer", {"width": (8, 16), "num_blocks": (1, 2)})
MIXER = SPACE.genotype({"width": 8, "num_blocks": 1})
# Images of 8x8 have 4 patches. Patches 16*8+8; along patches a norm (2*4), 4 -> 8 -> 4 (40+36);
# along channels a norm (2*8), 8 -> 16 -> 8 (144+136); classifier 8*10+10.
NUM_PARAMS = 136 + 8 + 76 + 16 + 280 + 90


@pytest.fixture(scope="module")
def evaluator() -> TrainedEvaluator:
    changes = ["epochs=4", "batch_size=32", "learning_rate=0.1"]
    recipe = get_recipe("cpu", ["data.train_examples=600", *(f"train.{x}" for x in changes)])
    dataset = load_dataset("digits", recipe.data)
    costs = ("flops", "latency_ms")
    return TrainedEvaluator(SPACE, dataset, recipe, jax.devices()[:1], costs=costs)


@pytest.fixture(scope="module")
def result(evaluator: TrainedEvaluator) -> TrainResult:
    return evaluator.train(MIXER, seed=0)


def test_the_networks_of_a_users_builder_are_evaluated_and_their_costs_counted(
    evaluator: TrainedEvaluator,
) -> None:
    found = evaluator.evaluate(Job(0, MIXER, SPACE.key(MIXER), seed=0)).result
    assert found.status == "complete"
    costs = dict(found.costs)
    assert costs["params"] == NUM_PARAMS
    # Two for each multiply-add: patches 4*16*8, along patches 8*(4*8)*2, along channels
    # 4*(8*16)*2, classifier 80: 2 * (512 + 512 + 1024 + 80) = 4256; norms and gelu add to that.
    assert 4256 < costs["flops"] < 2 * 4256
    assert costs["latency_ms"] > 0.0


def test_a_network_without_batch_norm_learns_and_repeats_its_bits(
    evaluator: TrainedEvaluator, result: TrainResult
) -> None:
    assert result.curve[-1] > 0.4  # chance is 0.1
    assert result.variables["batch_stats"] == {}
    again = evaluator.train(MIXER, seed=0)
    jax.tree.map(np.testing.assert_array_equal, result.variables, again.variables)


def test_training_a_users_network_goes_on_from_a_checkpoint_to_the_same_bits(
    evaluator: TrainedEvaluator, result: TrainResult, tmp_path: pathlib.Path
) -> None:
    def train(stop: Stop | None) -> TrainResult:
        with contextlib.closing(TrainingCheckpoints(tmp_path, {"training": 1})) as checkpoints:
            return evaluator.train(MIXER, 0, checkpointer=checkpoints, stop=stop)

    assert len(train(lambda curve: len(curve) == 2).curve) == 2
    resumed = train(None)
    assert resumed.curve == result.curve
    jax.tree.map(np.testing.assert_array_equal, resumed.variables, result.variables)


def test_stored_variables_without_batch_statistics_give_the_same_test_score(
    evaluator: TrainedEvaluator, result: TrainResult, tmp_path: pathlib.Path
) -> None:
    store = VariablesStore(tmp_path)
    store.save("mixer", result.variables)
    loaded = store.load("mixer")
    assert jax.tree.structure(loaded) == jax.tree.structure(result.variables)
    score = evaluator.test(MIXER, result.variables)
    assert score is not None
    assert evaluator.test(MIXER, loaded) == score


def test_an_exported_users_network_gives_its_logits(
    evaluator: TrainedEvaluator, result: TrainResult
) -> None:
    infer, arrays = evaluator.inference(MIXER), flat_arrays(result.variables)
    program = export_program(infer, arrays, (8, 8, 1))
    images = jnp.arange(3 * 64, dtype=jnp.uint8).reshape(3, 8, 8, 1)
    found = jax.export.deserialize(bytearray(program)).call(arrays, images)
    np.testing.assert_allclose(
        found, jax.jit(infer)(result.variables, images), rtol=1e-5, atol=1e-6
    )


def test_a_module_for_one_batch_size_cannot_be_exported_and_the_error_says_why() -> None:
    with pytest.raises(ExportError, match=r"images\.shape\[0\], not from len"):
        export_program(lambda _, images: images.reshape(len(images), -1), {}, (8, 8, 1))


def test_a_users_plan_has_its_own_program_whatever_the_options() -> None:
    config = NetworkConfig(scan_cells=True, remat=True)
    plan = SPACE.plan(MIXER)
    program = Programs(config, 10, (8, 8, 1), share=True).of(plan)
    assert isinstance(program, OwnProgram)
    assert program.key == plan
    assert program.num_params == NUM_PARAMS


def test_a_space_without_reduction_cell_takes_the_recipe_of_one_stage() -> None:
    assert default_recipe(SPACE) == "cpu"


def test_our_own_plans_name_their_builder_like_any_other() -> None:
    space = get_space("nasbench201")
    assert find_builder(space.plan(NASBENCH201_BEST)) is Network
    network = build_network(space.plan(NASBENCH201_BEST), NetworkConfig(), 10, "devices")
    assert network == Network(space.plan(NASBENCH201_BEST), NetworkConfig(), 10, "devices")


def wrong_output(*_: Any) -> nn.Module:
    class Logits(nn.Module):
        @nn.compact
        def __call__(self, images: jax.Array, *_: Any, **__: Any) -> Any:
            return nn.Dense(10)(images.mean(axis=(1, 2)))

    return Logits()


def other_collection(*_: Any) -> nn.Module:
    class Counting(nn.Module):
        @nn.compact
        def __call__(self, images: jax.Array, *_: Any, **__: Any) -> Any:
            self.variable("counts", "seen", lambda: np.zeros(()))
            return images.mean(axis=(1, 2)), None

    return Counting()


@dataclasses.dataclass
class ChangeablePlan:
    builder: ClassVar[str] = f"{__name__}:Mixer"


NO_MODULE: Callable[..., Any] = lambda *_: "text"  # noqa: E731
NO_FUNCTION = 3


def plan_of(builder: Any) -> Any:
    return dataclasses.make_dataclass("Plan", [], frozen=True, namespace={"builder": builder})()


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (dataclasses.make_dataclass("Plan", [], frozen=True)(), "its class must name its builder"),
        (plan_of(len), "its class must name its builder"),
        (plan_of("Mixer"), "network builder of your own is module:NAME"),
        (plan_of("no_such_module:Mixer"), "cannot be imported"),
        (plan_of(f"{__name__}:absent"), "no function or class"),
        (plan_of(f"{__name__}:NO_FUNCTION"), "no function or class"),
        (plan_of(f"{__name__}:NO_MODULE"), "must return a flax.linen.Module. Got 'text'"),
        (ChangeablePlan(), r"dataclass\(frozen=True\)"),
    ],
)
def test_a_plan_that_cannot_be_built_is_refused_with_the_way_out(plan: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message) as refused:
        build_network(plan, NetworkConfig(), 10)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        ("wrong_output", r"Logits must return \(logits \[B, num_classes\]"),
        ("other_collection", "Counting has variables in counts; only params and batch_stats"),
    ],
)
def test_a_module_that_breaks_the_contract_is_refused(builder: str, message: str) -> None:
    network = build_network(plan_of(f"{__name__}:{builder}"), NetworkConfig(), 10)
    with pytest.raises(SpaceError, match=message):
        variable_leaves(network, (8, 8, 1))


def test_an_evaluator_refuses_a_space_without_builder_before_it_trains() -> None:
    class Unbuilt(CategoricalSpace):
        def plan(self, genotype: Assignment) -> Any:
            return ("a plan",)

    recipe = get_recipe("cpu", ["data.train_examples=130"])
    space = Unbuilt("unbuilt", {"width": (1, 2)})
    with pytest.raises(SpaceError, match="No network can be built from a tuple"):
        TrainedEvaluator(space, load_dataset("digits", recipe.data), recipe)
