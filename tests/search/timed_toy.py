"""A toy whose trainings take simulated time, an epoch each second."""

import math
import types
from collections.abc import Callable
from typing import Any

import pytest
from search_toy import Toy, complete, share_of_convs

from xfernas_jax.evaluate.base import OnEpoch, Scored, Stop
from xfernas_jax.history.record import Job, Result


class Now:
    """What the clock of a search reads instead of the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        clock = types.SimpleNamespace(time=lambda: self.seconds)
        monkeypatch.setattr("xfernas_jax.search.clock.time", clock)


class TimedToy(Toy):
    """Trains for `epochs(job)` seconds, or what its job leaves; can be stopped after each."""

    def __init__(
        self,
        now: Now,
        epochs: Callable[[Job], int] = lambda _: 10,
        score: Callable[[Job], Result | float] = share_of_convs,
        limit: int = 10**6,
    ) -> None:
        super().__init__(score, limit)
        self._now, self._epochs = now, epochs
        self.jobs: list[Job] = []
        self.begun: list[float] = []

    def evaluate(
        self, job: Job, on_epoch: OnEpoch | None = None, stop: Stop | None = None
    ) -> Scored:
        begun = self._now.seconds
        scored = super().evaluate(job, on_epoch, stop)
        self.jobs.append(job)
        self.begun.append(begun)
        most = self._epochs(job)
        if job.limit_seconds is not None:
            most = min(most, math.floor(job.limit_seconds))
        curve: list[float] = []
        for _ in range(most):
            self._now.seconds += 1.0
            curve.append(0.1)
            if stop is not None and stop(curve):
                stopped = Result("stopped", curve=tuple(curve), seconds=float(len(curve)))
                return Scored(stopped, None)
        seconds = self._now.seconds - begun
        if scored.result.value is None:
            return Scored(Result("failed", failure="diverged", seconds=seconds), None)
        return Scored(complete(scored.result.value, seconds=seconds), scored.variables)

    def keys(self, *purposes: Any) -> list[str]:
        """Returns the keys of what was trained, in order."""
        return [job.key for job in self.jobs if job.purpose in purposes]
