import os
import pathlib
import random
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from searches import (
    finish,
    kill,
    num_recorded,
    outcomes,
    recorded,
    result,
    run,
    search_words,
    start,
    wait_until,
)

NUM_KILLS = 50
BUDGET = 60


def test_a_search_killed_at_50_random_instants_ends_as_an_unbroken_one(
    tmp_path: pathlib.Path, unbroken: Callable[[int], tuple[Any, Any]]
) -> None:
    rng, num_kills = random.Random(0), 0
    while num_kills < NUM_KILLS:
        work = tmp_path / str(num_kills)
        num_kills += kill_until_finished(work, rng, NUM_KILLS - num_kills)
        code, err = run(*search_words(BUDGET), f"--workdir={work}")
        assert code == 0, err
        assert (outcomes(recorded(work)), result(work)) == unbroken(BUDGET)


def kill_until_finished(work: pathlib.Path, rng: random.Random, most: int) -> int:
    """Starts a search again and again, and kills it each time; returns how often."""
    num_before = 0
    for kills in range(most):
        process = start(*search_words(BUDGET), f"--workdir={work}")
        begun = num_recorded(work)
        if rng.random() < 0.7:  # otherwise the instant lies in the start-up, mostly
            wait_until(lambda: num_recorded(work) > begun, process)  # noqa: B023
        time.sleep(rng.uniform(0, 2.0))
        if not kill(process):
            assert process.returncode == 0
            return kills
        found = outcomes(recorded(work)) if num_recorded(work) else set()
        assert len(found) >= num_before, "a finished evaluation was lost"
        num_before = len(found)
    return most


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Returns the process numbers of a search's workers."""
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == process.pid and b"xfernas_jax.executors.worker" in words:
            found.append(int(folder.name))
    return found


def test_workers_killed_in_their_evaluations_cost_only_those(tmp_path: pathlib.Path) -> None:
    words = [*search_words(20), "--devices_per_evaluation=1"]
    two = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    code, err = finish(start(*words, f"--workdir={tmp_path / 'whole'}", **two))
    assert code == 0, err
    work, rng = tmp_path / "broken", random.Random(1)
    process = start(*words, f"--workdir={work}", **two)
    for kills in range(4):
        wait_until(lambda n=2 * kills + 1: num_recorded(work) >= n, process)
        wait_until(lambda: bool(workers_of(process)), process)
        os.kill(rng.choice(workers_of(process)), signal.SIGKILL)
    code, err = finish(process)
    assert code == 0, err
    assert outcomes(recorded(work)) == outcomes(recorded(tmp_path / "whole"))
    assert result(work) == result(tmp_path / "whole")
