"""The process of a worker: `python -m xfernas_jax.executors.worker DESCRIPTOR CORES`.

It reads pickled requests from a socket that it inherits and answers each with messages, the last
of which is "done" or "failed". It ends when the other end closes, whatever it is doing then: a
killed parent leaves no worker behind. Nothing heavy is imported before the cores are set.
"""

import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Any


def main(descriptor: int, cores: str) -> None:
    """Serves requests until the other end closes.

    Args:
      descriptor: of the socket.
      cores: numbers of processor cores with commas; empty for all.
    """
    if cores:
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the parent ends us
    connection = Connection(descriptor)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, requests), daemon=True).start()
    setup, benchmark = requests.get(), None
    while True:
        request = requests.get()
        try:
            if benchmark is None:
                benchmark = pickle.loads(setup).benchmark()
            message = ("done", _answer(benchmark, pickle.loads(request), connection))
        except Exception as error:
            message = _failure(error)
        try:
            connection.send(message)
        except OSError:  # the other end has closed
            os._exit(1)


def _receive(connection: Connection, requests: "queue.SimpleQueue[bytes]") -> None:
    """Passes requests on, and ends the process with the connection."""
    while True:
        try:
            requests.put(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)


def _answer(benchmark: Any, request: tuple[Any, ...], connection: Connection) -> Any:
    """Evaluates a job, or measures the test accuracy of given variables."""
    if request[0] == "test":
        return benchmark.test_accuracy(*request[1:])
    (_, job) = request
    connection.send(("started",))

    def tell(epoch: int, valid_accuracy: float) -> None:
        connection.send(("epoch", epoch, valid_accuracy))

    return benchmark.evaluate(job.genotype, job.seed, job.purpose, tell, job.stop)


def _failure(error: Exception) -> tuple[Any, ...]:
    from xfernas_jax.errors import UserError

    mistake = error if isinstance(error, UserError) else None
    return ("failed", mistake, "".join(traceback.format_exception(error)))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
