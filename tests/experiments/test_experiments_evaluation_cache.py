import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from experiments.evaluation_cache import CachedBenchmark
from xfernas_jax.evaluate.base import Evaluator, Scored
from xfernas_jax.executors.base import Job
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history import Evaluation, Purpose, Storage, StudySpec, Task
from xfernas_jax.search.loop import LoopConfig, run_search
from xfernas_jax.search.registry import make_optimizer
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
        self,
        genotype: Genotype,
        seed: int,
        purpose: Purpose = "search",
        on_epoch: Callable[[int, float], None] | None = None,
        stop: Callable[[Sequence[float]], bool] | None = None,
    ) -> Scored:
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        rng = np.random.default_rng([seed, *SPACE.encode(genotype)])
        score = float(0.5 * rng.random() + self._offset)
        if on_epoch is not None:
            on_epoch(1, score)
        found = Evaluation(
            genotype, "recipe", seed, "complete", score, (score,), 7, 0.25 + self.count, purpose
        )
        return Scored(found, {"params": {"w": np.full(2, score)}})

    def test_accuracy(self, genotype: Genotype, variables: Any) -> float:
        return float(variables["params"]["w"][0])


def cached(
    inner: Evaluator, storage: Storage, task: Task = TASK, recipe: str = "recipe"
) -> CachedBenchmark:
    folder = pathlib.Path(storage.url.removeprefix("sqlite:///")).parent / "variables"
    return CachedBenchmark(lambda: inner, SPACE, task, recipe, storage, folder)


def cells(count: int) -> list[Genotype]:
    rng = np.random.default_rng(0)
    return list({SPACE.key(g): g for g in (SPACE.sample(rng) for _ in range(3 * count))}.values())[
        :count
    ]


def open_storage(folder: pathlib.Path) -> Storage:
    return Storage(f"sqlite:///{folder / 'record.db'}")


def test_a_hit_is_the_identical_evaluation_under_the_purpose_that_is_asked_for(
    tmp_path: pathlib.Path,
) -> None:
    inner, (cell, _) = Counting(), cells(2)
    with open_storage(tmp_path) as storage:
        bench = cached(inner, storage)
        assert isinstance(bench, Evaluator)
        first = bench.evaluate(cell, 5).evaluation
        epochs: list[tuple[int, float]] = []
        again = bench.evaluate(cell, 5, on_epoch=lambda *x: epochs.append(x)).evaluation
        other = bench.evaluate(cell, 5, "collect").evaluation
    assert inner.count == bench.num_trained == 1
    assert again == first
    assert other == dataclasses.replace(first, purpose="collect")
    assert epochs == [(1, first.valid_accuracy)]


def test_each_of_network_task_recipe_and_seed_is_part_of_the_key(tmp_path: pathlib.Path) -> None:
    inner, (cell, other) = Counting(), cells(2)
    with open_storage(tmp_path) as storage:
        bench = cached(inner, storage)
        bench.evaluate(cell, 0)
        assert inner.count == 1
        bench.evaluate(other, 0)
        assert inner.count == 2
        bench.evaluate(cell, 1)
        assert inner.count == 3
        for number, task in enumerate((Task("b", "as given", 3), Task("images", "60/20/20", 3)), 4):
            cached(inner, storage, task).evaluate(cell, 0)
            assert inner.count == number
        assert cached(inner, storage, recipe="other").cache.find(cell, 0) is None
        for seed in (0, 1):
            assert cached(inner, storage).evaluate(cell, seed).evaluation.seed == seed
        assert inner.count == 5


def test_a_confirmed_network_can_be_tested_by_a_later_process(tmp_path: pathlib.Path) -> None:
    inner, (cell, _) = Counting(), cells(2)
    with open_storage(tmp_path) as storage:
        score = cached(inner, storage).evaluate(cell, 0).evaluation.valid_accuracy
        cached(inner, storage).evaluate(cell, 0, "confirm")  # its variables were not kept
        assert inner.count == 2
        later = cached(inner, storage)
        found = later.evaluate(cell, 0, "confirm")
        assert inner.count == 2
        assert later.test_accuracy(cell, found.variables) == found.evaluation.valid_accuracy
    assert found.evaluation.valid_accuracy == score


def test_what_may_be_stopped_early_passes_by(tmp_path: pathlib.Path) -> None:
    inner, (cell, _) = Counting(), cells(2)
    with open_storage(tmp_path) as storage:
        bench = cached(inner, storage)
        for _ in range(2):
            bench.evaluate(cell, 0, stop=lambda curve: True)
        assert inner.count == 2
        assert bench.cache.find(cell, 0) is None


def test_two_writers_agree_on_the_first_record(tmp_path: pathlib.Path) -> None:
    (cell, _) = cells(2)
    with open_storage(tmp_path) as one, open_storage(tmp_path) as two:
        slow = cached(Counting(), two)
        assert slow.cache.find(cell, 0) is None
        first = cached(Counting(), one).evaluate(cell, 0).evaluation
        late = slow.cache.add(dataclasses.replace(first, seconds=99.0))
    assert late.seconds == first.seconds


@pytest.mark.slow
def test_a_kill_loses_only_what_ran(tmp_path: pathlib.Path) -> None:
    code = f"""
        import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
        import pathlib, test_experiments_evaluation_cache as t
        with t.open_storage(pathlib.Path({str(tmp_path)!r})) as storage:
            bench = t.cached(t.Counting(kill_at=3), storage)
            for cell in t.cells(4):
                bench.evaluate(cell, 0)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    inner = Counting()
    with open_storage(tmp_path) as storage:
        bench = cached(inner, storage)
        assert len(bench.cache.evaluations()) == 2
        for cell in cells(4):
            bench.evaluate(cell, 0)
    assert inner.count == 2


class Ignoring:
    """A listener that does nothing."""

    def started(self, job: Job) -> None: ...

    def epoch(self, job: Job, epoch: int, valid_accuracy: float) -> None: ...

    def finished(self, job: Job, evaluation: Evaluation) -> None: ...


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
                executor = InProcessExecutor(bench)
                config = LoopConfig(12, 4, seed, 1, 2)
                outcomes.append(
                    run_search(
                        make_optimizer(name, SPACE), executor, storage, study, config, Ignoring()
                    )
                )
                executor.close()
    cached_arms, alone = outcomes[:2], outcomes[2:]
    for found, expected in zip(cached_arms, alone, strict=True):
        assert found is not None
        assert expected is not None
        assert found.incumbent_curve == expected.incumbent_curve
        assert found.test_accuracy == expected.test_accuracy
    # Until its population is full, evolution is random search; so with one seed it trains nothing.
    assert inner.count == (12 + 2 if seeds == (0, 0) else 2 * (12 + 2))
