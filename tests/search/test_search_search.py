# pyright: reportCallIssue=false, reportOperatorIssue=false
"""Whole searches on a toy: resuming, confirming, testing, breaking."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from search_toy import (
    SPACE,
    Keeper,
    Shuffled,
    Toy,
    complete,
    distinct_cells,
    evaluated,
    explored,
    search,
    share_of_convs,
)

from xfernas_jax.errors import FlagError, UserError
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.history.metric import SCORE
from xfernas_jax.history.record import Job, Result
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.outcome import selection_bias
from xfernas_jax.search.phases.confirm import choose_finalists
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.registry import OPTIMIZERS, SearchConfig, make_optimizer
from xfernas_jax.search.seen import Seen, Suggestion

SMALL = SearchConfig(
    predictor=PredictorConfig(num_members=2, source_steps=20, target_steps=10), num_initial=4
)
PLAN = SearchPlan(12, 4, 3, 2)


def source(num_rows: int) -> TaskHistory:
    rng = np.random.default_rng(1)
    cells = [SPACE.sample(rng) for _ in range(num_rows)]
    scores = np.array([cell.ops.count("nor_conv_3x3") / 6 for cell in cells])
    return TaskHistory("other", np.array([SPACE.encode(c) for c in cells], np.int32), scores)


SOURCES = (source(40),)


def small_search(name: Any, toy: Toy, record: MemoryRecord, plan: SearchPlan = PLAN) -> Any:
    return search(name, toy, record, plan, sources=SOURCES, config=SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_search_stopped_anywhere_goes_on_as_if_unbroken(name: str) -> None:
    record, broken = MemoryRecord(), MemoryRecord()
    whole = small_search(name, Toy(), record)
    assert len({e.key for e in explored(record)}) == 12
    with pytest.raises(KeyboardInterrupt):
        small_search(name, Toy(limit=6), broken)
    rest = Toy()
    assert small_search(name, rest, broken) == whole
    assert explored(broken) == explored(record)
    assert rest.calls == 6 + 3 * 2  # the other six, then three finalists twice


def test_the_incumbent_never_gets_worse_and_may_be_missing() -> None:
    cells = distinct_cells(4)
    failed = Result("failed", failure="diverged")
    found = [evaluated(c, r) for c, r in zip(cells, [failed, 0.2, 0.5, 0.4], strict=True)]
    assert Goal().incumbents(found) == (None, 0.2, 0.5, 0.5)
    loss = dataclasses.replace(SCORE, name="loss", maximize=False)
    assert Goal(metric=loss).incumbents(found) == (None, 0.2, 0.2, 0.2)


def test_unknown_optimizer_is_refused_by_name() -> None:
    with pytest.raises(FlagError, match="Did you mean xfer_nao"):
        make_optimizer("xfer_nap", SPACE)


@dataclasses.dataclass
class FailsToConfirm:
    """Diverges in the confirming trainings of some seeds, as real trainings may."""

    parities: tuple[int, ...]

    def __call__(self, job: Job) -> Result | float:
        if job.purpose == "confirm" and job.seed % 2 in self.parities:
            return Result("failed", failure="diverged")
        return share_of_convs(job)


@pytest.mark.parametrize("parity", [0, 1])
def test_a_confirming_training_that_fails_is_not_the_one_that_is_tested(parity: int) -> None:
    toy = Toy(FailsToConfirm((parity,)))
    outcome = small_search("random", toy, MemoryRecord())
    assert outcome.num_confirmations == 6
    (variables,) = toy.tested
    assert variables["seed"] % 2 != parity
    # Each of the winner's two trainings counts, the failed one as the worst value there is.
    assert outcome.value == pytest.approx(0.5 * max(outcome.incumbent_curve))


def test_a_search_without_one_confirmed_architecture_has_no_outcome() -> None:
    toy = Toy(FailsToConfirm((0, 1)))
    assert small_search("random", toy, MemoryRecord()) is None
    assert toy.tested == []


class DependsOnCount:
    """Proposes other cells for another count, as an optimizer with probes does."""

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> list[Suggestion]:
        own = np.random.default_rng([int(rng.integers(2**31)), count])
        return [Suggestion(SPACE.sample(own)) for _ in range(count)]


def test_a_raised_budget_gives_the_search_that_had_it_from_the_start() -> None:
    at_once, raised = MemoryRecord(), MemoryRecord()
    small_search(DependsOnCount(), Toy(), at_once, SearchPlan(8, 4))
    for budget in (6, 8):
        small_search(DependsOnCount(), Toy(), raised, SearchPlan(budget, 4))
    assert explored(raised) == explored(at_once)
    assert len(explored(raised)) == 8


class Stingy:
    """Has two architectures for the second question and four for each other."""

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> list[Suggestion]:
        count = 2 if len(seen.evaluations) == 4 else count
        return seen.batch().fill(rng, count)


@pytest.mark.parametrize("limit", [3, 5, 7, 9])
def test_a_search_that_goes_on_after_a_short_round_asks_the_same(limit: int) -> None:
    plan, whole, broken = SearchPlan(12, 4, confirm_seeds=0), MemoryRecord(), MemoryRecord()
    outcome = small_search(Stingy(), Toy(), whole, plan)
    assert [e.number for e in explored(whole)] == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]
    with pytest.raises(KeyboardInterrupt):
        small_search(Stingy(), Toy(limit=limit), broken, plan)
    rest = Toy()
    assert small_search(Stingy(), rest, broken, plan) == outcome
    assert explored(broken) == explored(whole)
    assert rest.calls == 10 - limit
    again = Toy()
    small_search(Stingy(), again, broken, plan)  # a finished one asks for nothing
    assert again.calls == 0


class Counts:
    """A random search that remembers what it was asked."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> list[Suggestion]:
        self.counts.append(count)
        return seen.batch().fill(rng, count)


def test_rounds_of_one_explore_too() -> None:
    optimizer, record = Counts(), MemoryRecord()
    small_search(optimizer, Toy(), record, SearchPlan(10, 1, confirm_seeds=0))
    assert optimizer.counts == [1, 1, 1, 5, 5, 1, 1, 1, 5, 5]
    assert len({e.key for e in explored(record)}) == 10


def by_seed(job: Job) -> Result | float:
    """Scores by the cell and, a little, by the seed; some confirmations fail."""
    if job.purpose == "confirm" and job.seed % 2:
        return Result("failed", failure="diverged")
    return (job.genotype.ops.count("nor_conv_3x3") + job.seed % 7 / 8) / 8


ORDER = SearchPlan(14, 4, seed=1, confirm_seeds=3, num_finalists=2)


def in_order(record: MemoryRecord) -> list[Any]:
    return sorted(record.evaluations(), key=lambda e: (e.purpose, e.number))


def shuffled_search(executor: Any, record: MemoryRecord, keeper: Keeper) -> Any:
    return search("evolution", executor, record, ORDER, keeper=keeper), in_order(record)


def test_the_order_in_which_evaluations_finish_changes_nothing() -> None:
    kept, kept_in_order = Keeper(), Keeper()
    whole = shuffled_search(Toy(by_seed), MemoryRecord(), kept_in_order)
    assert shuffled_search(Shuffled(Toy(by_seed), 1), MemoryRecord(), kept) == whole
    outcome, recorded = whole
    assert [e.number for e in recorded] == [*range(6), *range(14)]
    assert kept.kept == kept_in_order.kept
    assert kept.kept[outcome.variables_name]["seed"] == outcome.test * 2**32


@pytest.mark.parametrize("limit", [2, 7, 13, 16])
def test_a_kill_while_several_run_loses_only_those(limit: int) -> None:
    whole = shuffled_search(Toy(by_seed), MemoryRecord(), Keeper())
    keeper, record = Keeper(), MemoryRecord()
    second = Shuffled(Toy(by_seed), 3)
    with pytest.raises(KeyboardInterrupt):
        shuffled_search(Shuffled(Toy(by_seed), 2, limit), record, keeper)
    assert shuffled_search(second, record, keeper) == whole
    assert limit + second.num_finished == 14 + 2 * 3


def test_variables_that_are_lost_are_trained_again_and_that_is_recorded() -> None:
    record = MemoryRecord()
    first = search("random", Toy(), record, PLAN)
    again = Toy()
    assert search("random", again, record, PLAN) == first
    assert again.calls == 1
    assert [e.purpose for e in record.evaluations()].count("test") == 1


def test_a_repeated_training_that_fails_leaves_the_search_untested() -> None:
    record = MemoryRecord()
    first = search("random", Toy(), record, PLAN)
    toy = Toy(lambda job: Result("failed", failure="diverged"))
    again = search("random", toy, record, PLAN)
    assert again == dataclasses.replace(first, test=None)
    assert toy.tested == []


# What breaks.


def runs_out_of_memory(job: Job) -> float:
    if job.genotype.ops.count("nor_conv_3x3") >= 2:
        raise MemoryError("RESOURCE_EXHAUSTED: 9 GiB")
    return share_of_convs(job)


def test_what_breaks_is_recorded_and_the_search_goes_on() -> None:
    record = MemoryRecord()
    outcome = search("random", Toy(runs_out_of_memory), record, PLAN, runtime="remat=false")
    broken = [e for e in record.evaluations() if e.status == "broken"]
    assert len(explored(record)) == outcome.num_evaluations == 12
    assert 0 < len(broken) < 12
    assert all("RESOURCE_EXHAUSTED: 9 GiB" in e.result.failure for e in broken)
    assert {e.result.runtime for e in broken} == {"remat=false"}


def test_what_broke_is_tried_again_under_other_options_alone() -> None:
    record = MemoryRecord()
    search("random", Toy(runs_out_of_memory), record, PLAN, runtime="remat=false")
    numbers = {e.number for e in explored(record) if e.status == "broken"}
    same, other = Toy(), Toy()
    search(
        "random", same, record, dataclasses.replace(PLAN, confirm_seeds=0), runtime="remat=false"
    )
    assert same.calls == 0
    search(
        "random", other, record, dataclasses.replace(PLAN, confirm_seeds=0), runtime="remat=true"
    )
    assert other.calls == len(numbers)
    assert {e.status for e in explored(record)} == {"complete"}
    assert sorted(e.number for e in explored(record)) == list(range(12))


def test_a_search_in_which_everything_breaks_ends_with_a_line() -> None:
    def breaks(job: Job) -> float:
        raise RuntimeError("no such device")

    record = MemoryRecord()
    with pytest.raises(UserError, match=r"first 3 evaluations all broke.*no such device"):
        search("random", Toy(breaks), record, PLAN)
    assert len(record.evaluations()) == 3


def test_a_user_s_mistake_ends_a_search() -> None:
    def wrong(job: Job) -> float:
        raise UserError("a wrong flag")

    with pytest.raises(UserError, match="a wrong flag"):
        search("random", Toy(wrong), MemoryRecord(), PLAN)


# Finalists.


class Knowing:
    """Proposes at random, but knows the truth behind noisy values."""

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> list[Suggestion]:
        return seen.batch().fill(rng, count)

    def estimates(self, seen: Seen) -> np.ndarray:
        return np.array([e.genotype.ops.count("nor_conv_3x3") for e in seen.complete], float)


def test_finalists_are_chosen_by_posterior_mean() -> None:
    def lucky(job: Job) -> float:
        return 0.9 if job.purpose == "search" and job.number == 0 else share_of_convs(job)

    record = MemoryRecord()
    by_value = search("random", Toy(lucky), record, PLAN)
    knowing = search(Knowing(), Toy(lucky), MemoryRecord(), PLAN)
    first = explored(record)[0]
    assert first.key in {f.key for f in by_value.finalists}
    assert first.key not in {f.key for f in knowing.finalists}
    counts = sorted((e.genotype.ops.count("nor_conv_3x3") for e in explored(record)), reverse=True)
    assert [6 * f.mean for f in knowing.finalists] == pytest.approx(counts[:3])


def test_an_earlier_study_s_best_may_win_and_is_not_evaluated_again() -> None:
    best = SPACE.decode([SPACE.vocabulary.index("nor_conv_3x3")] * 6)
    prior = [evaluated(best, 1.0, seed=7)]
    record = MemoryRecord()
    outcome = search("random", Toy(), record, PLAN, prior=prior)
    assert outcome.genotype == best
    assert SPACE.key(best) not in {e.key for e in explored(record)}


@pytest.mark.slow
def test_the_bias_of_the_best_mean_is_that_of_the_largest_of_normals() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4000, 3, 4))  # equal finalists, four trainings each
    excess = draws.mean(2).max(1).mean()
    bounds = [selection_bias(group.tolist()) for group in draws]
    # Both estimate .846 / 2; the spread of the first is .01, that of the second less.
    assert excess == pytest.approx(0.423, abs=0.04)
    assert np.mean(bounds) == pytest.approx(0.423, abs=0.02)
    assert selection_bias([[0.5], [0.6]]) is None
    assert selection_bias([[0.5, 0.7]]) == pytest.approx(0.0, abs=1e-6)


def test_a_search_that_minimises_finds_what_is_small() -> None:
    loss = dataclasses.replace(SCORE, name="loss", maximize=False)

    def cost(job: Job) -> Result:
        return complete(3.0 - share_of_convs(job))

    goal = Goal(metric=loss)
    found = [search("evolution", Toy(cost), MemoryRecord(), SearchPlan(30, 4), goal=goal)]
    same = search("evolution", Toy(), MemoryRecord(), SearchPlan(30, 4))
    assert found[0].value == 3.0 - same.value
    assert found[0].genotype == same.genotype


class Unsure(Knowing):
    """Draws scatter around what it knows."""

    def __init__(self, spread: float) -> None:
        self.spread = spread

    def draws(self, seen: Seen, rng: np.random.Generator, count: int) -> np.ndarray:
        means = self.estimates(seen)
        return means + self.spread * rng.normal(size=(count, len(means)))


def test_a_known_network_stays_where_another_is_not_surely_better() -> None:
    cells = [SPACE.decode([SPACE.vocabulary.index(op)] * 6) for op in ("nor_conv_3x3", "none")]
    better, known = (evaluated(cell, 0.5, seed=i) for i, cell in enumerate(cells))
    seen = Seen(SPACE, evaluations=(better, known))
    keys = [known.key]
    for optimizer, first in ((Unsure(0.1), better), (Unsure(100.0), known), (Knowing(), better)):
        assert choose_finalists(optimizer, seen, 2, keys)[0] == first
        assert choose_finalists(optimizer, seen, 2)[0] == better
        assert len(choose_finalists(optimizer, seen, 2, keys)) == 2
    assert choose_finalists(Unsure(100.0), seen, 2, [better.key])[0] == better


def test_known_networks_come_before_all_others_but_a_surely_better_one() -> None:
    ops = ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "none")
    cells = [SPACE.decode([SPACE.vocabulary.index(op)] * 6) for op in ops]
    best, other, known, last = (evaluated(cell, 0.5, seed=i) for i, cell in enumerate(cells))
    means = {e.key: 4.0 - place for place, e in enumerate((best, other, known, last))}

    class Means(Unsure):
        def estimates(self, seen: Seen) -> np.ndarray:
            return np.array([means[e.key] for e in seen.complete])

    seen = Seen(SPACE, evaluations=(best, other, known, last))
    keys = {known.key, last.key}
    sure, unsure = Means(1e-6), Means(100.0)
    assert choose_finalists(sure, seen, 4, keys) == [best, known, other, last]
    assert choose_finalists(sure, seen, 4, keys, 2) == [best, known, last, other]
    assert choose_finalists(unsure, seen, 4, keys) == [known, best, other, last]
    assert choose_finalists(unsure, seen, 4, keys, 2) == [known, last, best, other]
