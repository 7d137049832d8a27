"""The process of a worker: `python -m xfernas_jax.executors.worker DESCRIPTOR CORES`.

It reads pickled requests from a socket that it inherits and answers as `serving.py` says. It ends
when the other end closes, whatever it is doing then: a killed parent leaves no worker behind.
Nothing heavy is imported before the cores are set.
"""

import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from xfernas_jax.executors.serving import build_evaluator, serve


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
    setup = requests.get()

    def tell(message: tuple[Any, ...]) -> None:
        try:
            connection.send(message)
        except OSError:  # the other end has closed
            os._exit(1)

    serve(lambda: build_evaluator(setup), requests, tell)


def _receive(connection: Connection, requests: "queue.SimpleQueue[bytes]") -> None:
    """Passes requests on, and ends the process with the connection."""
    while True:
        try:
            requests.put(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
