import pathlib
import pickle
from typing import Any

import numpy as np
import pytest

from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.base import Scored
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history import Storage, StudySpec, default_storage_url
from xfernas_jax.history.record import Evaluation, Task
from xfernas_jax.search.base import Observations
from xfernas_jax.search.early_stop import EarlyStop, Stopper, make_early_stop
from xfernas_jax.search.loop import LoopConfig, run_search
from xfernas_jax.search.registry import make_optimizer
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
EPOCHS = 8


def _distinct_cells(count: int) -> list[Any]:
    rng, cells = np.random.default_rng(0), {}
    while len(cells) < count:
        cell = SPACE.sample(rng)
        cells.setdefault(SPACE.key(cell), cell)
    return list(cells.values())


CELLS = _distinct_cells(6)


def evaluated(number: int, curve: tuple[float, ...], epochs: int = EPOCHS) -> Evaluation:
    status = "complete" if len(curve) == epochs else "stopped"
    score = curve[-1] if status == "complete" else None
    return Evaluation(CELLS[number], "r", 0, status, score, curve, 1, 0.0)


def flat(*levels: float) -> list[Evaluation]:
    return [evaluated(i, (level,) * EPOCHS) for i, level in enumerate(levels)]


def stopper(rule: str, evaluations: list[Evaluation]) -> Stopper:
    early_stop = make_early_stop(rule, EPOCHS)
    assert early_stop is not None
    found = early_stop.stopper(evaluations)
    assert found is not None
    return found


def test_the_median_rule_stops_below_the_median_beyond_the_first_quarter() -> None:
    stops = stopper("median", flat(0.1, 0.2, 0.3, 0.4))
    assert [k for k in range(1, EPOCHS + 1) if stops((0.15,) * k)] == [3, 4, 5, 6, 7]
    assert not any(stops((0.25,) * k) for k in range(1, EPOCHS + 1))
    assert not stops((0.5, 0.0, 0.0, 0.0))  # curves jump; the best so far counts


def test_asha_asks_at_epochs_that_double() -> None:
    stops = stopper("asha", flat(0.1, 0.2, 0.3, 0.4))
    assert [k for k in range(1, EPOCHS + 1) if stops((0.0,) * k)] == [3, 6]


def test_who_was_stopped_before_counts_as_worse() -> None:
    mixed = [*flat(0.1, 0.1, 0.3, 0.4), *(evaluated(i, (0.9,) * 3) for i in range(4, 6))]
    assert stopper("median", mixed)((0.25,) * 3)  # 4 of 6 lie above
    assert not stopper("median", mixed)((0.25,) * 4)  # 2 of 6: two ended before


def test_nothing_is_stopped_before_enough_are_complete() -> None:
    rule = make_early_stop("median", EPOCHS)
    assert rule is not None
    few = [*flat(0.1, 0.2, 0.3), evaluated(3, (0.5,) * 3)]
    assert rule.stopper(few) is None
    assert rule.stopper(flat(0.1, 0.2, 0.3, 0.4), num_needed=5) is None
    assert rule.stopper(flat(0.1, 0.2, 0.3, 0.4)) is not None


def test_sources_teach_how_far_behind_the_best_may_lie() -> None:
    # The one best of five is last after epoch 2 and first after epoch 3.
    late = [(0.1, 0.1, 0.9, 0.9), *((level,) * 4 for level in (0.2, 0.3, 0.4, 0.5))]
    rule = make_early_stop("median", 4, [late, [(0.5,) * 7] * 5])  # the second has other epochs
    assert rule == EarlyStop(4, (1.0, 0.8, 0.0))
    assert make_early_stop("median", 4, [late[:3]]) == make_early_stop("median", 4)


def test_a_stopper_is_a_value_that_workers_can_get() -> None:
    stops = stopper("asha", flat(0.1, 0.2, 0.3, 0.4))
    assert pickle.loads(pickle.dumps(stops)) == stops


def test_an_unknown_rule_is_refused_by_name() -> None:
    assert make_early_stop("none", EPOCHS) is None
    with pytest.raises(FlagError, match="--early_stop=mean"):
        make_early_stop("mean", EPOCHS)


def test_the_predictor_sees_no_partial_accuracy() -> None:
    observations = Observations(SPACE)
    observations.add([evaluated(0, (0.1, 0.1, 0.5), 3), evaluated(1, (0.2, 0.9), 3)])
    failed = Evaluation(CELLS[2], "r", 0, "failed", None, (0.3,), 1, 0.0, failure="diverged")
    observations.add([failed])
    assert observations.history().scores.tolist() == [0.5, 0.5]  # the failed one has the worst
    assert observations.complete() == observations.evaluations[:1]


def test_a_stopped_architecture_is_not_suggested_again() -> None:
    observations = Observations(SPACE)
    observations.add([evaluated(0, (0.5,), 3)])
    assert observations.history().scores.shape == (0,)
    batch = observations.batch(())
    assert not batch.add_tokens(np.array(SPACE.encode(CELLS[0])))


class Curves:
    """Curves of noisy networks by genotype; dies like a killed process after `limit` calls."""

    task, space, recipe = Task("curves", "none", 2), SPACE, "r"

    def __init__(self, limit: int = 1000) -> None:
        self.limit, self.calls = limit, 0

    def evaluate(
        self,
        genotype: Any,
        seed: int,
        purpose: Any = "search",
        on_epoch: Any = None,
        stop: Any = None,
    ) -> Scored:
        if self.calls >= self.limit:
            raise KeyboardInterrupt
        self.calls += 1
        rng = np.random.default_rng(seed)
        final, noise = rng.random(), rng.normal(size=EPOCHS) * np.linspace(0.3, 0, EPOCHS)
        curve = tuple(float(x) for x in np.clip(0.3 + 0.4 * final + noise, 0, 1))
        epoch = EPOCHS
        if stop is not None:
            epoch = next((k for k in range(1, EPOCHS) if stop(curve[:k])), EPOCHS)
        status = "complete" if epoch == EPOCHS else "stopped"
        score = curve[-1] if status == "complete" else None
        evaluation = Evaluation(
            genotype, "r", seed, status, score, curve[:epoch], 1, float(epoch), purpose
        )
        return Scored(evaluation, {"seed": seed})

    def test_accuracy(self, genotype: Any, variables: Any) -> float:
        return 0.5


class Quiet:
    def started(self, *args: Any) -> None: ...

    def epoch(self, *args: Any) -> None: ...

    def finished(self, *args: Any) -> None: ...


def search(folder: pathlib.Path, benchmark: Curves, budget: int = 24) -> tuple[Any, Any]:
    with Storage(default_storage_url(folder)) as storage:
        storage.create_or_open(StudySpec("s", "search", Curves.task, SPACE.name, "r", {}))
        optimizer = make_optimizer("evolution", SPACE)
        outcome = run_search(
            optimizer,
            InProcessExecutor(benchmark),
            storage,
            "s",
            LoopConfig(budget, 4, 3, 1),
            Quiet(),
            early_stop=make_early_stop("median", EPOCHS),
        )
        return outcome, storage.evaluations("s")


def test_a_killed_search_that_stops_early_ends_as_an_unbroken_one(tmp_path: pathlib.Path) -> None:
    whole, recorded = search(tmp_path / "whole", Curves())
    purposes = [e.purpose for e in recorded]
    assert {e.status for e in recorded} == {"complete", "stopped"}
    assert purposes.count("resume") >= 1  # else this test would not see the last part
    for limit in (14, purposes.index("resume") + 1):
        folder = tmp_path / str(limit)
        with pytest.raises(KeyboardInterrupt):
            search(folder, Curves(limit))
        rest = Curves()
        assert search(folder, rest) == (whole, recorded)
        assert rest.calls >= len(recorded) - limit


def test_stopped_evaluations_win_nothing_and_are_counted(tmp_path: pathlib.Path) -> None:
    outcome, recorded = search(tmp_path, Curves())
    searched = {SPACE.key(e.genotype): e for e in recorded if e.purpose != "confirm"}
    assert outcome.num_evaluations == len(searched) == 24
    stopped = {key for key, e in searched.items() if e.status == "stopped"}
    confirmed = [SPACE.key(e.genotype) for e in recorded if e.purpose == "confirm"]
    assert stopped
    assert len(confirmed) == 3
    assert not stopped & set(confirmed)
    saved = sum(EPOCHS - len(e.curve) for e in searched.values())
    assert outcome.epochs_saved == saved
    assert outcome.epochs_trained == 24 * EPOCHS - saved
    assert outcome.incumbent_curve[-1] == max(e.valid_accuracy or 0.0 for e in searched.values())
    after_first_round = [e for e in searched.values() if e.round_index == 0]
    assert all(e.status == "complete" for e in after_first_round)


def test_a_larger_budget_goes_on_as_if_it_had_been_given_first(tmp_path: pathlib.Path) -> None:
    _, at_once = search(tmp_path / "a", Curves())
    search(tmp_path / "b", Curves(), budget=16)
    _, in_two = search(tmp_path / "b", Curves())
    first, second = ([e for e in es if e.purpose == "search"] for es in (at_once, in_two))
    assert first == second
