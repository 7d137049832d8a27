"""Hands evaluations to workers that train side by side, and bears the loss of workers."""

import collections
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from xfernas_jax.errors import WorkerError
from xfernas_jax.evaluate.base import Answer, Part, Scored, Stop
from xfernas_jax.evaluate.broken import broken
from xfernas_jax.executors.base import Watcher
from xfernas_jax.history.record import Job
from xfernas_jax.space.base import Genotype, Space

_MAX_RETRIES = 2


class WorkerLost(Exception):
    """A worker is gone; `Worker.end` says how."""


@runtime_checkable
class Worker(Protocol):
    """A warm process somewhere, which does one task at a time; see `serving.py` for messages."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def is_started(self) -> bool:
        """Whether it has begun to start, and has not ended since."""
        ...

    @property
    def is_ready(self) -> bool:
        """Whether it can take a task."""
        ...

    def start(self) -> None:
        """Begins to start; `WorkerLost` where that fails at once."""
        ...

    def send(self, request: tuple[Any, ...]) -> None:
        """Gives it a task; `WorkerLost` where it is known to be gone."""
        ...

    def receive(self) -> tuple[Any, ...]:
        """Returns the next message, waiting for it; `WorkerLost` where none will come."""
        ...

    def end(self) -> str:
        """Ends it, whatever it is doing, and says how it ended. It can start again."""
        ...


@dataclasses.dataclass(eq=False)
class _Task:
    """A request to a worker, what came out, and how often a worker died over it."""

    name: str
    request: tuple[Any, ...]
    job: Job | None = None
    num_deaths: int = 0
    since: float | None = None  # of the monotonic clock, when the first worker was given it
    is_done: bool = False
    answer: Any = None


class PoolExecutor:
    """Runs evaluations side by side, one in each worker; see `Executor`.

    Workers start when there is something to do and stay warm until `close`. A task whose worker
    dies is given to the next one that is free, up to two times; an evaluation over which the
    third dies is broken.
    """

    def __init__(
        self,
        space: Space,
        workers: Sequence[Worker],
        listen: Callable[[Sequence[Any]], Sequence[Any]],
    ) -> None:
        """Takes the workers, none of them started.

        Args:
          space: of the genotypes.
          workers: of one kind.
          listen: waits until some of the given workers, all of them started, have a message or
            are lost, and returns those.
        """
        self.space, self._workers, self._listen = space, tuple(workers), listen
        self.num_workers = len(self._workers)
        self._waiting: collections.deque[_Task] = collections.deque()
        self._running: dict[Worker, _Task] = {}
        self._finished: collections.deque[_Task] = collections.deque()
        self._num_lost = self._num_lost_idle = 0

    def submit(self, job: Job, stop: Stop | None = None) -> None:
        name = f"evaluation {job.number + 1} ({job.purpose})"
        self._waiting.append(_Task(name, ("evaluate", job, stop), job))
        self._assign()

    def next_finished(self, watcher: Watcher) -> tuple[Job, Scored]:
        while not self._finished:
            self._wait(watcher)
        task = self._finished.popleft()
        assert task.job is not None
        return task.job, task.answer

    def test(self, genotype: Genotype, variables: Any) -> float | None:
        return self._ask("the test", ("test", genotype, variables))

    def answer(self, genotype: Genotype, variables: Any, part: Part) -> Answer | None:
        """Returns what a network says of a part's images; see `Answering.answer`."""
        name = f"what it says of the {part} part"
        return self._ask(name, ("answer", genotype, variables, part))

    def _ask(self, name: str, request: tuple[Any, ...]) -> Any:
        """Has a worker answer; evaluations that finish meanwhile are kept."""
        task = _Task(name, request)
        self._waiting.appendleft(task)
        while not task.is_done:
            self._wait(None)
        return task.answer

    def close(self) -> None:
        for worker in self._workers:
            worker.end()

    def _assign(self) -> None:
        """Starts as many workers as are missing, and gives waiting tasks to idle ones."""
        coming = sum(w.is_started and w not in self._running for w in self._workers)
        asleep = [w for w in self._workers if not w.is_started]
        for worker in asleep[: max(0, len(self._waiting) - coming)]:
            try:
                worker.start()
            except WorkerLost:
                self._lost(worker)
        for worker in self._workers:
            if self._waiting and worker.is_ready and worker not in self._running:
                task = self._running[worker] = self._waiting.popleft()
                task.since = task.since or time.monotonic()
                try:
                    worker.send(task.request)
                except WorkerLost:
                    self._lost(worker)

    def _wait(self, watcher: Watcher | None) -> None:
        """Waits until some workers tell something, or are lost, and passes it on."""
        num_finished = len(self._finished)
        self._assign()
        if len(self._finished) > num_finished:  # given up
            return
        if not self._running and not self._waiting:
            raise ValueError("next_finished waits for an evaluation, but none was submitted.")
        started = [worker for worker in self._workers if worker.is_started]
        for worker in self._listen(started) if started else ():
            try:
                kind, *rest = worker.receive()
            except WorkerLost:
                self._lost(worker)
                continue
            if kind == "ready":
                continue
            task = self._running[worker]
            if kind in ("done", "failed"):
                del self._running[worker]
                self._num_lost_idle = 0
                if kind == "failed":
                    self._assign()
                    mistake, text = rest
                    raise mistake or RuntimeError(f"{worker.name}, {task.name}:\n{text}")
                self._finish(task, rest[0])
            elif watcher is not None and task.job is not None:
                getattr(watcher, kind)(task.job, *rest)
        self._assign()

    def _finish(self, task: _Task, answer: Any) -> None:
        task.is_done, task.answer = True, answer
        if task.job is not None:
            self._finished.append(task)

    def _lost(self, worker: Worker) -> None:
        """Puts a lost worker's task in front again, or gives up on it."""
        name, how, task = worker.name, worker.end(), self._running.pop(worker, None)
        self._num_lost += 1
        if task is None:
            self._lost_idle(name, how)
            return
        task.num_deaths += 1
        if task.num_deaths > _MAX_RETRIES:
            self._give_up(task, f"{name} died over {task.name} with {how}")
            return
        logging.warning(
            "%s died over %s with %s; the next free worker has it, try %d of %d. "
            "Workers lost so far: %d.",
            name,
            task.name,
            how,
            task.num_deaths + 1,
            _MAX_RETRIES + 1,
            self._num_lost,
        )
        self._waiting.appendleft(task)

    def _give_up(self, task: _Task, what: str) -> None:
        """Calls an evaluation broken; anything else cannot go on."""
        what = f"{what}, as {_MAX_RETRIES} workers before it did."
        if task.job is None:
            raise WorkerError(f"{what} What is finished is recorded.")
        logging.warning(
            "%s It is recorded as broken. Is memory short? Try --remat, or fewer evaluations at "
            "once with --devices_per_evaluation=...",
            what,
        )
        self._finish(task, broken(what, time.monotonic() - (task.since or time.monotonic())))

    def _lost_idle(self, name: str, how: str) -> None:
        self._num_lost_idle += 1
        if self._num_lost_idle > _MAX_RETRIES * len(self._workers):
            raise WorkerError(
                f"{name} died without a task, with {how}, and so did {self._num_lost_idle - 1} "
                "workers before it while no evaluation finished. What is finished is recorded."
            )
        logging.warning(
            "%s died without a task, with %s. Workers lost so far: %d.", name, how, self._num_lost
        )
