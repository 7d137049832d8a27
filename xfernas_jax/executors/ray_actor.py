"""The process of a worker on a node of Ray. Nothing heavy is imported before its devices are set.

Ray has set which accelerators the process sees when it makes the actor.
"""

import os
import pickle
import queue
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

from xfernas_jax.errors import DeviceError
from xfernas_jax.executors.ray_cluster import import_ray
from xfernas_jax.executors.ray_resources import Place, Reservation, cores_of_share
from xfernas_jax.executors.serving import build_evaluator, serve


class EvaluationActor:
    """Takes requests and hands out messages, one for each call of `next_message`."""

    def __init__(
        self, setup: bytes, reserved: Reservation, folder: str, paths: Sequence[str]
    ) -> None:
        """Prepares the process; the first message is `("ready", place)`.

        Args:
          setup: a pickled `EvaluatorSpec` and `Runtime`.
          reserved: the devices.
          folder: to work in where this node has it; relative names count from there.
          paths: to import from where this node has them.
        """
        os.environ.update(reserved.environment)
        if os.path.isdir(folder):
            os.chdir(folder)
        sys.path.extend(path for path in paths if path not in sys.path and os.path.exists(path))
        self._setup, self._reserved = setup, reserved
        self._requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        node = import_ray().get_runtime_context().get_node_id()
        self._tell(("ready", Place(node, socket.gethostname(), os.getpid())))

    def begin(self, share: int) -> None:
        """Begins to serve, on its share of the node's cores where it has no accelerator."""
        threading.Thread(target=self._serve, args=(share,), daemon=True).start()

    def send(self, request: bytes) -> None:
        """Takes a pickled request."""
        self._requests.put(request)

    def next_message(self) -> bytes:
        """Waits for the next message, pickled."""
        return self._messages.get()

    def _tell(self, message: tuple[Any, ...]) -> None:
        self._messages.put(pickle.dumps(message))

    def _serve(self, share: int) -> None:
        if self._reserved.platform == "cpu" and hasattr(os, "sched_setaffinity"):
            # For this thread and those that it starts, which are all of JAX's.
            every = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(0, cores_of_share(every, share, self._reserved.count))
        serve(self._build, self._requests, self._tell)

    def _build(self) -> Any:
        import jax

        found = Reservation(jax.default_backend(), jax.local_device_count())
        if found != self._reserved:
            raise DeviceError(
                f"Ray reserved {self._reserved} on the node {socket.gethostname()}, but JAX finds "
                f"{found} there; BUILD.md, 'Accelerators', says what that node needs."
            )
        return build_evaluator(self._setup)
