"""The loop with evaluations that finish in any order."""

import pathlib
from typing import Any

import numpy as np
import pytest

from xfernas_jax.evaluate.base import Scored
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history import Storage, StudySpec, default_storage_url
from xfernas_jax.history.record import Evaluation, Task
from xfernas_jax.search.collect import collect_random
from xfernas_jax.search.loop import LoopConfig, run_search
from xfernas_jax.search.registry import make_optimizer
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
TASK = Task("synthetic", "none", 2)
LOOP = LoopConfig(budget_evaluations=14, batch_size=4, seed=1, confirm_seeds=3, num_finalists=2)


class BySeed:
    """Scores an architecture by its cell and, a little, by the seed."""

    task, space, recipe = TASK, SPACE, "r"

    def evaluate(
        self,
        genotype: Any,
        seed: int,
        purpose: Any = "search",
        on_epoch: Any = None,
        stop: Any = None,
    ):
        score = (genotype.ops.count("nor_conv_3x3") + seed % 7 / 8) / 8
        status = "failed" if purpose == "confirm" and seed % 2 else "complete"
        score = None if status == "failed" else score
        curve = () if score is None else (score,)
        evaluation = Evaluation(genotype, "r", seed, status, score, curve, 1, 0.0, purpose)
        return Scored(evaluation, {"seed": seed})

    def test_accuracy(self, genotype: Any, variables: Any) -> float:
        return variables["seed"] / 2**32


class Shuffled(InProcessExecutor):
    """Finishes what was submitted in a random order; stops like a kill after `limit`."""

    num_workers = 4

    def __init__(self, seed: int, limit: int = 1000) -> None:
        super().__init__(BySeed())
        self._rng, self._limit = np.random.default_rng(seed), limit
        self.num_finished = 0

    def next_finished(self, watcher: Any) -> Any:
        if self.num_finished >= self._limit:
            raise KeyboardInterrupt
        self.num_finished += 1
        self._waiting.rotate(int(self._rng.integers(4)))
        return super().next_finished(watcher)


class Quiet:
    def started(self, job: Any) -> None: ...

    def epoch(self, *args: Any) -> None: ...

    def finished(self, job: Any, evaluation: Any) -> None:
        assert job.number == evaluation.number


class Memory:
    """Keeps variables as long as the test lasts."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def save(self, name: str, variables: Any) -> None:
        self.kept[name] = variables

    def load(self, name: str) -> Any:
        return self.kept.get(name)

    def keep_only(self, names: Any) -> None:
        wanted = set(names)
        self.kept = {name: value for name, value in self.kept.items() if name in wanted}


def search(folder: pathlib.Path, executor: Any, keeper: Any) -> tuple[Any, list[Any]]:
    with Storage(default_storage_url(folder)) as storage:
        storage.create_or_open(StudySpec("s", "search", TASK, SPACE.name, "r", {}))
        optimizer = make_optimizer("evolution", SPACE)
        outcome = run_search(optimizer, executor, storage, "s", LOOP, Quiet(), keeper)
        recorded = storage.evaluations("s")
    return outcome, sorted(recorded, key=lambda e: (e.purpose, e.number))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Memory]:
    """What a search in order finds, and its keeper."""
    keeper = Memory()
    return search(tmp_path_factory.mktemp("whole"), InProcessExecutor(BySeed()), keeper), keeper


def test_the_order_in_which_evaluations_finish_changes_nothing(
    whole: tuple[Any, Memory], tmp_path: pathlib.Path
) -> None:
    keeper, ((outcome, recorded), kept_in_order) = Memory(), whole
    assert search(tmp_path, Shuffled(1), keeper) == (outcome, recorded)
    assert [e.number for e in recorded] == [*range(6), *range(14)]
    assert keeper.kept == kept_in_order.kept
    assert keeper.kept[outcome.variables_name]["seed"] == outcome.test_accuracy * 2**32


@pytest.mark.parametrize("limit", [2, 7, 13, 16])
def test_a_kill_while_several_run_loses_only_those(
    limit: int, whole: tuple[Any, Memory], tmp_path: pathlib.Path
) -> None:
    keeper, first, second = Memory(), Shuffled(2, limit), Shuffled(3)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, first, keeper)
    assert search(tmp_path, second, keeper) == whole[0]
    assert limit + second.num_finished == 14 + 2 * 3


def test_collecting_goes_on_after_a_kill_while_several_run(tmp_path: pathlib.Path) -> None:
    found = []
    for name, executors in (("a", [Shuffled(1)]), ("b", [Shuffled(2, limit=5), Shuffled(3)])):
        with Storage(default_storage_url(tmp_path / name)) as storage:
            storage.create_or_open(StudySpec("c", "collect", TASK, SPACE.name, "r", {}))
            for executor in executors[:-1]:
                with pytest.raises(KeyboardInterrupt):
                    collect_random(executor, storage, "c", 9, 0, Quiet(), 3)
            collect_random(executors[-1], storage, "c", 9, 0, Quiet(), 3)
            found.append(sorted(storage.evaluations("c"), key=lambda e: e.number))
    assert found[0] == found[1]
    assert [e.number for e in found[0]] == [*range(12)]
    pairs = [(a.genotype, a.seed) for a in found[0]]
    assert len(set(pairs)) == 12
    assert [pairs[i][0] == pairs[i + 1][0] for i in range(8)] == [True, False] * 3 + [False] * 2
