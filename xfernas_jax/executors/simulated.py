"""An executor whose workers are imagined: their clock is driven by the seconds of results."""

import collections
import dataclasses
import heapq
from collections.abc import Sequence
from functools import partial
from typing import Any

from xfernas_jax.evaluate.base import Evaluator, Scored, Stop
from xfernas_jax.evaluate.broken import evaluate_safely
from xfernas_jax.executors.base import Watcher
from xfernas_jax.history.record import Job
from xfernas_jax.space.base import Genotype


@dataclasses.dataclass(frozen=True, order=True)
class _Running:
    """A job in a worker; the one that finishes first is the least, then the one submitted first."""

    finish: float
    order: int
    worker: int = dataclasses.field(compare=False)
    job: Job = dataclasses.field(compare=False)
    scored: Scored = dataclasses.field(compare=False)


class SimulatedExecutor:
    """Runs jobs side by side on a virtual clock; see `Executor`.

    A job takes its result's seconds, such as those of a table, divided by its worker's speed. It
    goes to the first worker that is free, and of several to the one with the least number. What
    comes out depends on the jobs alone, and nothing waits.

    Attributes:
      clock: seconds since the start, at which the latest job finished.
    """

    def __init__(self, evaluator: Evaluator, speeds: Sequence[float]) -> None:
        """Takes what scores, and the speed of each worker: 2 halves the seconds."""
        if not speeds or min(speeds) <= 0.0:
            raise ValueError(f"Every worker has a speed above 0. Got {tuple(speeds)}.")
        self._evaluator, self._speeds = evaluator, tuple(speeds)
        self.space, self.num_workers = evaluator.space, len(self._speeds)
        self._free = list(range(self.num_workers))
        self._waiting: collections.deque[tuple[int, Job, Stop | None]] = collections.deque()
        self._running: list[_Running] = []
        self._num_submitted = 0
        self.clock = 0.0

    def submit(self, job: Job, stop: Stop | None = None) -> None:
        """Takes a job; it starts at the clock's time where a worker is free."""
        self._waiting.append((self._num_submitted, job, stop))
        self._num_submitted += 1

    def next_finished(self, watcher: Watcher) -> tuple[Job, Scored]:
        """Moves the clock to the job that finishes first; at a tie that was submitted first."""
        while self._waiting and self._free:
            order, job, stop = self._waiting.popleft()
            worker = heapq.heappop(self._free)
            watcher.started(job)
            scored = evaluate_safely(self._evaluator, job, partial(watcher.epoch, job), stop)
            finish = self.clock + scored.result.seconds / self._speeds[worker]
            heapq.heappush(self._running, _Running(finish, order, worker, job, scored))
        if not self._running:
            raise ValueError("next_finished waits for an evaluation, but none was submitted.")
        first = heapq.heappop(self._running)
        self.clock = first.finish
        heapq.heappush(self._free, first.worker)
        return first.job, first.scored

    def test(self, genotype: Genotype, variables: Any) -> float | None:
        return self._evaluator.test(genotype, variables)

    def close(self) -> None:
        """Does nothing: no worker exists."""
