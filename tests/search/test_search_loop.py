import dataclasses
import pathlib
from typing import Any

import numpy as np
import pytest

from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.base import Scored
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history import Storage, StudySpec, default_storage_url
from xfernas_jax.history.record import Evaluation, Task
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.base import Suggestion
from xfernas_jax.search.loop import LoopConfig, incumbent_curve, run_search
from xfernas_jax.search.registry import OPTIMIZERS, SearchConfig, make_optimizer
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
TASK = Task("synthetic", "none", 2)
SMALL = SearchConfig(
    predictor=PredictorConfig(num_members=2, source_steps=20, target_steps=10), num_initial=4
)


def source(num_rows: int) -> TaskHistory:
    rng = np.random.default_rng(1)
    cells = [SPACE.sample(rng) for _ in range(num_rows)]
    scores = np.array([cell.ops.count("nor_conv_3x3") / 6 for cell in cells])
    return TaskHistory("other", np.array([SPACE.encode(c) for c in cells], np.int32), scores)


SOURCES = (source(40),)


class Quiet:
    def started(self, *args: Any) -> None: ...

    def epoch(self, *args: Any) -> None: ...

    def finished(self, *args: Any) -> None: ...


class CountOps:
    """Scores a cell by its number of 3x3 convolutions; stops like a kill after `limit`."""

    task, space, recipe = TASK, SPACE, "r"

    def __init__(self, limit: int = 1000) -> None:
        self.limit, self.calls = limit, 0

    def evaluate(
        self,
        genotype: Any,
        seed: int,
        purpose: Any = "search",
        on_epoch: Any = None,
        stop: Any = None,
    ):
        if self.calls >= self.limit:
            raise KeyboardInterrupt
        self.calls += 1
        score = genotype.ops.count("nor_conv_3x3") / 6
        evaluation = Evaluation(genotype, "r", seed, "complete", score, (score,), 1, 0.0, purpose)
        return Scored(evaluation, {"seed": seed})

    def test_accuracy(self, genotype: Any, variables: Any) -> float:
        return 0.5


def search(
    folder: pathlib.Path, optimizer: str | Any, benchmark: CountOps, budget: int = 12
) -> tuple[Any, list[str]]:
    with Storage(default_storage_url(folder)) as storage:
        spec = StudySpec("s", "search", TASK, SPACE.name, "r", {})
        storage.create_or_open(spec)
        if isinstance(optimizer, str):
            optimizer = make_optimizer(optimizer, SPACE, SOURCES, SMALL)
        outcome = run_search(
            optimizer,
            InProcessExecutor(benchmark),
            storage,
            "s",
            LoopConfig(budget, 4, 3, 2),
            Quiet(),
        )
        keys = [SPACE.key(e.genotype) for e in storage.evaluations("s") if e.purpose == "search"]
    return outcome, keys


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_search_stopped_anywhere_goes_on_as_if_unbroken(
    name: str, tmp_path: pathlib.Path
) -> None:
    whole, keys = search(tmp_path / "whole", name, CountOps())
    assert len(set(keys)) == 12
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "broken", name, CountOps(limit=6))
    rest = CountOps()
    resumed, resumed_keys = search(tmp_path / "broken", name, rest)
    assert resumed_keys == keys
    assert resumed.genotype == whole.genotype
    assert resumed.valid_accuracy == whole.valid_accuracy
    assert rest.calls == 6 + 3 * 2  # the other six, then three finalists twice


def test_incumbent_curve_never_falls() -> None:
    space, rng = SPACE, np.random.default_rng(0)
    scores = [0.2, 0.5, 0.4]
    evaluations = [
        Evaluation(space.sample(rng), "r", 0, "complete", s, (s,), 1, 0.0) for s in scores
    ]
    assert incumbent_curve(evaluations) == (0.2, 0.5, 0.5)


def test_unknown_optimizer_is_refused_by_name() -> None:
    with pytest.raises(FlagError, match="xfer_nao"):
        make_optimizer("xfer_nap", SPACE)


class FailsToConfirm(CountOps):
    """Diverges in the confirming trainings of some seeds, as real trainings may."""

    def __init__(self, parities: tuple[int, ...]) -> None:
        super().__init__()
        self.parities, self.tested = parities, []

    def evaluate(
        self,
        genotype: Any,
        seed: int,
        purpose: Any = "search",
        on_epoch: Any = None,
        stop: Any = None,
    ):
        scored = super().evaluate(genotype, seed, purpose)
        if purpose == "confirm" and seed % 2 in self.parities:
            failed = dataclasses.replace(scored.evaluation, status="failed", valid_accuracy=None)
            return Scored(failed, None)
        return scored

    def test_accuracy(self, genotype: Any, variables: Any) -> float:
        self.tested.append(variables)
        return 0.5


@pytest.mark.parametrize("parity", [0, 1])
def test_a_confirming_training_that_fails_is_not_the_one_that_is_tested(
    parity: int, tmp_path: pathlib.Path
) -> None:
    benchmark = FailsToConfirm((parity,))
    outcome, _ = search(tmp_path, "random", benchmark)
    assert outcome.num_confirmations == 6
    (variables,) = benchmark.tested
    assert variables["seed"] % 2 != parity


def test_a_search_without_one_confirmed_architecture_has_no_outcome(
    tmp_path: pathlib.Path,
) -> None:
    benchmark = FailsToConfirm((0, 1))
    assert search(tmp_path, "random", benchmark)[0] is None
    assert benchmark.tested == []


class DependsOnCount:
    """Proposes other cells for another count, as an optimizer with probes does."""

    def suggest(self, rng: np.random.Generator, count: int, pending: Any = ()) -> list[Suggestion]:
        own = np.random.default_rng([int(rng.integers(2**31)), count])
        return [Suggestion(SPACE.sample(own)) for _ in range(count)]

    def observe(self, evaluations: Any) -> None: ...


def test_a_raised_budget_is_kept_even_where_a_round_began_smaller(tmp_path: pathlib.Path) -> None:
    search(tmp_path, DependsOnCount(), CountOps(), budget=6)
    outcome, keys = search(tmp_path, DependsOnCount(), CountOps(), budget=8)
    assert len(keys) == outcome.num_evaluations == 8
