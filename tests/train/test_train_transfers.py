"""What crosses between host and devices in an epoch, and that nothing does unasked."""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.space import get_space
from xfernas_jax.space.nasbench201 import TopologyCell
from xfernas_jax.train.scores import METRICS

CELL = TopologyCell(("nor_conv_1x1", "none", "none", "avg_pool_3x3", "identity", "none"))
NUM_EPOCHS = 3


def benchmark(num_devices: int, metric: str) -> TrainedEvaluator:
    changes = [f"train.epochs={NUM_EPOCHS}", "data.train_examples=128", "network.filters=4"]
    changes += ["network.num_cells=1"]
    changes += ["train.eval_batch_size=128", "data.augment=crop_flip", "data.cutout=2"]
    recipe = get_recipe("cpu", changes)
    dataset = load_dataset("digits", recipe.data)
    devices = jax.devices()[:num_devices]
    return TrainedEvaluator(
        get_space("nasbench201"), dataset, recipe, devices, "own", metric=METRICS[metric]
    )


@pytest.mark.parametrize(("num_devices", "metric"), [(1, "accuracy"), (4, "macro_f1")])
def test_an_epoch_puts_its_table_and_gets_a_loss_and_the_sums_of_the_metric(
    monkeypatch: pytest.MonkeyPatch, num_devices: int, metric: str
) -> None:
    made: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        transfer = getattr(jax, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            made.append(name)
            return transfer(*args, **kwargs)

        return call

    for name in ("device_put", "device_get"):
        monkeypatch.setattr(jax, name, counted(name))
    by_epoch: list[list[str]] = []
    bench = benchmark(num_devices, metric)
    # Explicit transfers pass the guard; an array of NumPy or a Python number in a call does not.
    with contextlib.ExitStack() as guard:

        def on_epoch(epoch: int, value: float) -> None:
            del value
            by_epoch.append(made.copy())
            made.clear()
            if epoch == 1:  # constants have crossed with the compilation
                guard.enter_context(jax.transfer_guard("disallow"))

        bench.train(CELL, seed=1, on_epoch=on_epoch)
    assert len(by_epoch) == NUM_EPOCHS
    for transfers in by_epoch[1:]:  # the first one's list has the start of the training too
        assert transfers == ["device_put", "device_get", "device_get"]


def test_this_guard_finds_a_transfer() -> None:
    double = jax.jit(lambda x: 2 * x)
    double(np.ones(3))
    with jax.transfer_guard("disallow"), pytest.raises(RuntimeError, match="Disallowed"):
        double(np.ones(3))
