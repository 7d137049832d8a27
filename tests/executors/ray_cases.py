"""What the tests of Ray share."""

import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from xfernas_jax.executors.ray import RayExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEEDS_RAY = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is absent; `make setup EXTRAS=ray`"
)
HANG_SECONDS = 600  # after which what must happen never will
QUICK_SEARCH = [
    "search",
    "--space=nasbench201",
    "--optimizer=random",
    "--sources=none",
    "--budget_evaluations=3",
    "--batch_size=3",
    "--schedule=rounds",
    "--confirm_seeds=1",
    "--set=train.epochs=2",
    "--set=data.train_examples=128",
    "--set=network.filters=4",
]


def kill_running(executor: RayExecutor) -> None:
    """Kills the only actor that has a task."""
    worker: Any
    (worker,) = executor._running
    os.kill(worker.place.process, signal.SIGKILL)


def start_search(*words: str, cores: set[int], mark: str) -> subprocess.Popen[str]:
    """Starts `run.py` on some cores; `mark` is in its environment and in its descendants'."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)  # for the child, which inherits it
    try:
        return subprocess.Popen(
            [sys.executable, "run.py", *QUICK_SEARCH, *words],
            cwd=ROOT,
            env={**os.environ, "JAX_NUM_CPU_DEVICES": "1", "XFERNAS_MARK": mark},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        os.sched_setaffinity(0, own)


def marked(mark: str) -> list[str]:
    """Returns the commands of the processes whose environment holds `mark`."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        try:
            if process.name.isdigit() and mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text()[:100])
        except OSError:  # of another user, or just ended
            continue
    return found


def check_none_left(mark: str) -> None:
    """Waits until a search's processes are gone, however loaded the machine is."""
    end = time.monotonic() + HANG_SECONDS
    while marked(mark) and time.monotonic() < end:
        time.sleep(0.2)
    assert marked(mark) == []
