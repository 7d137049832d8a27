"""A small evaluation that workers build by name, and what the tests share."""

import dataclasses
from typing import Any

from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.evaluate.spec import TrainedSpec
from xfernas_jax.executors.devices import DeviceGroup, Devices, device_groups
from xfernas_jax.history.record import Job, Result
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

    def started(self, job: Any) -> None:
        self.started_numbers.append(job.number)

    def epoch(self, job: Any, epoch: int, value: float) -> None:
        self.epochs.append((job.number, epoch))


OWN = Runtime(programs="own")


def quick_spec(*changes: str, dataset: str = "digits") -> TrainedSpec:
    return TrainedSpec(SPACE.name, dataset, None, get_recipe("cpu", [*QUICK, *changes]))


def job(number: int, cell: Any, seed: int) -> Job:
    return Job(number, cell, SPACE.key(cell), seed)


def cpu_groups(count: int) -> tuple[DeviceGroup, ...]:
    return device_groups(Devices("cpu", count), 1)


def timeless(result: Result) -> Result:
    """Returns what must be equal wherever an evaluation ran."""
    return dataclasses.replace(result, seconds=0.0)
