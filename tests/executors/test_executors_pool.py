"""The pool with workers that are objects of this process: no process is started."""

import pickle
import queue
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from executor_cases import CELLS, SPACE, Record, job
from search_toy import Toy

from xfernas_jax.errors import DatasetError, WorkerError
from xfernas_jax.executors.pool import PoolExecutor, WorkerLost
from xfernas_jax.executors.serving import serve
from xfernas_jax.history.record import Job


class ThreadWorker:
    """Serves an evaluator in a thread; `deaths` says how often it dies when it is asked."""

    def __init__(self, name: str, evaluator: Any, deaths: int = 0) -> None:
        self.name, self.evaluator, self.deaths = name, evaluator, deaths
        self.requests: Any = None

    @property
    def is_started(self) -> bool:
        return self.requests is not None

    @property
    def is_ready(self) -> bool:
        return self.is_started

    def start(self) -> None:
        self.requests, self.messages = queue.SimpleQueue(), queue.SimpleQueue()
        arguments = (lambda: self.evaluator, self.requests, self.messages.put)
        threading.Thread(target=serve, args=arguments, daemon=True).start()

    def send(self, request: tuple[Any, ...]) -> None:
        if self.deaths:
            self.deaths -= 1
            self.messages.put(None)
        else:
            self.requests.put(pickle.dumps(request))

    def receive(self) -> tuple[Any, ...]:
        message = self.messages.get(timeout=30)
        if message is None:
            raise WorkerLost
        return message

    def end(self) -> str:
        self.requests = None
        return "a test"


def listen(workers: Sequence[ThreadWorker]) -> list[ThreadWorker]:
    while True:
        ready = [worker for worker in workers if not worker.messages.empty()]
        if ready:
            return ready


def pool(*workers: ThreadWorker) -> PoolExecutor:
    return PoolExecutor(SPACE, workers, listen)


JOBS = [job(number, cell, number) for number, cell in enumerate(CELLS)]


def score(asked: Job) -> float:
    if asked.number == 1:
        raise TypeError("not this")
    return 0.5


def test_an_exception_in_a_worker_is_a_broken_result() -> None:
    executor, record = pool(ThreadWorker("a", Toy(score)), ThreadWorker("b", Toy(score))), Record()
    for each in JOBS:
        executor.submit(each)
    found = dict(executor.next_finished(record) for _ in JOBS)
    assert [found[each].result.status for each in JOBS] == ["complete", "broken", "complete"]
    failure = found[JOBS[1]].result.failure
    assert failure.startswith("TypeError at test_executors_pool.py:")
    assert failure.endswith(": not this")


@pytest.mark.parametrize(("deaths", "status"), [(2, "complete"), (3, "broken")])
def test_an_evaluation_over_which_three_workers_die_is_broken(deaths: int, status: str) -> None:
    executor = pool(ThreadWorker("a", Toy(), deaths))
    for each in JOBS[:2]:
        executor.submit(each)
    found = [executor.next_finished(Record()) for _ in range(2)]
    assert [each.number for each, _ in found] == [0, 1]
    assert [scored.result.status for _, scored in found] == [status, "complete"]
    if status == "broken":
        assert found[0][1].result.failure == (
            "a died over evaluation 1 (search) with a test, as 2 workers before it did."
        )


def test_a_test_waits_for_its_own_answer_and_keeps_what_finishes_meanwhile() -> None:
    executor = pool(ThreadWorker("a", Toy()))
    for each in JOBS[:2]:
        executor.submit(each)
    assert executor.test(CELLS[0], {"seed": 2**30}) == 0.25
    found = [executor.next_finished(Record())[0] for _ in range(2)]
    assert found == JOBS[:2]
    with pytest.raises(ValueError, match="none was submitted"):
        executor.next_finished(Record())


def test_errors_of_a_test_and_users_mistakes_stay_errors() -> None:
    def mistaken(asked: Job) -> float:
        raise DatasetError("absent")

    executor = pool(ThreadWorker("a", Toy(mistaken)))
    with pytest.raises(RuntimeError, match="KeyError"):
        executor.test(CELLS[0], {})
    executor.submit(JOBS[0])
    with pytest.raises(DatasetError, match="absent"):
        executor.next_finished(Record())
    with pytest.raises(WorkerError, match="over the test with a test, as 2 workers"):
        pool(ThreadWorker("a", Toy(), 3)).test(CELLS[0], {})
