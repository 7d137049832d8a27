import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import jax
import numpy as np
import pytest
from executor_cases import (
    CELLS,
    OWN,
    Record,
    cpu_groups,
    job,
    quick_spec,
    timeless,
)

from xfernas_jax.errors import DatasetError, WorkerError
from xfernas_jax.evaluate.base import Scored, Stop
from xfernas_jax.executors.base import Executor
from xfernas_jax.executors.devices import DeviceGroup
from xfernas_jax.executors.local import LocalExecutor
from xfernas_jax.history.record import Job
from xfernas_jax.search.early_stop import Stopper

pytestmark = pytest.mark.slow
SPEC = quick_spec()


@pytest.fixture(scope="module")
def two_workers() -> Iterator[LocalExecutor]:
    with closing(LocalExecutor(SPEC, OWN, cpu_groups(2))) as executor:
        yield executor


def run_one(
    executor: Executor, job: Job, watcher: Record | None = None, stop: Stop | None = None
) -> Scored:
    executor.submit(job, stop)
    return executor.next_finished(watcher or Record())[1]


def check_same(first: Scored, second: Scored) -> None:
    assert timeless(first.result) == timeless(second.result)
    jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)


def test_two_workers_give_bit_for_bit_what_one_gives(two_workers: LocalExecutor) -> None:
    jobs = [job(number, CELLS[number % 2], seed=number // 2) for number in range(4)]
    found = []
    with closing(LocalExecutor(SPEC, OWN, cpu_groups(2)[:1])) as one_worker:  # of as many cores
        for executor in (two_workers, one_worker):
            record = Record()
            for each in jobs:
                executor.submit(each)
            results = dict(executor.next_finished(record) for _ in jobs)
            assert sorted(record.started_numbers) == [0, 1, 2, 3]
            assert sorted(record.epochs) == [(job.number, e) for job in jobs for e in (1, 2)]
            variables = results[jobs[0]].variables
            tested = executor.test(jobs[0].genotype, variables)
            found.append(([results[each] for each in jobs], tested))
    (two, two_tested), (one, one_tested) = found
    list(map(check_same, two, one))
    assert two_tested == one_tested
    assert two[0].result.curve != two[2].result.curve


def test_a_rule_stops_a_training_in_a_worker(two_workers: LocalExecutor) -> None:
    above = Stopper(references=((1.0,),), kept_shares=(0.0,))  # stops whatever is below 100 %
    scored = run_one(two_workers, job(0, CELLS[0], seed=0), stop=above)
    whole = run_one(two_workers, job(0, CELLS[0], seed=0)).result
    assert scored.result.status == "stopped"
    assert scored.result.curve == whole.curve[:1]


def test_a_worker_that_dies_is_replaced_and_its_evaluation_is_the_same(
    two_workers: LocalExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    class Kills(Record):
        def started(self, job: Any) -> None:
            if not self.started_numbers:
                worker: Any
                (worker,) = two_workers._running
                assert worker._process is not None
                worker._process.send_signal(signal.SIGKILL)
            super().started(job)

    asked, watch = job(6, CELLS[0], seed=3), Kills()
    check_same(run_one(two_workers, asked, watch), run_one(two_workers, asked))
    assert watch.started_numbers == [6, 6]
    assert "died over evaluation 7 (search) with signal SIGKILL" in caplog.text
    assert "try 2 of 3" in caplog.text


def test_an_evaluation_over_which_every_worker_dies_is_broken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    no_cores = DeviceGroup("GPU 3", {}, cores=(100_000,))  # there is no such core
    with closing(LocalExecutor(SPEC, OWN, [no_cores])) as executor:
        scored = run_one(executor, job(0, CELLS[0], seed=0))
    assert scored.result.status == "broken"
    assert scored.variables is None
    assert "GPU 3 died over evaluation 1 (search) with exit code 1" in scored.result.failure
    assert len(caplog.records) == 3


def test_a_test_over_which_every_worker_dies_is_an_error() -> None:
    no_cores = DeviceGroup("GPU 3", {}, cores=(100_000,))
    with (
        closing(LocalExecutor(SPEC, OWN, [no_cores])) as executor,
        pytest.raises(WorkerError, match="GPU 3 died over the test with exit code 1, as 2"),
    ):
        executor.test(CELLS[0], None)


def test_a_users_mistake_in_a_worker_is_raised_here() -> None:
    spec = quick_spec(dataset="npz:absent.npz")
    with closing(LocalExecutor(spec, OWN, cpu_groups(1))) as executor:
        with pytest.raises(DatasetError, match=r"absent\.npz"):
            run_one(executor, job(0, CELLS[0], seed=0))
        with pytest.raises(ValueError, match="none was submitted"):
            executor.next_finished(Record())


def is_running(process: int) -> bool:
    try:
        status = pathlib.Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"  # nobody waits for an orphan here


def test_a_worker_ends_when_its_parent_is_killed() -> None:
    folder = pathlib.Path(__file__).parent
    paths = [str(folder.parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    parent = subprocess.Popen(
        [sys.executable, folder / "executor_parent.py"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    (worker,) = map(int, parent.stdout.readline().split())
    assert is_running(worker)
    parent.kill()
    parent.communicate(timeout=30)
    end = time.monotonic() + 10
    while is_running(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not is_running(worker)
