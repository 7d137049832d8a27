import collections
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import jax
import numpy as np
import pytest
from executor_cases import CELLS, SPACE, Record, quick_setup, timeless

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.evaluate.base import Scored
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.executors.base import Executor, Job
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history.record import Evaluation, Task

JOBS = [Job(number, cell, seed=number) for number, cell in enumerate(CELLS[:3])]
# Two are the same network, as the confirming trainings of a finalist are.
TWICE = [*JOBS[:2], Job(2, CELLS[1], seed=9)]


class Waits:
    """Scores by seed; an evaluation lasts until the next one's preparation has begun."""

    task, space, recipe = Task("synthetic", "none", 2), SPACE, "r"

    def __init__(self) -> None:
        self.prepared: dict[Any, threading.Event] = collections.defaultdict(threading.Event)
        self.seen: list[str] = []

    def prepare(self, genotype: Any) -> None:
        self.seen.append(f"prepare {CELLS.index(genotype)}")
        self.prepared[genotype].set()

    def evaluate(
        self,
        genotype: Any,
        seed: int,
        purpose: Any = "search",
        on_epoch: Any = None,
        stop: Any = None,
    ):
        if seed + 1 < len(JOBS):
            assert self.prepared[CELLS[seed + 1]].wait(30)
        self.seen.append(f"evaluate {CELLS.index(genotype)}")
        on_epoch(1, 0.5)
        return Scored(Evaluation(genotype, "r", seed, "complete", 0.5, (0.5,), 1, 0.0, purpose))

    def test_accuracy(self, genotype: Any, variables: Any) -> float:
        return 0.25


def run(executor: Executor, jobs: list[Job]) -> tuple[list[Any], Record]:
    record = Record()
    for job in jobs:
        executor.submit(job)
    return [executor.next_finished(record) for _ in jobs], record


def test_jobs_run_in_order_and_are_told_to_the_watcher() -> None:
    bench = Waits()
    with closing(InProcessExecutor(bench, bench.prepare)) as executor:
        results, record = run(executor, JOBS)
        assert [job for job, _ in results] == JOBS
        assert record.started_numbers == [0, 1, 2]
        assert record.epochs == [(0, 1), (1, 1), (2, 1)]
        with pytest.raises(ValueError, match="none was submitted"):
            executor.next_finished(record)
        assert executor.test_accuracy(CELLS[0], None) == 0.25
    assert bench.seen == ["prepare 1", "evaluate 0", "prepare 2", "evaluate 1", "evaluate 2"]


@pytest.fixture(scope="module")
def dataset() -> Any:
    setup = quick_setup()
    return load_dataset("digits", setup.recipe.data)


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """Names of the threads that compiled a step."""
    names: list[str] = []

    def note(event: str, seconds: float, **about: Any) -> None:
        if event.endswith("/backend_compile_duration") and about.get("fun_name") == "jit(_fun)":
            names.append(threading.current_thread().name)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield names
    jax.monitoring.unregister_event_duration_listener(note)


def test_compiling_ahead_changes_no_bit_and_compiles_each_program_once(
    dataset: Any, compilations: list[str]
) -> None:
    found = {}
    for ahead in (False, True):
        recipe, devices = quick_setup().recipe, jax.devices()[:1]
        bench = TrainedEvaluator(SPACE, dataset, recipe, devices, programs="own")
        compilations.clear()
        with closing(InProcessExecutor(bench, bench.prepare if ahead else None)) as executor:
            results, _ = run(executor, TWICE)
        found[ahead] = [(timeless(s.evaluation), s.variables) for _, s in results]
        in_thread = [name for name in compilations if name.startswith("compile_ahead")]
        assert len(compilations) == 2 * 2  # two networks, a training and an evaluation step
        assert len(in_thread) == (2 if ahead else 0)
    assert [e for e, _ in found[False]] == [e for e, _ in found[True]]
    jax.tree.map(
        np.testing.assert_array_equal, [v for _, v in found[False]], [v for _, v in found[True]]
    )
