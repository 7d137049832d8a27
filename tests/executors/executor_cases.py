"""A small evaluation that workers build by name, and what the tests share."""

import dataclasses
from typing import Any

from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.executors.devices import DeviceGroup, Devices, device_groups
from xfernas_jax.executors.setup import EvaluationSetup
from xfernas_jax.history.record import Evaluation
from xfernas_jax.space import get_space
from xfernas_jax.space.nasbench201 import TopologyCell

SPACE = get_space("nasbench201")
QUICK = [
    "train.epochs=2",
    "data.train_examples=128",
    "network.filters=4",
    "network.num_cells=1",
]
CELLS = tuple(  # of one operation each: little to compile
    TopologyCell(("none", "none", "none", op, "none", "none"))
    for op in ("nor_conv_1x1", "avg_pool_3x3", "identity")
)


class Record:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.started_numbers: list[int] = []
        self.epochs: list[tuple[int, int]] = []
        self.evaluations: list[Evaluation] = []

    def started(self, job: Any) -> None:
        self.started_numbers.append(job.number)

    def epoch(self, job: Any, epoch: int, valid_accuracy: float) -> None:
        self.epochs.append((job.number, epoch))

    def finished(self, job: Any, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)


def quick_setup(*changes: str, dataset: str = "digits") -> EvaluationSetup:
    recipe = get_recipe("cpu", [*QUICK, *changes])
    return EvaluationSetup(SPACE.name, dataset, None, recipe, "own")


def cpu_groups(count: int) -> tuple[DeviceGroup, ...]:
    return device_groups(Devices("cpu", count), 1)


def timeless(evaluation: Evaluation) -> Evaluation:
    """Returns what must be equal wherever an evaluation ran."""
    return dataclasses.replace(evaluation, seconds=0.0)
