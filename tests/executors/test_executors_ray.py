import dataclasses
import json
import os
import pathlib
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import jax
import numpy as np
import pytest
from executor_cases import CELLS, OWN, Record, job, quick_spec, timeless
from ray_cases import NEEDS_RAY, check_none_left, kill_running, start_search

from xfernas_jax.errors import ClusterError, DatasetError, DeviceError
from xfernas_jax.evaluate.base import Scored, Stop
from xfernas_jax.executors import ray_cluster
from xfernas_jax.executors.base import Executor
from xfernas_jax.executors.ray import RayExecutor
from xfernas_jax.executors.ray_resources import Reservation, reserve
from xfernas_jax.history.record import Job
from xfernas_jax.search.early_stop import Stopper
from xfernas_jax.train.checkpoint import VariablesStore

ONE_CPU = Reservation("cpu", 1)
JOBS = [job(number, CELLS[number % 2], seed=number // 2) for number in range(4)]
pytestmark = [pytest.mark.slow, NEEDS_RAY]


@pytest.fixture(scope="module")
def own_ray() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
            patch.delenv(name, raising=False)
        ray_cluster.connect(None, num_cpus=3)  # for `two_workers` and another
        yield
        ray_cluster.disconnect()


@pytest.fixture(scope="module")
def two_workers(own_ray: None) -> Iterator[RayExecutor]:
    with closing(RayExecutor(quick_spec(), OWN, ONE_CPU, 2)) as executor:
        yield executor


def run_one(
    executor: Executor, job: Job, watcher: Record | None = None, stop: Stop | None = None
) -> Scored:
    executor.submit(job, stop)
    return executor.next_finished(watcher or Record())[1]


def check_same(first: Scored, second: Scored) -> None:
    assert timeless(first.result) == timeless(second.result)
    jax.tree.map(np.testing.assert_array_equal, first.variables, second.variables)


def test_progress_and_results_of_two_actors_come_here(two_workers: RayExecutor) -> None:
    record = Record()
    for each in JOBS:
        two_workers.submit(each)
    results = dict(two_workers.next_finished(record) for _ in JOBS)
    assert set(results) == set(JOBS)
    assert sorted(record.started_numbers) == [0, 1, 2, 3]
    assert sorted(record.epochs) == [(each.number, e) for each in JOBS for e in (1, 2)]
    variables = results[JOBS[1]].variables
    again = run_one(two_workers, JOBS[1])
    check_same(results[JOBS[1]], again)
    tested = [two_workers.test(CELLS[1], v) for v in (variables, again.variables)]
    assert tested[0] == tested[1]
    assert all(leaf.flags.writeable for leaf in jax.tree.leaves(variables))  # none is Ray's


def test_two_actors_of_a_node_run_on_different_cores(two_workers: RayExecutor) -> None:
    shares = {
        worker.place.process: worker.share
        for worker in two_workers._actors
        if worker.place is not None
    }
    assert sorted(shares.values()) == [0, 1]
    every = sorted(os.sched_getaffinity(0))
    for process, share in shares.items():
        threads = [int(thread) for thread in os.listdir(f"/proc/{process}/task")]
        kept = [t for t in threads if os.sched_getaffinity(t) == {every[share % len(every)]}]
        assert kept or len(every) == 1


def test_a_rule_stops_a_training_in_an_actor(two_workers: RayExecutor) -> None:
    above = Stopper(references=((1.0,),), kept_shares=(0.0,))  # stops whatever is below 100 %
    scored = run_one(two_workers, JOBS[0], stop=above)
    assert scored.result.status == "stopped"
    assert len(scored.result.curve) == 1


def test_an_actor_that_dies_is_replaced_and_its_evaluation_goes_on_where_it_was(
    own_ray: None, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes = "train.epochs=15"
    runtime = dataclasses.replace(
        OWN, unfinished_dir=str(tmp_path), evaluation_checkpoint_seconds=1e-9
    )

    class Kills(Record):
        def epoch(self, job: Any, epoch: int, value: float) -> None:
            if epoch == 5 and len(self.started_numbers) == 1:
                kill_running(executor)
            super().epoch(job, epoch, value)

    asked, watch = job(6, CELLS[0], seed=3), Kills()
    with closing(RayExecutor(quick_spec(changes), runtime, ONE_CPU, 1)) as executor:
        broken = run_one(executor, asked, watch)
        whole = run_one(executor, asked)
    check_same(broken, whole)
    assert watch.started_numbers == [6, 6]
    epochs = [epoch for _, epoch in watch.epochs]
    breaks = [i for i in range(1, len(epochs)) if epochs[i] != epochs[i - 1] + 1]
    # What the lost actor told last, and where the next one goes on, may fit without a gap.
    (again,) = breaks or [epochs.index(6)]
    assert epochs[again] >= 4  # the checkpoint of epoch 4 was done before that of 5 began
    assert epochs[again:] == list(range(epochs[again], 16))
    assert "died over evaluation 7 (search) with the reason that its worker process has" in (
        caplog.text
    )
    assert "try 2 of 3" in caplog.text
    assert not list(tmp_path.iterdir())


def test_a_users_mistake_in_an_actor_is_raised_here(own_ray: None) -> None:
    spec = quick_spec(dataset="npz:absent.npz")
    with closing(RayExecutor(spec, OWN, ONE_CPU, 1)) as executor:
        with pytest.raises(DatasetError, match=r"absent\.npz"):
            run_one(executor, JOBS[0])
        with pytest.raises(ValueError, match="none was submitted"):
            executor.next_finished(Record())


def test_devices_that_jax_does_not_find_on_a_node_are_named(own_ray: None) -> None:
    class Unseen(Reservation):
        @property
        def options(self) -> dict[str, Any]:
            return ONE_CPU.options  # Ray has room for it

    with (
        closing(RayExecutor(quick_spec(), OWN, Unseen("gpu", 1), 1)) as executor,
        pytest.raises(DeviceError, match=r"reserved 1 GPU on the node .* JAX finds . CPU"),
    ):
        run_one(executor, JOBS[0])


def test_an_own_ray_listens_on_the_loopback_interface_alone(own_ray: None) -> None:
    (node,) = ray_cluster.import_ray().nodes()
    assert node["NodeManagerAddress"] == "127.0.0.1"
    assert reserve(ray_cluster.living_nodes(), 1)[0] == ONE_CPU


def test_a_search_on_ray_finds_what_one_in_its_own_process_finds_and_leaves_no_process(
    tmp_path: pathlib.Path,
) -> None:
    cores, mark, results = os.sched_getaffinity(0), uuid.uuid4().hex, []
    for executor, its in (("ray", cores), ("local", {min(cores)})):  # an actor has one core
        folder = tmp_path / executor
        words = [f"--executor={executor}", f"--workdir={folder}", f"--output={folder}.json"]
        process = start_search(*words, cores=its, mark=mark)
        printed, _ = process.communicate(timeout=180)
        assert process.returncode == 0, printed
        result = json.loads(pathlib.Path(f"{folder}.json").read_text())
        result.pop("seconds")
        store = VariablesStore(folder / "studies" / result["study"] / "variables")
        results.append((result, store.load(result["variables"])))
    (on_ray, its_variables), (here, own_variables) = results
    assert on_ray == here
    assert jax.tree.leaves(own_variables)
    jax.tree.map(np.testing.assert_array_equal, its_variables, own_variables)
    check_none_left(mark)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.0.0.1", "neither auto nor HOST:PORT"),
        ("10.0.0.1:65536", "neither auto nor HOST:PORT"),
        ("127.0.0.1:{closed}", "nothing answers there"),
        ("127.0.0.1:{silent}", "no Ray answered"),
        ("auto", "no Ray answered"),  # $RAY_ADDRESS says where it was
    ],
)
def test_an_address_without_a_cluster_is_one_line_in_bounded_time(
    address: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "_PROBE_SECONDS", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = {"silent": silent.getsockname()[1], "closed": closed.getsockname()[1]}
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{ports['closed']}")
        start = time.monotonic()
        with pytest.raises(ClusterError, match=words) as found:
            ray_cluster.connect(address.format(**ports))
    assert time.monotonic() - start < 30
    assert "\n" not in str(found.value)
