import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

from experiments.evaluation_cache import CachedBenchmark
from xfernas_jax.evaluate.base import Evaluator, OnEpoch, Scored, Stop
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history import Job, Result, Storage, StudyRecord, StudySpec, Task
from xfernas_jax.search.desk import Desk
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.registry import make_optimizer
from xfernas_jax.search.search import Search
from xfernas_jax.search.seen import Seen
from xfernas_jax.space import get_space
from xfernas_jax.space.base import Genotype, Space

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPACE = get_space("nasbench201")
TASK = Task("images", "as given", 3)


class Counting:
    """A benchmark whose score follows from network, seed and its own offset; counts trainings."""

    def __init__(self, offset: float = 0.0, kill_at: int | None = None) -> None:
        self.count, self._offset, self._kill_at = 0, offset, kill_at

    @property
    def task(self) -> Task:
        return TASK

    @property
    def space(self) -> Space:
        return SPACE

    @property
    def recipe(self) -> str:
        return "recipe"

    def evaluate(
        self, job: Job, on_epoch: OnEpoch | None = None, stop: Stop | None = None
    ) -> Scored:
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        rng = np.random.default_rng([job.seed, *SPACE.encode(job.genotype)])
        score = float(0.5 * rng.random() + self._offset)
        if on_epoch is not None:
            on_epoch(1, score)
        result = Result("complete", score, (score,), (("params", 7.0),), 0.25 + self.count)
        return Scored(result, {"params": {"w": np.full(2, score)}})

    def test(self, genotype: Genotype, variables: Any) -> float:
        return float(variables["params"]["w"][0])


def cached(
    inner: Evaluator, storage: Storage, task: Task = TASK, recipe: str = "recipe"
) -> CachedBenchmark:
    folder = pathlib.Path(storage.url.removeprefix("sqlite:///")).parent / "variables"
    return CachedBenchmark(lambda: inner, SPACE, task, recipe, storage, folder)


def job(cell: Genotype, seed: int, purpose: Any = "search") -> Job:
    return Job(0, cell, SPACE.key(cell), seed, purpose)


def cells(count: int) -> list[Genotype]:
    rng = np.random.default_rng(0)
    return list({SPACE.key(g): g for g in (SPACE.sample(rng) for _ in range(3 * count))}.values())[
        :count
    ]


def open_storage(folder: pathlib.Path) -> Storage:
    return Storage(f"sqlite:///{folder / 'record.db'}")


def test_a_hit_is_the_identical_result_whatever_it_is_for(
    tmp_path: pathlib.Path,
) -> None:
    inner, (cell, _) = Counting(), cells(2)
    with open_storage(tmp_path) as storage:
        bench = cached(inner, storage)
        assert isinstance(bench, Evaluator)
        first = bench.evaluate(job(cell, 5)).result
        epochs: list[tuple[int, float]] = []
        again = bench.evaluate(job(cell, 5), lambda *x: epochs.append(x)).result
        other = bench.evaluate(job(cell, 5, "collect")).result
    assert inner.count == bench.num_trained == 1
    assert first == again == other
    assert epochs == [(1, first.value)]


def test_each_of_network_task_recipe_and_seed_is_part_of_the_key(tmp_path: pathlib.Path) -> None:
    inner, (cell, other) = Counting(), cells(2)
    with open_storage(tmp_path) as storage:
        bench = cached(inner, storage)
        bench.evaluate(job(cell, 0))
        assert inner.count == 1
        bench.evaluate(job(other, 0))
        assert inner.count == 2
        bench.evaluate(job(cell, 1))
        assert inner.count == 3
        for number, task in enumerate((Task("b", "as given", 3), Task("images", "60/20/20", 3)), 4):
            cached(inner, storage, task).evaluate(job(cell, 0))
            assert inner.count == number
        assert cached(inner, storage, recipe="other").cache.find(job(cell, 0)) is None
        for seed in (0, 1):
            known = cached(inner, storage).cache.find(job(cell, seed))
            assert known is not None
            assert known.seed == seed
        assert inner.count == 5


@pytest.mark.parametrize("purpose", ["confirm", "test"])
def test_a_confirmed_network_can_be_tested_by_a_later_process(
    tmp_path: pathlib.Path, purpose: str
) -> None:
    inner, (cell, _) = Counting(), cells(2)
    with open_storage(tmp_path) as storage:
        score = cached(inner, storage).evaluate(job(cell, 0)).result.value
        cached(inner, storage).evaluate(job(cell, 0, purpose))  # its variables were not kept
        assert inner.count == 2
        later = cached(inner, storage)
        found = later.evaluate(job(cell, 0, purpose))
        assert inner.count == 2
        assert later.test(cell, found.variables) == found.result.value
    assert found.result.value == score


def test_what_may_be_stopped_early_passes_by(tmp_path: pathlib.Path) -> None:
    inner, (cell, _) = Counting(), cells(2)
    with open_storage(tmp_path) as storage:
        bench = cached(inner, storage)
        for _ in range(2):
            bench.evaluate(job(cell, 0), stop=lambda curve: True)
        assert inner.count == 2
        assert bench.cache.find(job(cell, 0)) is None


def test_two_writers_agree_on_the_first_record(tmp_path: pathlib.Path) -> None:
    (cell, _) = cells(2)
    with open_storage(tmp_path) as one, open_storage(tmp_path) as two:
        slow = cached(Counting(), two)
        assert slow.cache.find(job(cell, 0)) is None
        first = cached(Counting(), one).evaluate(job(cell, 0)).result
        late = slow.cache.add(job(cell, 0), Scored(dataclasses.replace(first, seconds=99.0)))
    assert late.seconds == first.seconds


@pytest.mark.slow
def test_a_kill_loses_only_what_ran(tmp_path: pathlib.Path) -> None:
    code = f"""
        import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
        import pathlib, test_experiments_evaluation_cache as t
        with t.open_storage(pathlib.Path({str(tmp_path)!r})) as storage:
            bench = t.cached(t.Counting(kill_at=3), storage)
            for cell in t.cells(4):
                bench.evaluate(t.job(cell, 0))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    inner = Counting()
    with open_storage(tmp_path) as storage:
        bench = cached(inner, storage)
        assert len(bench.cache.evaluations()) == 2
        for cell in cells(4):
            bench.evaluate(job(cell, 0))
    assert inner.count == 2


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [(0, 0), (0, 1)])
def test_arms_of_one_seed_share_trainings_and_find_what_they_find_alone(
    tmp_path: pathlib.Path, seeds: tuple[int, int]
) -> None:
    inner, outcomes = Counting(), []
    with open_storage(tmp_path) as storage:
        for shared in (True, False):
            for name, seed in zip(("random", "evolution"), seeds, strict=True):
                bench = cached(inner, storage) if shared else Counting()
                study = f"{name}-{shared}"
                storage.create_or_open(StudySpec(study, "search", TASK, SPACE.name, "recipe", {}))
                desk = Desk(InProcessExecutor(bench), StudyRecord(storage, study), "recipe")
                optimizer, plan = make_optimizer(name, SPACE), SearchPlan(12, 4, seed, 1, 2)
                outcomes.append(Search(optimizer, desk, plan, Seen(SPACE)).run())
    cached_arms, alone = outcomes[:2], outcomes[2:]
    for found, expected in zip(cached_arms, alone, strict=True):
        assert found is not None
        assert expected is not None
        assert found.incumbent_curve == expected.incumbent_curve
        assert found.test == expected.test
    # Until its population is full, evolution is random search; so with one seed it trains nothing.
    assert inner.count == (12 + 2 if seeds == (0, 0) else 2 * (12 + 2))
