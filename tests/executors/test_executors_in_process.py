import collections
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import jax
import numpy as np
import pytest
from executor_cases import CELLS, OWN, Record, job, quick_spec, timeless
from search_toy import Toy

from xfernas_jax.errors import DatasetError
from xfernas_jax.evaluate.base import Scored
from xfernas_jax.executors.base import Executor
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history.record import Job

JOBS = [job(number, cell, seed=number) for number, cell in enumerate(CELLS[:3])]
# Two are the same network, as the confirming trainings of a finalist are.
TWICE = [*JOBS[:2], job(2, CELLS[1], seed=9)]


class Waits(Toy):
    """An evaluation lasts until the next one's preparation has begun."""

    def __init__(self) -> None:
        super().__init__(lambda asked: 0.5)
        self.prepared: dict[Any, threading.Event] = collections.defaultdict(threading.Event)
        self.seen: list[str] = []

    def prepare(self, genotype: Any) -> None:
        self.seen.append(f"prepare {CELLS.index(genotype)}")
        self.prepared[genotype].set()

    def evaluate(self, job: Job, on_epoch: Any = None, stop: Any = None) -> Scored:
        if job.seed + 1 < len(JOBS):
            assert self.prepared[CELLS[job.seed + 1]].wait(30)
        self.seen.append(f"evaluate {CELLS.index(job.genotype)}")
        on_epoch(1, 0.5)
        return super().evaluate(job)


def run(executor: Executor, jobs: list[Job]) -> tuple[list[Any], Record]:
    record = Record()
    for each in jobs:
        executor.submit(each)
    return [executor.next_finished(record) for _ in jobs], record


def test_jobs_run_in_order_and_are_told_to_the_watcher() -> None:
    evaluator = Waits()
    with closing(InProcessExecutor(evaluator, evaluator.prepare)) as executor:
        results, record = run(executor, JOBS)
        assert [each for each, _ in results] == JOBS
        assert record.started_numbers == [0, 1, 2]
        assert record.epochs == [(0, 1), (1, 1), (2, 1)]
        with pytest.raises(ValueError, match="none was submitted"):
            executor.next_finished(record)
        assert executor.test(CELLS[0], {"seed": 2**31}) == 0.5
    assert evaluator.seen == ["prepare 1", "evaluate 0", "prepare 2", "evaluate 1", "evaluate 2"]


def test_the_rule_of_a_job_reaches_its_evaluation() -> None:
    rules: list[Any] = []

    def never(values: Sequence[float]) -> bool:
        return False

    class Asked(Toy):
        def evaluate(self, job: Job, on_epoch: Any = None, stop: Any = None) -> Scored:
            rules.append(stop)
            return super().evaluate(job)

    with closing(InProcessExecutor(Asked())) as executor:
        executor.submit(JOBS[0], never)
        executor.submit(JOBS[1])
        for _ in range(2):
            executor.next_finished(Record())
    assert rules == [never, None]


def raises(error: BaseException) -> Any:
    def score(asked: Job) -> float:
        if asked.number == 1:
            raise error
        return 0.5

    return score


@pytest.mark.parametrize(
    "error", [TypeError("not\nthis"), MemoryError("RESOURCE_EXHAUSTED: Out of memory")]
)
def test_an_exception_is_a_broken_result_and_the_next_job_runs(error: Exception) -> None:
    with closing(InProcessExecutor(Toy(raises(error)))) as executor:
        results, _ = run(executor, JOBS)
    assert [scored.result.status for _, scored in results] == ["complete", "broken", "complete"]
    broken = results[1][1]
    assert broken.variables is None
    line = raises.__code__.co_firstlineno + 3
    place = f"{type(error).__name__} at test_executors_in_process.py:{line}: "
    assert broken.result.failure == place + str(error).replace("\n", " ")


@pytest.mark.parametrize("error", [DatasetError("absent"), KeyboardInterrupt(), SystemExit(3)])
def test_a_users_mistake_and_what_ends_the_process_pass(error: BaseException) -> None:
    with closing(InProcessExecutor(Toy(raises(error)))) as executor, pytest.raises(type(error)):
        run(executor, JOBS)


def test_what_the_watcher_raises_passes() -> None:
    class Fails(Record):
        def epoch(self, job: Any, epoch: int, value: float) -> None:
            raise LookupError("of the watcher")

    class Tells(Toy):
        def evaluate(self, job: Job, on_epoch: Any = None, stop: Any = None) -> Scored:
            on_epoch(1, 0.5)
            return super().evaluate(job)

    with closing(InProcessExecutor(Tells())) as executor:
        executor.submit(JOBS[0])
        with pytest.raises(LookupError, match="of the watcher"):
            executor.next_finished(Fails())


@pytest.fixture(scope="module")
def dataset() -> Any:
    return quick_spec().load()


@pytest.fixture
def compilations() -> Iterator[list[str]]:
    """Names of the threads that compiled a step."""
    names: list[str] = []

    def note(event: str, duration_secs: float, **about: str | int) -> None:
        if event.endswith("/backend_compile_duration") and about.get("fun_name") == "jit(_fun)":
            names.append(threading.current_thread().name)

    jax.monitoring.register_event_duration_secs_listener(note)
    yield names
    jax.monitoring.unregister_event_duration_listener(note)


@pytest.mark.slow
def test_compiling_ahead_changes_no_bit_and_compiles_each_program_once(
    dataset: Any, compilations: list[str]
) -> None:
    found = {}
    for ahead in (False, True):
        evaluator = quick_spec().build(OWN, jax.devices()[:1], dataset)
        compilations.clear()
        with closing(
            InProcessExecutor(evaluator, evaluator.prepare if ahead else None)
        ) as executor:
            results, _ = run(executor, TWICE)
        found[ahead] = [(timeless(s.result), s.variables) for _, s in results]
        in_thread = [name for name in compilations if name.startswith("compile_ahead")]
        assert len(compilations) == 2 * 2  # two networks, a training and an evaluation step
        assert len(in_thread) == (2 if ahead else 0)
    assert [e for e, _ in found[False]] == [e for e, _ in found[True]]
    jax.tree.map(
        np.testing.assert_array_equal, [v for _, v in found[False]], [v for _, v in found[True]]
    )
