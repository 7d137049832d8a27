"""One training by a process on each of many hosts: joining, agreeing, checkpoints by the first.

All processes run the same commands on the same data; the first alone reads and writes what the
training leaves. What it finds there, the others are told.
"""

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from xfernas_jax.errors import AgreedError, HostsError, UserError
from xfernas_jax.train.loop import Checkpointer
from xfernas_jax.train.state import TrainState

START_SECONDS = 300
T = TypeVar("T")
# What JAX and the collectives of CPU and GPU say when a process or the network is gone. There is
# no exception class for it.
_LOST = re.compile(r"gloo|nccl|UNAVAILABLE|DEADLINE_EXCEEDED|coordination service", re.IGNORECASE)


def join(
    coordinator_address: str | None,
    num_processes: int | None,
    process_id: int | None,
    silent_seconds: int,
) -> None:
    """Joins the processes of a training; JAX then knows the devices of all. Before any JAX use.

    Args:
      coordinator_address: `HOST:PORT` of the first process; None asks the cluster (Slurm, a TPU
        pod, Kubernetes, Open MPI) for all three.
      num_processes: in all.
      process_id: of this one, from 0.
      silent_seconds: after which a process that says nothing counts as lost, and ends all others.

    The first and the last process may start `START_SECONDS` apart. Where the others are not there
    in time, JAX ends the process (SIGABRT).

    Raises:
      HostsError: the cluster is none that JAX knows, or the address cannot be used.
    """
    try:
        jax.distributed.initialize(
            coordinator_address,
            num_processes,
            process_id,
            cluster_detection_method=None if coordinator_address is None else "deactivate",
            initialization_timeout=START_SECONDS,
            heartbeat_timeout_seconds=silent_seconds,
            shutdown_timeout_seconds=silent_seconds,
        )
    except ValueError as error:  # nothing told JAX how many processes there are, or where
        raise HostsError(
            f"--coordinator_address=auto: this is no cluster that JAX recognises ({error}); give "
            "--coordinator_address=HOST:PORT, --num_processes and --process_id."
        ) from error
    except RuntimeError as error:
        where = coordinator_address or "auto"
        raise HostsError(
            f"--coordinator_address={where}: no training on many hosts can begin there "
            f"({' '.join(str(error).split()):.200}); choose a free port of the first host."
        ) from error


def is_first() -> bool:
    """Tells whether this process is the one that reads and writes; with one process it is."""
    return jax.process_index() == 0


def is_one_of_many() -> bool:
    """Tells whether the training has other processes than this one."""
    return jax.process_count() > 1


def is_lost_host(error: Exception) -> bool:
    """Tells whether an error of JAX says that another process cannot be reached."""
    is_of_jax = isinstance(error, (jax.errors.JaxRuntimeError, ValueError))
    return is_one_of_many() and is_of_jax and bool(_LOST.search(str(error)))


def together(call: Callable[[], T]) -> T:
    """Calls in every process; a mistake that one finds ends all of them.

    Raises:
      AgreedError: in every process, with the message of the first that raised a `UserError`.
    """
    if not is_one_of_many():
        return call()
    value: Any = None
    mistake = ""
    try:
        value = call()
    except UserError as error:
        mistake = str(error)
    found = [text for text in _gather(mistake) if text]
    if found:
        raise AgreedError(found[0])
    return value


def on_first(call: Callable[[], T]) -> T:
    """Calls in the first process alone and gives its value, which is JSON, to all.

    Raises:
      AgreedError: in every process, with the message of the first's `UserError`.
    """
    if not is_one_of_many():
        return call()
    text = together(lambda: json.dumps(call()) if is_first() else "")
    return json.loads(_gather(text)[0])


class FirstHostCheckpoints:
    """Checkpoints that the first process reads and writes, and all go on from; a `Checkpointer`.

    The initial values are the first's too, so that no difference between hosts' arithmetic can
    set their copies apart.
    """

    def __init__(self, checkpoints: Checkpointer | None) -> None:
        """Takes the first process's checkpoints; the others have None."""
        self._checkpoints = checkpoints

    def restore(self, like: TrainState) -> tuple[TrainState, dict[str, list[float]]] | None:
        """Returns the state that the first process found, or its initial one, bit for bit."""
        own = self._checkpoints
        found = together(lambda: None if own is None else own.restore(like))
        state, curves = found or (like, {"losses": [], "curve": []})
        curves = on_first(lambda: curves)
        sent = jax.tree.map(lambda x: np.frombuffer(np.asarray(x).tobytes(), np.uint8), state)
        received = multihost_utils.broadcast_one_to_all(sent)  # bytes: floats lose the sign of -0
        return jax.tree.map(_as_array_like, received, like), curves

    def is_due(self, epoch: int, *, is_last: bool) -> bool:
        """Tells whether to save here; a process without checkpoints never does."""
        return self._checkpoints is not None and self._checkpoints.is_due(epoch, is_last=is_last)

    def save(self, state: TrainState, curves: dict[str, list[float]]) -> None:
        """Saves in the first process."""
        if self._checkpoints is not None:
            self._checkpoints.save(state, curves)


def _as_array_like(data: np.ndarray, like: Any) -> np.ndarray:
    shape, dtype = np.shape(like), np.asarray(like).dtype
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), dtype).reshape(shape)


def _gather(text: str) -> list[str]:
    """Returns the text of every process, in their order."""
    data = np.frombuffer(text.encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.array([data.size], np.int32)).reshape(-1)
    padded = np.zeros(max(int(sizes.max()), 1), np.uint8)
    padded[: data.size] = data
    rows = multihost_utils.process_allgather(padded)
    return [row[:size].tobytes().decode() for row, size in zip(rows, sizes, strict=True)]
