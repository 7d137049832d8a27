# pyright: reportAttributeAccessIssue=false
import dataclasses
import importlib
import os
import pathlib
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import jax
import numpy as np
import pytest
from executor_cases import CELLS, OWN, Record, job, quick_spec, timeless
from ray_cases import (
    HANG_SECONDS,
    NEEDS_RAY,
    check_none_left,
    kill_running,
    marked,
    start_search,
)

from xfernas_jax.executors import ray_cluster
from xfernas_jax.executors.ray import RayExecutor
from xfernas_jax.executors.ray_resources import Reservation, reserve

pytestmark = NEEDS_RAY


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of a head without CPUs; this process is connected to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # keeps to 127.0.0.1
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        cluster = importlib.import_module("ray.cluster_utils").Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0}
        )
        ray_cluster.connect(cluster.address)
        yield cluster
        ray_cluster.disconnect()
        cluster.shutdown()


def add_node(cluster: Any) -> Any:
    """Adds a node with one CPU and returns it."""
    return cluster.add_node(num_cpus=1)


def test_a_lost_node_costs_no_evaluation_and_no_finished_epoch(
    cluster: Any, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = {node.node_id: node for node in (add_node(cluster), add_node(cluster))}
    runtime = dataclasses.replace(
        OWN, unfinished_dir=str(tmp_path), evaluation_checkpoint_seconds=1e-9
    )
    reserved, num_workers = reserve(ray_cluster.living_nodes(), 1)
    assert (reserved, num_workers) == (Reservation("cpu", 1), 2)
    jobs = [job(0, CELLS[0], seed=0), job(1, CELLS[1], seed=1)]

    class Removes(Record):
        def epoch(self, job: Any, epoch: int, value: float) -> None:
            super().epoch(job, epoch, value)
            if epoch == 5 and len(nodes) == 2:
                places = {task.job.number: w.place for w, task in executor._running.items()}
                lost.append(job.number)
                node = nodes.pop(places[job.number].node)
                cluster.remove_node(node, allow_graceful=False)

    lost: list[int] = []
    watch = Removes()
    spec = quick_spec("train.epochs=40")
    with closing(RayExecutor(spec, runtime, reserved, num_workers)) as executor:
        for each in jobs:
            executor.submit(each)
        found = dict(executor.next_finished(watch) for _ in jobs)
        (number,) = lost
        executor.submit(jobs[number])
        whole = executor.next_finished(Record())[1]
    cut_off = found[jobs[number]]
    assert timeless(cut_off.result) == timeless(whole.result)
    jax.tree.map(np.testing.assert_array_equal, cut_off.variables, whole.variables)
    assert all(scored.result.status == "complete" for scored in found.values())
    assert "it cannot be reached" in caplog.text or "its node has died" in caplog.text
    assert "try 2 of 3" in caplog.text
    epochs = [epoch for told, epoch in watch.epochs if told == number]
    (again,) = (i for i in range(1, len(epochs)) if epochs[i] != epochs[i - 1] + 1)
    assert epochs[again] >= 4
    cluster.remove_node(*nodes.values())


def test_a_node_that_joins_later_takes_the_place_of_a_lost_one(
    cluster: Any, caplog: pytest.LogCaptureFixture
) -> None:
    node = add_node(cluster)
    with closing(RayExecutor(quick_spec(), OWN, Reservation("cpu", 1), 1)) as executor:
        executor.submit(job(0, CELLS[0], seed=0))
        executor.next_finished(Record())
        cluster.remove_node(node, allow_graceful=False)
        node = add_node(cluster)
        executor.submit(job(1, CELLS[0], seed=0))
        finished, scored = executor.next_finished(Record())
    assert (finished.number, scored.result.status) == (1, "complete")
    assert "died" in caplog.text
    cluster.remove_node(node)


def test_an_evaluation_over_which_every_actor_dies_is_broken(
    cluster: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class KillsAll(Record):
        def started(self, job: Any) -> None:
            kill_running(executor)

    node = add_node(cluster)
    spec = quick_spec("train.epochs=100000")
    with closing(RayExecutor(spec, OWN, Reservation("cpu", 1), 1)) as executor:
        executor.submit(job(0, CELLS[0], seed=0))
        _, scored = executor.next_finished(KillsAll())
    assert scored.result.status == "broken"
    expected = r"Ray worker 0 on .* died over evaluation 1 .*, as 2"
    assert re.match(expected, scored.result.failure)
    assert len(caplog.records) == 3
    cluster.remove_node(node)


def test_a_search_that_is_killed_takes_its_ray_with_it(tmp_path: pathlib.Path) -> None:
    mark = uuid.uuid4().hex
    words = ["--executor=ray", f"--workdir={tmp_path}", "--set=train.epochs=100000"]
    process = start_search(*words, cores=os.sched_getaffinity(0), mark=mark)
    end = time.monotonic() + HANG_SECONDS
    while not any("EvaluationActor" in name for name in marked(mark)) and time.monotonic() < end:
        assert process.poll() is None
        time.sleep(0.2)
    assert any("EvaluationActor" in name for name in marked(mark))
    process.kill()
    process.communicate(timeout=60)
    check_none_left(mark)
