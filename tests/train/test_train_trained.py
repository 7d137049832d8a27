import dataclasses
import math
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pytest

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.errors import DeviceError, RecipeError
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.history.record import Job, Purpose
from xfernas_jax.nn.costs import COSTS
from xfernas_jax.space import NASBENCH201_BEST, get_space
from xfernas_jax.space.nasbench201 import TopologyCell
from xfernas_jax.train.scores import METRICS

SPACE = get_space("nasbench201")
LIGHT = TopologyCell(("nor_conv_1x1", "none", "none", "avg_pool_3x3", "identity", "none"))


def job(genotype: Any = LIGHT, seed: int = 0, purpose: Purpose = "search") -> Job:
    return Job(0, genotype, SPACE.key(genotype), seed, purpose)


def benchmark(changes: list[str], num_devices: int = 1, **options: Any) -> TrainedEvaluator:
    common = ["train.epochs=2", "data.train_examples=130", "train.batch_size=32"]
    recipe = get_recipe("cpu", [*common, "network.filters=4", *changes])
    dataset = load_dataset("digits", recipe.data)
    return TrainedEvaluator(SPACE, dataset, recipe, jax.devices()[:num_devices], **options)


@pytest.mark.slow
def test_training_learns_and_is_bit_identical_for_the_same_seed() -> None:
    bench = benchmark(["train.epochs=6", "data.train_examples=1000"])
    first = bench.train(NASBENCH201_BEST, seed=3)
    again = bench.train(NASBENCH201_BEST, seed=3)
    assert first.curve == again.curve
    jax.tree.map(np.testing.assert_array_equal, first.variables, again.variables)
    assert first.curve[-1] > 0.6  # chance is 0.1
    assert bench.evaluate(job(NASBENCH201_BEST, 4)).result.curve != first.curve


@pytest.mark.slow
def test_four_devices_give_the_result_of_one_with_every_random_part_on() -> None:
    changes = [
        "data.augment=crop_flip",
        "data.crop_padding=1",
        "data.cutout=2",
        "data.cutout_probability=0.5",
        "data.test_flips=true",
        "network.drop_path_keep=0.7",
        "network.dropout_keep=0.8",
        "train.learning_rate=0.01",
        "train.schedule=one_cycle",
        "train.warmup=0.3",
        "train.nesterov=true",
        "train.decay_all=false",
        "train.average_decay=0.9",
        "train.mixup=0.3",
        "train.label_smoothing=0.1",
        "train.class_weights=balanced",
    ]
    one = benchmark(changes, 1).train(LIGHT, seed=0)
    four = benchmark(changes, 4).train(LIGHT, seed=0)
    np.testing.assert_allclose(one.losses, four.losses, rtol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3),
        one.variables,
        four.variables,
    )


@pytest.mark.slow
def test_scanned_cells_train_to_the_same_variables_under_their_own_names() -> None:
    unrolled, scanned = (
        benchmark(changes, programs="own") for changes in ([], ["network.scan_cells=true"])
    )
    assert scanned.identity(LIGHT, 0) != unrolled.identity(LIGHT, 0)
    first, other = unrolled.train(LIGHT, seed=0), scanned.train(LIGHT, seed=0)
    np.testing.assert_allclose(first.losses, other.losses, rtol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3),
        first.variables,
        other.variables,
    )


@pytest.mark.slow
def test_bfloat16_trains_float32_parameters_to_nearly_the_same_losses() -> None:
    wide = benchmark([]).train(LIGHT, seed=0)
    narrow = benchmark(["network.dtype=bfloat16"]).train(LIGHT, seed=0)
    assert {leaf.dtype for leaf in jax.tree.leaves(narrow.variables)} == {np.dtype(np.float32)}
    assert narrow.losses != wide.losses
    np.testing.assert_allclose(narrow.losses, wide.losses, rtol=0.02)


def test_divergence_is_a_failed_evaluation_that_names_the_epoch() -> None:
    bench = benchmark(["train.learning_rate=1e30", "train.clip_norm=0"])
    result = bench.evaluate(job()).result
    assert result.status == "failed"
    assert result.value is None
    assert "The loss is not finite in epoch 1" in result.failure


def test_a_metric_that_is_not_finite_fails_the_evaluation_under_its_name() -> None:
    broken = dataclasses.replace(
        METRICS["log_loss"], name="ratio", label="ratio", finish=lambda sums, count: math.nan
    )
    result = benchmark([], metric=broken).evaluate(job()).result
    assert result.status == "failed"
    assert result.failure == "The ratio is not finite in epoch 1."


def test_a_batch_that_devices_do_not_divide_is_refused() -> None:
    with pytest.raises(DeviceError, match="do not divide"):
        benchmark(["train.batch_size=31"], 4).train(LIGHT, seed=0)


def test_architectures_are_not_compared_on_images_that_were_trained_on() -> None:
    bench = benchmark(["data.valid_in_train=true"])
    with pytest.raises(RecipeError, match=r"valid_in_train=true leaves no validation.*run\.py tr"):
        bench.evaluate(job())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "optax:adabelief"])
def test_other_optax_optimizers_train(optimizer: str) -> None:
    changes = [f"train.optimizer={optimizer}", "train.learning_rate=0.02", "train.epochs=4"]
    result = benchmark([*changes, "data.train_examples=1000"]).train(NASBENCH201_BEST, seed=0)
    assert result.losses[-1] < 0.8 * result.losses[0]


@pytest.mark.parametrize("name", ["no_such", "join", "apply_updates"])
def test_what_is_no_optimizer_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=f"train.optimizer '{name}'"):
        benchmark([f"train.optimizer={name}"]).train(LIGHT, seed=0)


@pytest.mark.slow
def test_devices_stay_equal_without_synchronised_batch_norm() -> None:
    apart = benchmark(["train.sync_batch_norm=false"], 4).train(LIGHT, seed=0)
    together = benchmark([], 4).train(LIGHT, seed=0)
    assert np.isfinite(apart.losses).all()
    # Each device normalises by its own quarter of the batch, so the loss differs a little.
    assert apart.losses != together.losses
    np.testing.assert_allclose(apart.losses, together.losses, rtol=0.3)


def test_a_recipe_without_a_reduction_is_refused_where_genotypes_hold_one() -> None:
    recipe = get_recipe("cpu")
    dataset = load_dataset("digits", recipe.data)
    with pytest.raises(RecipeError, match="--recipe=cpu_two_cell"):
        TrainedEvaluator(get_space("nao5"), dataset, recipe)
    TrainedEvaluator(get_space("nao5"), dataset, get_recipe("cpu_two_cell"))


def test_scanned_cells_are_refused_where_networks_have_none() -> None:
    recipe = get_recipe("cpu", ["network.scan_cells=true"])
    with pytest.raises(RecipeError, match="'convnet' have no such cells"):
        TrainedEvaluator(get_space("convnet"), load_dataset("digits", recipe.data), recipe)


FIVE = ["train.epochs=5", "network.dropout_keep=0.8"]


@pytest.mark.slow
def test_a_stopped_training_is_the_beginning_of_the_unbroken_one_and_goes_on_as_it(
    tmp_path: pathlib.Path,
) -> None:
    whole = benchmark(FIVE).evaluate(job(seed=5))
    asked: list[int] = []

    def stop(curve: Sequence[float]) -> bool:
        asked.append(len(curve))
        return len(curve) == 3

    bench = benchmark(FIVE, unfinished_dir=tmp_path)
    for expected in ([1, 2, 3], [3]):  # a kill before it was recorded changes no decision
        asked.clear()
        stopped = bench.evaluate(job(seed=5), stop=stop)
        assert asked == expected
        assert stopped.result.status == "stopped"
        assert stopped.result.value is None
        assert stopped.result.curve == whole.result.curve[:3]
        assert stopped.variables is None
    asked.clear()
    epochs: list[int] = []

    def go_on(curve: Sequence[float]) -> bool:
        asked.append(len(curve))
        return False

    resumed = bench.evaluate(
        job(seed=5, purpose="resume"), lambda epoch, _: epochs.append(epoch), go_on
    )
    assert epochs == [4, 5]
    assert asked == [3, 4]  # never after the last epoch
    assert resumed.result.curve == whole.result.curve
    assert resumed.result.value == whole.result.value
    jax.tree.map(np.testing.assert_array_equal, resumed.variables, whole.variables)
    assert not list(tmp_path.iterdir())  # what is complete is kept no longer


class CutOffError(Exception):
    """Stands for the death of a process."""


@pytest.mark.slow
def test_an_evaluation_that_is_cut_off_goes_on_from_its_checkpoint(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = benchmark(FIVE).evaluate(job(seed=5))
    bench = benchmark(FIVE, unfinished_dir=tmp_path, checkpoint_seconds=0.0)
    for damaged, expected in ((False, [4, 5]), (True, [1, 2, 3, 4, 5])):
        epochs: list[int] = []

        def on_epoch(epoch: int, _: float) -> None:
            if epoch == 3:
                raise CutOffError

        with pytest.raises(CutOffError):
            bench.evaluate(job(seed=5), on_epoch=on_epoch)
        for file in tmp_path.rglob("*") if damaged else ():
            if file.is_file():
                file.write_bytes(b"damaged")
        again = bench.evaluate(job(seed=5), on_epoch=lambda epoch, _: epochs.append(epoch))  # noqa: B023
        assert epochs == expected
        assert again.result.curve == whole.result.curve
        jax.tree.map(np.testing.assert_array_equal, again.variables, whole.variables)
        assert ("begins anew" in caplog.text) is damaged
        assert not list(tmp_path.iterdir())


def test_an_evaluation_that_ends_before_its_first_checkpoint_leaves_the_disk_alone(
    tmp_path: pathlib.Path,
) -> None:
    bench = benchmark([], unfinished_dir=tmp_path / "never", checkpoint_seconds=3600.0)
    seen: list[bool] = []
    bench.evaluate(job(seed=5), on_epoch=lambda *_: seen.append((tmp_path / "never").exists()))
    assert seen == [False, False]


def test_measuring_costs_counts_among_the_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*args: Any) -> float:
        time.sleep(1.0)
        return 2.5

    bench = benchmark([], costs=("latency_ms", "flops"))
    bench.evaluate(job())  # compiles
    slow_cost = dataclasses.replace(COSTS["latency_ms"], measure=slow)
    monkeypatch.setattr(bench, "_costs", (COSTS["params"], slow_cost, COSTS["flops"]))
    result = bench.evaluate(job()).result
    assert [name for name, _ in result.costs] == ["params", "latency_ms", "flops"]
    assert dict(result.costs)["latency_ms"] == 2.5
    assert dict(result.costs)["flops"] > 0.0
    assert result.seconds >= 1.0
