"""An executor without workers: evaluations run here, one after the other."""

import collections
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from xfernas_jax.evaluate.base import Answer, Answering, Evaluator, Part, Scored, Stop
from xfernas_jax.evaluate.broken import evaluate_safely
from xfernas_jax.executors.base import Watcher
from xfernas_jax.history.record import Job
from xfernas_jax.space.base import Genotype


class InProcessExecutor:
    """Runs evaluations in this process in the order of their submission; see `Executor`."""

    num_workers = 1

    def __init__(
        self, evaluator: Evaluator, prepare: Callable[[Genotype], None] | None = None
    ) -> None:
        """Takes what scores.

        Args:
          evaluator: that scores architectures.
          prepare: compiles the programs of a genotype. It is called in a thread, for the next
            evaluation while one trains; what it raises, that evaluation will raise again. Without
            it nothing is compiled ahead.
        """
        self._evaluator, self._prepare = evaluator, prepare
        self.space = evaluator.space
        self._waiting: collections.deque[tuple[Job, Stop | None]] = collections.deque()
        self._thread = ThreadPoolExecutor(1, "compile_ahead")

    def submit(self, job: Job, stop: Stop | None = None) -> None:
        """Takes an evaluation; `next_finished` runs it."""
        self._waiting.append((job, stop))

    def next_finished(self, watcher: Watcher) -> tuple[Job, Scored]:
        """Runs the evaluation that was submitted first of those that wait."""
        if not self._waiting:
            raise ValueError("next_finished waits for an evaluation, but none was submitted.")
        job, stop = self._waiting.popleft()
        watcher.started(job)
        if self._prepare is not None and self._waiting:
            self._thread.submit(self._prepare, self._waiting[0][0].genotype)
        return job, evaluate_safely(self._evaluator, job, partial(watcher.epoch, job), stop)

    def test(self, genotype: Genotype, variables: Any) -> float | None:
        return self._evaluator.test(genotype, variables)

    def answer(self, genotype: Genotype, variables: Any, part: Part) -> Answer | None:
        """Returns what a network says of a part's images; see `Answering.answer`."""
        evaluator = self._evaluator
        if not isinstance(evaluator, Answering):
            return None
        return evaluator.answer(genotype, variables, part)

    def close(self) -> None:
        """Waits for the compilation in progress."""
        self._thread.shutdown(cancel_futures=True)
