"""A test that costs more CPU time than a limit must say so by a mark."""

import builtins
import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import jax
import pytest

COMPILE_EVENTS = "/jax/core/compile/"  # tracing, lowering, and XLA's part
SECONDS = "cpu_seconds"  # among the properties that a report carries


_ROWS, _ROWS_SECONDS = 40_000, 0.042  # work, and what it takes on the core that limits are meant of


def slowness() -> float:
    """Returns how many times longer than that a core takes here and now; at least 1.

    Cores differ, and neighbours that share caches and memory cost CPU time too. The best of three
    counts.
    """
    found = []
    for _ in range(3):
        start = time.thread_time()
        rows = {number * 7919 % 100_003: (number, str(number)) for number in range(_ROWS)}
        assert len({text for _, (_, text) in sorted(rows.items())}) == _ROWS
        found.append(time.thread_time() - start)
    return max(1.0, min(found) / _ROWS_SECONDS)


def cpu_seconds() -> float:
    """Returns the CPU seconds of this process and of the children that it waited for."""
    return sum(os.times()[:4])


class CpuLimit:
    """Fails a test over the limit without the mark `slow`, by CPU time: load does not change it.

    The limit is of a known core: on one that is slower here and now it is that much higher.

    Setup and call count. What a test pays for others does not: fixtures that it shares with other
    tests, compiling and importing, which fall to the first test that needs a program or a module.
    What children compile and import does count.
    """

    def __init__(self, limit_seconds: float, slowness: Callable[[], float] = slowness) -> None:
        self._limit_seconds, self._slowness = limit_seconds, slowness
        self._start = self._excused = self._latest = 0.0
        self._is_importing = False
        jax.monitoring.register_event_duration_secs_listener(self.hear)

    def hear(self, event: str, duration_secs: float, **kwargs: str | int) -> None:
        """Excuses the CPU time since the latest event, at most all cores for the event's time."""
        del kwargs
        if event.startswith(COMPILE_EVENTS):
            now = cpu_seconds()
            self._excused += min(now - self._latest, duration_secs * (os.cpu_count() or 1))
            self._latest = now

    @contextlib.contextmanager
    def _excusing(self) -> Iterator[None]:
        """Excuses what the block costs, once."""
        start, excused = cpu_seconds(), self._excused
        try:
            yield
        finally:
            self._latest = cpu_seconds()
            self._excused = excused + self._latest - start

    def _excusing_imports(self, do_import: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._is_importing:
                return do_import(*args, **kwargs)
            self._is_importing = True
            try:
                with self._excusing():
                    return do_import(*args, **kwargs)
            finally:
                self._is_importing = False

        return call

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Iterator[Any]:
        with mock.patch.object(builtins, "__import__", self._excusing_imports(builtins.__import__)):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Iterator[None]:
        self._start = self._latest = cpu_seconds()
        self._excused = 0.0
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        with self._excusing():
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Iterator[Any]:
        report: pytest.TestReport = yield
        if call.when == "call":
            own = cpu_seconds() - self._start - self._excused
            report.user_properties.append((SECONDS, own))
            if report.passed and self._exceeds(own) and not item.get_closest_marker("slow"):
                report.outcome = "failed"
                report.longrepr = (
                    f"{item.nodeid} took {own:.1f} CPU seconds; a test without the mark `slow` "
                    f"may take {self._limit_seconds:g}. Make it cheaper, or mark it."
                )
        return report

    def _exceeds(self, seconds: float) -> bool:
        return seconds > self._limit_seconds and seconds > self._limit_seconds * self._slowness()


def costliest(reports: list[pytest.TestReport], count: int) -> list[str]:
    """Returns a line for each of the tests that took the most CPU seconds."""
    spent = [(dict(r.user_properties).get(SECONDS, 0.0), r.nodeid) for r in reports]
    return [f"{seconds:8.2f} {name}" for seconds, name in sorted(spent, reverse=True)[:count]]
