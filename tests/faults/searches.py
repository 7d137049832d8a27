"""Real processes of `run.py`, and what they left in the record."""

import collections
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable

from xfernas_jax.history import Evaluation, Storage, default_storage_url
from xfernas_jax.space import get_space

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPACE = get_space("nasbench201")
LIMIT_SECONDS = 240.0  # of one process; a hang is a failure
QUICK = (
    "--space=nasbench201",
    "--optimizer=evolution",
    "--sources=none",
    "--study=s",
    "--set=train.epochs=2",
    "--set=data.train_examples=256",
    "--set=network.filters=4",
)


def search_words(budget: int) -> tuple[str, ...]:
    """Returns the command line of a search but for its place."""
    return ("search", f"--budget_evaluations={budget}", "--batch_size=2", *QUICK)


def start(*words: str, **environment: str) -> subprocess.Popen[str]:
    """Starts `run.py` with its output on pipes."""
    return subprocess.Popen(
        [sys.executable, "run.py", *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Waits for the end; returns exit code and standard error."""
    try:
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return process.returncode, err


def run(*words: str, **environment: str) -> tuple[int, str]:
    """Runs `run.py` to its end; returns exit code and standard error."""
    return finish(start(*words, **environment))


def kill(process: subprocess.Popen[str]) -> bool:
    """Kills with SIGKILL; returns whether it still ran."""
    ran = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return ran


def wait_until(reached: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits while the process runs and a state is not reached."""
    end = time.monotonic() + LIMIT_SECONDS
    while process.poll() is None and not reached():
        assert time.monotonic() < end, "the state was never reached"
        time.sleep(0.02)


def num_recorded(work: pathlib.Path) -> int:
    """Counts trials in the SQLite file of a work directory, without our code."""
    try:
        with sqlite3.connect(f"file:{work}/history.db?mode=ro", uri=True) as database:
            return database.execute("select count(*) from trials").fetchone()[0]
    except sqlite3.Error:
        return 0


def recorded(url: str | pathlib.Path, study: str = "s") -> list[Evaluation]:
    """Reads a study by its storage URL or work directory; every evaluation is there once."""
    if isinstance(url, pathlib.Path):
        url = default_storage_url(url)
    with Storage(url, create=False) as storage:
        evaluations = list(storage.evaluations(study))
    keys = collections.Counter(
        (SPACE.key(e.genotype), e.seed, e.purpose, e.recipe) for e in evaluations
    )
    assert max(keys.values(), default=1) == 1, "an evaluation was counted twice"
    return evaluations


def outcomes(evaluations: list[Evaluation]) -> set[tuple[object, ...]]:
    """Returns what must not depend on faults: who was trained for what, and every value of it."""
    return {(e.purpose, e.number, SPACE.key(e.genotype), e.seed, e.curve) for e in evaluations}


def result(work: pathlib.Path, study: str = "s") -> dict[str, object]:
    """Returns the recorded result without what depends on time."""
    with Storage(default_storage_url(work), create=False) as storage:
        found = storage.result(study)
    assert found is not None, "the search did not end with a result"
    return {name: value for name, value in found.items() if name != "seconds"}
