"""What every executor must keep."""

from collections.abc import Sequence
from contextlib import closing

from xfernas_jax.executors.base import Executor
from xfernas_jax.history.record import Evaluation, Job


class _Watcher:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.started_numbers: list[int] = []
        self.epochs: list[tuple[int, int]] = []

    def started(self, job: Job) -> None:
        self.started_numbers.append(job.number)

    def epoch(self, job: Job, epoch: int, value: float) -> None:
        self.epochs.append((job.number, epoch))

    def finished(self, evaluation: Evaluation) -> None: ...


class ExecutorContract:
    """Inherit it, and write `open` and `jobs`."""

    def open(self) -> Executor:
        """Returns a new executor."""
        raise NotImplementedError

    def jobs(self) -> Sequence[Job]:
        """Returns at least two jobs that it can do, with numbers from 0."""
        raise NotImplementedError

    def test_every_job_comes_back_once(self) -> None:
        jobs, watcher = list(self.jobs()), _Watcher()
        with closing(self.open()) as executor:
            assert isinstance(executor, Executor)
            assert executor.num_workers >= 1
            for job in jobs:
                executor.submit(job)
            found = [executor.next_finished(watcher) for _ in jobs]
        assert sorted(job.number for job, _ in found) == list(range(len(jobs)))
        assert all(job == jobs[job.number] for job, _ in found)
        assert set(watcher.started_numbers) == set(range(len(jobs)))
        for job, scored in found:
            assert scored.result.status == "complete", scored.result.failure
            told = [epoch for number, epoch in watcher.epochs if number == job.number]
            assert told == sorted(told)

    def test_waiting_for_nothing_is_an_error(self) -> None:
        with closing(self.open()) as executor:
            try:
                executor.next_finished(_Watcher())
            except ValueError:
                return
        raise AssertionError("next_finished without a job must raise ValueError")
