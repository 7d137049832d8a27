"""An executor without workers: evaluations run here, one after the other."""

import collections
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from xfernas_jax.evaluate.base import Evaluator, Scored
from xfernas_jax.executors.base import Job, Watcher
from xfernas_jax.space.base import Genotype, Space


class InProcessExecutor:
    """Runs evaluations in this process in the order of their submission; see `Executor`."""

    def __init__(
        self, benchmark: Evaluator, prepare: Callable[[Genotype], None] | None = None
    ) -> None:
        """Takes what scores.

        Args:
          benchmark: that scores architectures.
          prepare: compiles the programs of a genotype. It is called in a thread, for the next
            evaluation while one trains; what it raises, that evaluation will raise again. Without
            it nothing is compiled ahead.
        """
        self._benchmark, self._prepare = benchmark, prepare
        self._waiting: collections.deque[Job] = collections.deque()
        self._thread = ThreadPoolExecutor(1, "compile_ahead")

    @property
    def space(self) -> Space:
        """The space of the genotypes."""
        return self._benchmark.space

    @property
    def num_workers(self) -> int:
        """One: this process."""
        return 1

    def submit(self, job: Job) -> None:
        """Takes an evaluation; `next_finished` runs it."""
        self._waiting.append(job)

    def next_finished(self, watcher: Watcher) -> tuple[Job, Scored]:
        """Runs the evaluation that was submitted first of those that wait."""
        if not self._waiting:
            raise ValueError("next_finished waits for an evaluation, but none was submitted.")
        job = self._waiting.popleft()
        watcher.started(job)
        if self._prepare is not None and self._waiting:
            self._thread.submit(self._prepare, self._waiting[0].genotype)
        on_epoch = partial(watcher.epoch, job)
        scored = self._benchmark.evaluate(job.genotype, job.seed, job.purpose, on_epoch, job.stop)
        return job, scored

    def test_accuracy(self, genotype: Genotype, variables: Any) -> float | None:
        """Returns the accuracy on the test part, a fraction; None where there is none."""
        return self._benchmark.test_accuracy(genotype, variables)

    def close(self) -> None:
        """Waits for the compilation in progress."""
        self._thread.shutdown(cancel_futures=True)
