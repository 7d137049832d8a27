"""An executor with one warm process for each group of this machine's devices."""

import collections
import dataclasses
import logging
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from xfernas_jax.benchmarks.base import Scored
from xfernas_jax.errors import WorkerError
from xfernas_jax.executors.base import Job, Watcher
from xfernas_jax.executors.devices import DeviceGroup
from xfernas_jax.executors.setup import EvaluationSetup
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.registry import get_space

_MAX_RETRIES = 2
_EXIT_SECONDS = 5.0


@dataclasses.dataclass(eq=False)
class _Task:
    """A request to a worker, and how often a worker died over it."""

    name: str
    request: tuple[Any, ...]
    job: Job | None = None
    num_deaths: int = 0


class _Worker:
    """One process and its group of devices; it starts with its first task.

    The process is a fresh interpreter, not a `multiprocessing` one: it has its environment before
    anything is imported, and does not run the user's main module again.
    """

    def __init__(self, group: DeviceGroup, setup: EvaluationSetup) -> None:
        self.name = group.name
        self.task: _Task | None = None
        self._group, self._setup = group, setup
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Any = None

    @property
    def connection(self) -> Any:
        """The socket to the process, None before it starts."""
        return self._connection

    def begin(self, task: _Task) -> None:
        """Sends a task; `OSError` when the process is gone."""
        self.task = task
        if self._process is None:
            self._start()
        self._connection.send(task.request)

    def _start(self) -> None:
        own, other = multiprocessing.Pipe()
        paths = [path or os.getcwd() for path in sys.path]
        environment = {
            **os.environ,
            **self._group.environment,
            "PYTHONPATH": os.pathsep.join(paths),
        }
        cores = ",".join(map(str, self._group.cores))
        command = [sys.executable, "-m", "xfernas_jax.executors.worker"]
        self._process = subprocess.Popen(
            [*command, str(other.fileno()), cores],
            env=environment,
            pass_fds=(other.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        other.close()
        self._connection = own
        own.send_bytes(pickle.dumps(self._setup))

    def end(self) -> str:
        """Ends the process if it runs, and says how it ended."""
        process, self._process = self._process, None
        if process is None:
            return ""
        self._connection.close()
        try:
            code = process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class LocalExecutor:
    """Runs evaluations side by side, one for each group of devices; see `Executor`.

    Processes stay warm until `close`: start-up and the loading of data are paid once. A worker
    that dies is started again, and its evaluation up to two times more.
    """

    def __init__(self, setup: EvaluationSetup, groups: Sequence[DeviceGroup]) -> None:
        """Takes what workers need; they start when there is something to do.

        Args:
          setup: how a worker builds its benchmark.
          groups: of devices, one for each worker.
        """
        self._space = get_space(setup.space)
        self._workers = [_Worker(group, setup) for group in groups]
        self._waiting: collections.deque[_Task] = collections.deque()
        self._finished: collections.deque[tuple[_Task, Any]] = collections.deque()

    @property
    def space(self) -> Space:
        """The space of the genotypes."""
        return self._space

    @property
    def num_workers(self) -> int:
        """The number of device groups."""
        return len(self._workers)

    def submit(self, job: Job) -> None:
        """Takes an evaluation; it starts now where a worker is free."""
        name = f"evaluation {job.number + 1} ({job.purpose})"
        self._waiting.append(_Task(name, ("evaluate", job), job))
        self._assign()

    def next_finished(self, watcher: Watcher) -> tuple[Job, Scored]:
        """Waits for the next evaluation that finishes; see `Executor`."""
        task, scored = self._finished.popleft() if self._finished else self._wait(watcher)
        assert task.job is not None
        return task.job, scored

    def test_accuracy(self, genotype: Genotype, variables: Any) -> float:
        """Measures on a worker's devices; evaluations that finish meanwhile are kept."""
        wanted = _Task("the test", ("test", genotype, variables))
        self._waiting.appendleft(wanted)
        self._assign()
        while True:
            task, value = self._wait(None)
            if task is wanted:
                return value
            self._finished.append((task, value))

    def close(self) -> None:
        """Ends the workers, whatever they are doing."""
        for worker in self._workers:
            if worker.connection is not None:
                worker.connection.close()  # all of them end meanwhile
        for worker in self._workers:
            worker.end()

    def _assign(self) -> None:
        """Gives waiting tasks to idle workers."""
        for worker in self._workers:
            while worker.task is None and self._waiting:
                try:
                    worker.begin(self._waiting.popleft())
                except OSError:
                    self._died(worker)

    def _wait(self, watcher: Watcher | None) -> tuple[_Task, Any]:
        """Passes on what workers tell until one of them is done with its task."""
        while True:
            self._assign()
            busy = {w.connection: w for w in self._workers if w.task is not None}
            if not busy:
                raise ValueError("next_finished waits for an evaluation, but none was submitted.")
            for connection in multiprocessing.connection.wait(list(busy)):
                worker = busy[connection]
                task = worker.task
                assert task is not None
                try:
                    kind, *rest = worker.connection.recv()
                except (EOFError, OSError):
                    self._died(worker)
                    continue
                if kind in ("done", "failed"):
                    worker.task = None
                    self._assign()
                    if kind == "done":
                        return task, rest[0]
                    mistake, text = rest
                    raise mistake or RuntimeError(f"{worker.name}, {task.name}:\n{text}")
                if watcher is not None and task.job is not None:
                    getattr(watcher, kind)(task.job, *rest)

    def _died(self, worker: _Worker) -> None:
        """Puts a dead worker's task in front again, or gives up on it."""
        how, task = worker.end(), worker.task
        assert task is not None
        worker.task = None
        task.num_deaths += 1
        if task.num_deaths > _MAX_RETRIES:
            raise WorkerError(
                f"{worker.name} died over {task.name} with {how}, as {_MAX_RETRIES} workers before "
                "it did. What is finished is recorded. Is memory short? Try a smaller "
                "--set=train.batch_size=..., or fewer evaluations at once with "
                "--devices_per_evaluation=..."
            )
        logging.warning(
            "%s died over %s with %s; it is started again, try %d of %d.",
            worker.name,
            task.name,
            how,
            task.num_deaths + 1,
            _MAX_RETRIES + 1,
        )
        self._waiting.appendleft(task)
