"""An executor whose workers are actors of Ray, on this machine or on many."""

import logging
import os
import pickle
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.evaluate.spec import EvaluatorSpec
from xfernas_jax.executors.pool import PoolExecutor, WorkerLost
from xfernas_jax.executors.ray_actor import EvaluationActor
from xfernas_jax.executors.ray_cluster import import_ray
from xfernas_jax.executors.ray_resources import Place, Reservation, free_share

_PATIENCE_SECONDS = 60.0
_BECAUSE = re.compile(r"because (.+?)\.(?:\s|$)")


class _RayWorker:
    """One actor at a time, on whatever node Ray finds room for it; see `Worker`.

    A request for its next message is always on its way, so its loss shows without a task too.
    """

    def __init__(
        self, number: int, make_actor: Callable[[], Any], share_on: Callable[[str], int]
    ) -> None:
        """Takes a number for messages, what makes an actor, and a node's next free share."""
        self._number, self._make_actor, self._share_on = number, make_actor, share_on
        self._actor: Any = None
        self.pending: Any = None  # Ray's reference to the next message
        self._how = ""
        self.place: Place | None = None
        self.share = 0

    @property
    def name(self) -> str:
        where = "" if self.place is None else f" on {self.place.host}"
        return f"Ray worker {self._number}{where}"

    @property
    def is_started(self) -> bool:
        return self._actor is not None

    @property
    def is_ready(self) -> bool:
        return self.place is not None

    def start(self) -> None:
        self._actor = self._make_actor()
        self.pending = self._actor.next_message.remote()

    def send(self, request: tuple[Any, ...]) -> None:
        self._actor.send.remote(pickle.dumps(request))  # a loss shows in `pending`

    def receive(self) -> tuple[Any, ...]:
        ray = import_ray()
        try:
            message = pickle.loads(ray.get(self.pending))
        except ray.exceptions.RayError as error:
            self._how = _reason(error)
            raise WorkerLost from error
        self.pending = self._actor.next_message.remote()
        if message[0] == "ready":
            place = message[1]
            self.share = self._share_on(place.node)
            self.place = place
            self._actor.begin.remote(self.share)
        return message

    def end(self) -> str:
        if self._actor is not None:
            import_ray().kill(self._actor)
        self._actor = self.pending = self.place = None
        return self._how


def _reason(error: Exception) -> str:
    """Returns the part of Ray's long message that tells why an actor is gone."""
    if isinstance(error, import_ray().exceptions.ActorUnavailableError):
        return "the reason that it cannot be reached"
    text = str(error).strip()
    found = _BECAUSE.search(text)
    if found is None or "creation task" in text:  # then the last line is the actor's own error
        return text.splitlines()[-1][:300] if text else type(error).__name__
    return f"the reason that {found[1][:300]}"


class RayExecutor(PoolExecutor):
    """Runs evaluations side by side in actors that reserve devices; see `PoolExecutor`.

    The process must be connected to Ray. Where a node is lost its actors wait for room on others,
    and their evaluations go to the actors that there are.
    """

    def __init__(
        self,
        spec: EvaluatorSpec,
        runtime: Runtime,
        reserved: Reservation,
        num_workers: int,
        at_close: Callable[[], None] = lambda: None,
    ) -> None:
        """Takes what workers need; they start when there is something to do.

        Args:
          spec: from which a worker builds its evaluator; folders are those that its node sees.
          runtime: how it uses its devices.
          reserved: the devices of each worker.
          num_workers: that the cluster has room for.
          at_close: called when the workers have ended.
        """
        actor = import_ray().remote(EvaluationActor)
        options = {**reserved.options, "max_restarts": 0, "max_concurrency": 2}
        paths = [os.path.abspath(path) for path in sys.path]
        given = (pickle.dumps((spec, runtime)), reserved, os.getcwd(), paths)
        self._reserved, self._at_close = reserved, at_close
        self._actors = [
            _RayWorker(number, lambda: actor.options(**options).remote(*given), self._share_on)
            for number in range(num_workers)
        ]
        super().__init__(spec.find_space(), self._actors, self._next_told)

    def close(self) -> None:
        super().close()
        self._at_close()

    def _share_on(self, node: str) -> int:
        here = (w for w in self._actors if w.place is not None and w.place.node == node)
        return free_share(worker.share for worker in here)

    def _next_told(self, workers: Sequence[_RayWorker]) -> list[_RayWorker]:
        """Waits for those that have a message or are lost, and says so where none has a place."""
        by_message = {worker.pending: worker for worker in workers}
        start = time.monotonic()
        while True:
            ready, _ = import_ray().wait(list(by_message), timeout=_PATIENCE_SECONDS)
            if ready:
                return [by_message[message] for message in ready]
            if not any(worker.is_ready for worker in workers):
                logging.warning(
                    "Ray has had no room for a worker of %s for %.0f s; `ray status` says what "
                    "takes it.",
                    self._reserved,
                    time.monotonic() - start,
                )
