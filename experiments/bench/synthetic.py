"""Evaluations that train nothing and take a few milliseconds, run by many processes at once."""

import multiprocessing
import queue
import random
import time
import zlib
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from xfernas_jax.evaluate.base import Scored, Stop
from xfernas_jax.executors.base import Watcher
from xfernas_jax.history.record import Job, Result
from xfernas_jax.space.base import Genotype
from xfernas_jax.space.registry import get_space

RECIPE = "synthetic"
_NUM_EPOCHS = 8
_LONGEST_SECONDS = 0.02


def synthetic_result(job: Job) -> Result:
    """Returns what an evaluation of `job` gives: always the same, drawn by network and seed."""
    draw = random.Random(zlib.crc32(f"{job.seed}/{job.key}".encode()))
    curve = tuple(sorted(draw.random() for _ in range(_NUM_EPOCHS)))
    costs = (("params", float(draw.randrange(10**6))),)
    return Result("complete", curve[-1], curve, costs, draw.random() * _LONGEST_SECONDS)


def _evaluate(job: Job) -> Result:
    result = synthetic_result(job)
    time.sleep(result.seconds)
    return result


class SyntheticExecutor:
    """An `Executor` of synthetic evaluations over processes.

    Attributes:
      finished: every job whose result was handed out.
      seconds_waited: that the driver has spent in waiting for results.
    """

    def __init__(self, space: str, num_workers: int) -> None:
        self.finished: list[Job] = []
        self.seconds_waited = 0.0
        self.space, self.num_workers = get_space(space), num_workers
        self._pool = ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"))
        self._results: queue.SimpleQueue[tuple[Job, Future[Result]]] = queue.SimpleQueue()

    def submit(self, job: Job, stop: Stop | None = None) -> None:
        """Takes an evaluation; see `Executor`."""
        future = self._pool.submit(_evaluate, job)
        future.add_done_callback(lambda done: self._results.put((job, done)))

    def next_finished(self, watcher: Watcher) -> tuple[Job, Scored]:
        """Waits for the next result; see `Executor`."""
        begin = time.perf_counter()
        job, future = self._results.get()
        self.seconds_waited += time.perf_counter() - begin
        self.finished.append(job)
        return job, Scored(future.result(), {})

    def test(self, genotype: Genotype, variables: Any) -> float:
        """Returns a constant: nothing was trained."""
        return 0.5

    def close(self) -> None:
        """Ends the processes."""
        self._pool.shutdown(cancel_futures=True)
