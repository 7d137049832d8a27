"""What every test may rely on: CPU, four devices, no rank promotion, no network."""

import ipaddress
import os
import pathlib
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import hypothesis
import jax
import pytest
from command import Done, run_here
from cpu_limit import CpuLimit, costliest

ROOT = pathlib.Path(__file__).resolve().parents[1]

# They take minutes and fail where a server, a tool or root is missing: `make test-faults`.
collect_ignore = [] if os.environ.get("XFERNAS_FAULTS") else ["faults"]

# A shell starts background jobs with SIGINT ignored, and children inherit it; the tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs that were compiled before are read: pytest's first process names the folder, and its
# workers and all child processes inherit it. It stays in the virtual environment: JAX names an
# entry by program, options and version of its compiler, so what no longer compiles is none of them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _COMPILED = pathlib.Path(sys.prefix, "tests_compiled")
    if _COMPILED.is_dir() and sum(f.stat().st_size for f in _COMPILED.iterdir()) > 2**30:
        shutil.rmtree(_COMPILED)
    _COMPILED.mkdir(exist_ok=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(_COMPILED)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

jax.config.update("jax_platforms", "cpu")  # a plugin may have imported jax before this file
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile(
    "local", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "ci", hypothesis.settings.get_profile("local"), derandomize=True, print_blob=True
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds what `cpu_limit` reads."""
    parser.addini("cpu_limit_seconds", "CPU time that a test not marked `slow` may take.")
    parser.addoption("--cpu-durations", type=int, default=0, help="List the N costliest tests.")


def pytest_configure(config: pytest.Config) -> None:
    """Limits what an unmarked test may cost, more where the hostile tests run more cases."""
    scale = int(os.environ.get("XFERNAS_HOSTILE_SCALE", "1"))
    config.pluginmanager.register(CpuLimit(scale * float(config.getini("cpu_limit_seconds"))))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Lists the tests that took the most CPU time, where that was asked for."""
    count = terminalreporter.config.getoption("--cpu-durations")
    if count:
        terminalreporter.section("CPU seconds")
        stats = terminalreporter.stats
        reports = [r for outcome in ("passed", "failed") for r in stats.get(outcome, [])]
        terminalreporter.write_line("\n".join(costliest(reports, count)))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Refuses connections that leave this machine; loopback and Unix sockets stay open."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: tuple) -> None:
        inet = self.family in (socket.AF_INET, socket.AF_INET6)
        if inet and not _is_loopback(str(address[0])):
            raise AssertionError(f"A test tried to reach {address[0]}; tests use no network.")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(scope="session")
def run_command() -> Callable[..., Done]:
    """Returns a function that runs `run.py` with the given words."""
    return lambda *words: run_here(words)


@pytest.fixture(scope="session")
def shared_dir() -> pathlib.Path:
    """The folder with `benchmarks/` and `images/` that a checkout may have beside it."""
    named = os.environ.get("XFERNAS_SHARED")
    folder = pathlib.Path(named) if named else ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no data folder {'$XFERNAS_SHARED' if named else '../shared'}")
    return folder
