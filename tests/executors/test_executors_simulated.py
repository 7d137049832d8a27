from typing import Any

import pytest
from executor_cases import CELLS, Record, job
from search_toy import Toy, complete

from xfernas_jax.executors.simulated import SimulatedExecutor


def run(seconds: list[float], speeds: tuple[float, ...]) -> list[tuple[int, float]]:
    """Returns the numbers of jobs as they finish, and the clock at each."""
    toy = Toy(lambda asked: complete(0.5, seconds=seconds[asked.number]))
    executor, record = SimulatedExecutor(toy, speeds), Record()
    for number in range(len(seconds)):
        executor.submit(job(number, CELLS[number % 3], number))
    found = []
    for _ in seconds:
        finished, _ = executor.next_finished(record)
        found.append((finished.number, executor.clock))
    assert record.started_numbers == list(range(len(seconds)))
    return found


def test_one_worker_takes_the_sum_of_the_seconds() -> None:
    assert run([3.0, 1.0, 2.0], (1.0,)) == [(0, 3.0), (1, 4.0), (2, 6.0)]


def test_a_free_worker_takes_the_next_job_when_another_still_works() -> None:
    # Worker 0 is busy to 10; worker 1 ends job 1 at 4, and does job 2 to 5 and job 3 to 8.
    assert run([10.0, 4.0, 1.0, 3.0], (1.0, 1.0)) == [(1, 4.0), (2, 5.0), (3, 8.0), (0, 10.0)]


def test_speed_divides_seconds() -> None:
    assert run([8.0, 8.0], (1.0, 4.0)) == [(1, 2.0), (0, 8.0)]


def test_of_those_that_finish_together_the_one_submitted_first_is_first() -> None:
    # Job 1 ends at 1, and job 2 in its place at 2, as job 0 does.
    assert run([2.0, 1.0, 1.0], (1.0, 1.0)) == [(1, 1.0), (0, 2.0), (2, 2.0)]


def test_a_job_that_is_submitted_later_starts_at_the_clock() -> None:
    executor = SimulatedExecutor(Toy(lambda asked: complete(0.5, seconds=2.0)), (1.0, 1.0))
    executor.submit(job(0, CELLS[0], 0))
    executor.next_finished(Record())
    executor.submit(job(1, CELLS[1], 1))
    executor.next_finished(Record())
    assert executor.clock == 4.0


def test_what_breaks_is_a_result() -> None:
    def fails(asked: Any) -> float:
        raise TypeError("not this")

    executor = SimulatedExecutor(Toy(fails), (1.0,))
    executor.submit(job(0, CELLS[0], 0))
    _, scored = executor.next_finished(Record())
    assert scored.result.status == "broken"
    with pytest.raises(ValueError, match="none was submitted"):
        executor.next_finished(Record())


@pytest.mark.parametrize("speeds", [(), (1.0, 0.0)])
def test_workers_without_speed_are_refused(speeds: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="speed above 0"):
        SimulatedExecutor(Toy(), speeds)
