"""Evaluations that train nothing and take a few milliseconds, run by many processes at once."""

import multiprocessing
import queue
import random
import time
import zlib
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from xfernas_jax.evaluate.base import Scored
from xfernas_jax.executors.base import Job, Watcher
from xfernas_jax.history.record import Evaluation
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.registry import get_space

RECIPE = "synthetic"
_NUM_EPOCHS = 8
_LONGEST_SECONDS = 0.02


def synthetic_evaluation(space: Space, job: Job) -> Evaluation:
    """Returns what an evaluation of `job` gives: always the same, drawn by network and seed."""
    draw = random.Random(zlib.crc32(f"{job.seed}/{space.key(job.genotype)}".encode()))
    curve = tuple(sorted(draw.random() for _ in range(_NUM_EPOCHS)))
    return Evaluation(
        job.genotype,
        RECIPE,
        job.seed,
        "complete",
        curve[-1],
        curve,
        draw.randrange(10**6),
        draw.random() * _LONGEST_SECONDS,
        job.purpose,
    )


def _evaluate(space: str, job: Job) -> Evaluation:
    evaluation = synthetic_evaluation(get_space(space), job)
    time.sleep(evaluation.seconds)
    return evaluation


class SyntheticExecutor:
    """An `Executor` of synthetic evaluations over processes.

    Attributes:
      finished: every job whose result was handed out.
      seconds_waited: that the driver has spent in waiting for results.
    """

    def __init__(self, space: str, num_workers: int) -> None:
        self.finished: list[Job] = []
        self.seconds_waited = 0.0
        self._space, self._num_workers = get_space(space), num_workers
        self._pool = ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"))
        self._results: queue.SimpleQueue[tuple[Job, Future[Evaluation]]] = queue.SimpleQueue()

    @property
    def space(self) -> Space:
        """The space of the genotypes."""
        return self._space

    @property
    def num_workers(self) -> int:
        """The number of processes."""
        return self._num_workers

    def submit(self, job: Job) -> None:
        """Takes an evaluation; see `Executor`."""
        future = self._pool.submit(_evaluate, self._space.name, job)
        future.add_done_callback(lambda done: self._results.put((job, done)))

    def next_finished(self, watcher: Watcher) -> tuple[Job, Scored]:
        """Waits for the next result; see `Executor`."""
        begin = time.perf_counter()
        job, future = self._results.get()
        self.seconds_waited += time.perf_counter() - begin
        self.finished.append(job)
        return job, Scored(future.result(), {})

    def test_accuracy(self, genotype: Genotype, variables: Any) -> float:
        """Returns a constant: nothing was trained."""
        return 0.5

    def close(self) -> None:
        """Ends the processes."""
        self._pool.shutdown(cancel_futures=True)
