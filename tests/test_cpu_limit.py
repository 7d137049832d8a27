"""The limit on a test's CPU time, on small test files that an inner pytest runs here."""

import jax
import pytest
from cpu_limit import CpuLimit, slowness

pytest_plugins = ["pytester"]

LIMIT = 0.2  # CPU seconds; what is burned below is 0.3 or more, and the rest far from it
BURN = r"""
import subprocess, sys, time, pytest
from cpu_limit import cpu_seconds

CHILD = "import time\nwhile time.process_time() < 0.3: pass"

def burn():
    end = cpu_seconds() + 0.3
    while cpu_seconds() < end:
        pass
"""


def run(pytester: pytest.Pytester, text: str, slowness: float = 1.0) -> pytest.HookRecorder:
    pytester.makepyfile(BURN + text)
    limit = CpuLimit(LIMIT, lambda: slowness)
    try:
        return pytester.inline_run("-p", "no:cacheprovider", plugins=[limit])
    finally:
        jax.monitoring.unregister_event_duration_listener(limit.hear)


@pytest.mark.parametrize(
    "text",
    [
        "def test_own(): burn()",
        "@pytest.fixture\ndef thing(): burn()\ndef test_fixture(thing): pass",
        "def test_child(): subprocess.run([sys.executable, '-S', '-c', CHILD], check=True)",
    ],
)
def test_what_a_test_costs_itself_counts(text: str, pytester: pytest.Pytester) -> None:
    run(pytester, text).assertoutcome(failed=1)


@pytest.mark.parametrize(
    "text",
    [
        "def test_cheap(): pass",
        "def test_waits(): time.sleep(0.4)",
        "@pytest.mark.slow\ndef test_marked(): burn()",
        "@pytest.fixture(scope='module')\ndef thing(): burn()\ndef test_shared(thing): pass",
    ],
)
def test_what_costs_nothing_is_marked_or_is_shared_passes(
    text: str, pytester: pytest.Pytester
) -> None:
    run(pytester, text).assertoutcome(passed=1)


def test_a_slow_core_has_more_time(pytester: pytest.Pytester) -> None:
    run(pytester, "def test_own(): burn()", slowness=100.0).assertoutcome(passed=1)


def test_a_core_is_never_taken_for_faster_than_the_known_one() -> None:
    assert slowness() >= 1.0


def test_compiling_does_not_count(pytester: pytest.Pytester) -> None:
    text = """
import jax
def test_compiles():
    start = cpu_seconds()
    number = 0
    while cpu_seconds() < start + 0.3:
        number += 1
        jax.jit(lambda x: sum(x * k + number for k in range(60))).lower(1.0).compile()
"""
    run(pytester, text).assertoutcome(passed=1)


def test_importing_does_not_count(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(takes_long=BURN + "\nburn()")
    run(pytester, "def test_imports(): import takes_long").assertoutcome(passed=1)


def test_a_failure_keeps_its_own_words(pytester: pytest.Pytester) -> None:
    done = run(pytester, "def test_wrong():\n burn()\n assert 1 == 2, 'its own words'")
    (report,) = done.getfailures()
    assert "its own words" in str(report.longrepr)
