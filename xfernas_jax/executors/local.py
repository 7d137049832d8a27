"""An executor with one warm process for each group of this machine's devices."""

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.evaluate.spec import EvaluatorSpec
from xfernas_jax.executors.devices import DeviceGroup
from xfernas_jax.executors.pool import PoolExecutor, WorkerLost

_EXIT_SECONDS = 5.0


class _LocalWorker:
    """One process and its group of devices; see `Worker`.

    The process is a fresh interpreter, not a `multiprocessing` one: it has its environment before
    anything is imported, and does not run the user's main module again.
    """

    def __init__(self, group: DeviceGroup, setup: bytes) -> None:
        self._group, self._setup, self.name = group, setup, group.name
        self._process: subprocess.Popen[bytes] | None = None
        self.connection: Any = None  # the socket to the process, None before it starts

    @property
    def is_started(self) -> bool:
        return self._process is not None

    is_ready = is_started

    def start(self) -> None:
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
        self.connection = own
        self._send(self._setup)

    def send(self, request: tuple[Any, ...]) -> None:
        self._send(pickle.dumps(request))

    def _send(self, data: bytes) -> None:
        try:
            self.connection.send_bytes(data)
        except OSError as error:
            raise WorkerLost from error

    def receive(self) -> tuple[Any, ...]:
        try:
            return self.connection.recv()
        except (EOFError, OSError) as error:
            raise WorkerLost from error

    def end(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return ""
        self.connection.close()
        try:
            code = process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _listen(workers: Sequence[_LocalWorker]) -> list[_LocalWorker]:
    """Waits for those that have a message or have ended; see `PoolExecutor`."""
    by_connection = {worker.connection: worker for worker in workers}
    ready = multiprocessing.connection.wait(list(by_connection))
    return [by_connection[connection] for connection in ready]


class LocalExecutor(PoolExecutor):
    """Runs evaluations side by side, one for each group of devices; see `PoolExecutor`."""

    def __init__(
        self, spec: EvaluatorSpec, runtime: Runtime, groups: Sequence[DeviceGroup]
    ) -> None:
        """Takes what workers need; they start when there is something to do.

        Args:
          spec: from which a worker builds its evaluator.
          runtime: how it uses its devices.
          groups: of devices, one for each worker.
        """
        setup = pickle.dumps((spec, runtime))
        self._processes = [_LocalWorker(group, setup) for group in groups]
        super().__init__(spec.find_space(), self._processes, _listen)

    def close(self) -> None:
        for worker in self._processes:
            if worker.connection is not None:
                worker.connection.close()  # all of them end meanwhile
        super().close()
