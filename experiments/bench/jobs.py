"""Evaluations that a benchmark gives an executor, and what it notes of them."""

import time
from collections.abc import Sequence

import numpy as np

from xfernas_jax.executors.base import Executor, Job
from xfernas_jax.space.registry import get_space


class EpochTimes:
    """A watcher that notes when epochs end."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def started(self, job: Job) -> None:
        """Is of no interest."""

    def epoch(self, job: Job, epoch: int, valid_accuracy: float) -> None:
        """Notes the time."""
        self.seconds.append(time.perf_counter())


def evaluate_all(executor: Executor, jobs: Sequence[Job]) -> float:
    """Returns the wall seconds from the first start to the last result."""
    begin = time.perf_counter()
    for job in jobs:
        executor.submit(job)
    for _ in jobs:
        executor.next_finished(EpochTimes())
    return time.perf_counter() - begin


def make_jobs(space: str, count: int, seed: int) -> list[Job]:
    """Draws random networks of a space, with training seed `seed`."""
    rng = np.random.default_rng(seed)
    return [Job(i, get_space(space).sample(rng), seed) for i in range(count)]
