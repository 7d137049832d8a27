"""Evaluations that a benchmark gives an executor, and what it notes of them."""

import time
from collections.abc import Sequence

import numpy as np

from xfernas_jax.executors.base import Executor
from xfernas_jax.history import Job
from xfernas_jax.search.desk import Silence
from xfernas_jax.space.registry import get_space


class EpochTimes(Silence):
    """A watcher that notes when epochs end."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def epoch(self, job: Job, epoch: int, value: float) -> None:
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
    rng, known = np.random.default_rng(seed), get_space(space)
    drawn = [known.sample(rng) for _ in range(count)]
    return [Job(i, genotype, known.key(genotype), seed) for i, genotype in enumerate(drawn)]
