"""What won is trained again while there is time, and the mean of the answers is handed over."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from search_toy import SPACE, Keeper, distinct_cells, search
from timed_toy import Now, TimedToy

from xfernas_jax.evaluate.base import Answer, Part
from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.history.record import Evaluation, Job, Result
from xfernas_jax.nn.members import parted
from xfernas_jax.search.averaging import Averaging
from xfernas_jax.search.clock import start_clock
from xfernas_jax.search.outcome import Outcome
from xfernas_jax.search.phases.finish import Candidate, competing
from xfernas_jax.search.plan import SearchPlan

CELL, OTHER = distinct_cells(2, seed=5)
KEY = SPACE.key(CELL)
FREE = Averaging(4, lambda *_: 1, lambda _: True)


class Answers(TimedToy):
    """Its variables are a seed; of several the mean is `gain` better than they are on average."""

    gain = 0.1

    def evaluate(self, job: Job, on_epoch: Any = None, stop: Any = None) -> Any:
        scored = super().evaluate(job, on_epoch, stop)
        kept = {"params": {"seed": np.array(job.seed), "value": np.array(scored.result.value)}}
        complete = scored.variables is not None
        return dataclasses.replace(scored, variables=kept if complete else None)

    def test(self, genotype: Any, variables: Any) -> float:
        self.tested.append(variables)
        return 0.25

    def answer(self, genotype: Any, variables: Mapping[str, Any], part: Part) -> Answer:
        values = [float(member["params"]["value"]) for member in parted(variables)]
        if part == "test":
            self.tested.append(variables)
        value = float(np.mean(values)) + (self.gain if len(values) > 1 else 0.0)
        return Answer(value, np.full((2, 3), len(values), np.float32))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    return Now(monkeypatch)


def plan(budget: float, averaging: Averaging = FREE) -> SearchPlan:
    clock = start_clock(budget, 0.0)
    return SearchPlan(0, 4, 3, finishes=True, first=(CELL,), clock=clock, averaging=averaging)


def found(toy: Any, record: MemoryRecord, of: SearchPlan, **desk: Any) -> Outcome:
    outcome = search("random", toy, record, of, **desk)
    assert outcome is not None
    return outcome


def limits(toy: TimedToy) -> list[float | None]:
    return [None if j.limit_seconds is None else round(j.limit_seconds, 2) for j in toy.jobs]


def by_place(*values: float | Result) -> Any:
    """Returns a score: the values of one training after the other."""
    left = iter(values)
    return lambda _: next(left)


def test_the_time_that_is_left_is_divided_among_trainings_of_other_seeds(now: Now) -> None:
    toy, record = Answers(now, score=by_place(0.5, 0.6, 0.4)), MemoryRecord()
    outcome = found(toy, record, plan(34.0))  # 3 % are kept: 33 s, of which the first takes 10
    assert limits(toy) == [32.98, 11.49, 12.98]
    assert len({job.seed for job in toy.jobs}) == 3
    assert {(job.key, job.purpose) for job in toy.jobs} == {(KEY, "final")}
    assert outcome.member_values == (0.5, 0.6, 0.4)
    assert outcome.value == pytest.approx(0.6)
    assert [e.value for e in record.evaluations()] == [0.5, 0.6, 0.4]
    assert outcome.num_confirmations == 3


def test_the_test_part_is_read_once_with_the_variables_of_all(now: Now) -> None:
    toy = Answers(now, score=by_place(0.5, 0.6))
    keeper = Keeper()
    outcome = found(toy, MemoryRecord(), plan(23.0), keeper=keeper)
    (tested,) = toy.tested
    assert [int(member["params"]["seed"]) for member in parted(tested)] == [
        job.seed for job in toy.jobs
    ]
    assert outcome.test == pytest.approx(0.65)
    assert outcome.test_logits is not None
    assert outcome.test_logits[0, 0] == 2.0
    assert keeper.kept[outcome.variables_name] is tested


def test_less_than_half_a_trainings_time_is_not_used(now: Now) -> None:
    toy = Answers(now, score=lambda _: 0.5)
    outcome = found(toy, MemoryRecord(), plan(15.0))
    assert len(toy.jobs) == 1
    assert (outcome.member_values, outcome.test) == ((), 0.25)


@pytest.mark.parametrize("most", [2, 4])
def test_no_more_are_trained_than_may_be_averaged(now: Now, most: int) -> None:
    toy = Answers(now, score=lambda _: 0.5)
    found(toy, MemoryRecord(), plan(1000.0, dataclasses.replace(FREE, most=most)))
    assert len(toy.jobs) == most


def test_the_first_training_has_its_share_of_the_time(now: Now) -> None:
    asked = []

    def count(genotype: Any, seconds: float) -> int:
        asked.append((genotype, seconds))
        return 3

    toy = Answers(now, lambda _: 1000, lambda _: 0.5)
    found(toy, MemoryRecord(), plan(100.0, dataclasses.replace(FREE, count=count)))
    assert set(asked) == {(CELL, 97.0)}
    assert limits(toy) == [32.33, 32.5, 33.0]  # it trains for whole seconds, and uses them all


def test_where_the_first_training_fails_the_next_candidate_is_trained(now: Now) -> None:
    failed = Result("failed", failure="diverged")
    toy = Answers(now, score=lambda job: failed if job.key == KEY else 0.5)
    both = dataclasses.replace(plan(34.0), first=(CELL, OTHER), num_finalists=2)
    outcome = found(toy, MemoryRecord(), both)
    assert toy.keys("final") == [KEY, *[SPACE.key(OTHER)] * 2]
    assert outcome.genotype == OTHER
    assert [finalist.mean for finalist in outcome.finalists] == [None, pytest.approx(0.6)]


def test_the_costs_of_all_keep_the_limits(now: Now) -> None:
    result = Result("complete", 0.5, (0.5,), costs=(("params", 100.0),), seconds=10.0)
    toy = Answers(now, score=lambda _: result)
    toy.evaluate = _keeping(result, toy)  # type: ignore[method-assign]
    limited = dataclasses.replace(FREE, admits=lambda costs: costs["params"] <= 250.0)
    outcome = found(toy, MemoryRecord(), plan(1000.0, limited))
    assert len(outcome.member_values) == 2
    assert outcome.costs == {"params": 200.0}


def _keeping(result: Result, toy: Answers) -> Any:
    evaluate = toy.evaluate

    def with_costs(job: Job, *arguments: Any) -> Any:
        return dataclasses.replace(evaluate(job, *arguments), result=result)

    return with_costs


def test_where_the_mean_is_worse_than_its_members_are_the_best_single_one_is_kept(
    now: Now,
) -> None:
    toy = Answers(now, score=by_place(0.5, 0.7, 0.6))
    toy.gain = -0.01
    keeper = Keeper()
    outcome = found(toy, MemoryRecord(), plan(34.0), keeper=keeper)
    assert (outcome.value, outcome.member_values, outcome.test) == (0.7, (), 0.25)
    assert int(toy.tested[0]["params"]["seed"]) == toy.jobs[1].seed
    assert keeper.kept[outcome.variables_name] is toy.tested[0]


def test_a_training_that_failed_is_no_member(now: Now) -> None:
    failed = Result("failed", failure="diverged")
    toy = Answers(now, score=by_place(0.5, failed, 0.6))
    outcome = found(toy, MemoryRecord(), plan(34.0))
    assert outcome.member_values == (0.5, 0.6)


def test_a_search_that_was_killed_goes_on_with_the_members_that_it_has(now: Now) -> None:
    score, record, keeper = {0: 0.5, 1: 0.6, 2: 0.4}, MemoryRecord(), Keeper()
    begun = Answers(now, score=lambda job: score[job.number], limit=2)
    with pytest.raises(KeyboardInterrupt):
        found(begun, record, plan(34.0), keeper=keeper)
    rest = Answers(now, score=lambda job: score[job.number])
    clock = start_clock(34.0, 0.0, record.evaluations())
    outcome = found(rest, record, dataclasses.replace(plan(34.0), clock=clock), keeper=keeper)
    assert [job.number for job in rest.jobs] == [2]
    assert outcome.member_values == (0.5, 0.6, 0.4)
    trained: list[Evaluation] = list(record.evaluations())
    assert len({evaluation.seed for evaluation in trained}) == 3


def rivals(budget: float, count: int = 4) -> SearchPlan:
    """Nothing was compared; both cells are known to do well."""
    several = dataclasses.replace(FREE, count=lambda *_: count)
    first = (CELL, OTHER)
    return dataclasses.replace(plan(budget, several), first=first, standing=first)


def test_of_two_that_are_known_the_better_by_a_full_training_has_the_rest(now: Now) -> None:
    values = {KEY: 0.5, SPACE.key(OTHER): 0.7}
    toy, record = Answers(now, score=lambda job: values[job.key]), MemoryRecord()
    outcome = found(toy, record, rivals(42.0))
    other = SPACE.key(OTHER)
    assert toy.keys("final") == [KEY, other, other, other]
    assert outcome.genotype == OTHER
    assert outcome.member_values == (0.7, 0.7, 0.7)
    assert outcome.value == pytest.approx(0.8)
    assert [finalist.mean for finalist in outcome.finalists] == [0.5, pytest.approx(0.8)]
    assert outcome.num_confirmations == 4
    assert [job.number for job in toy.jobs] == [0, 1, 2, 3]
    assert len({(job.key, job.seed) for job in toy.jobs}) == 4


def test_of_equals_the_first_has_the_rest(now: Now) -> None:
    toy = Answers(now, score=lambda _: 0.5)
    outcome = found(toy, MemoryRecord(), rivals(42.0))
    assert toy.keys("final") == [KEY, SPACE.key(OTHER), KEY, KEY]
    assert outcome.genotype == CELL
    assert [finalist.genotype for finalist in outcome.finalists] == [OTHER, CELL]


@pytest.mark.parametrize(("budget", "num_rivals"), [(42.0, 2), (200.0, 3)])
def test_half_of_the_trainings_that_fit_compare_at_most(
    now: Now, budget: float, num_rivals: int
) -> None:
    third = distinct_cells(3, seed=5)[2]
    first = (CELL, OTHER, third)
    toy = Answers(now, score=lambda _: 0.5)
    found(toy, MemoryRecord(), dataclasses.replace(rivals(budget), first=first, standing=first))
    assert toy.keys("final")[:num_rivals] == [SPACE.key(cell) for cell in first[:num_rivals]]
    assert set(toy.keys("final")[num_rivals:]) <= {KEY}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_where_four_do_not_fit_nothing_competes(now: Now, count: int) -> None:
    toy = Answers(now, score=lambda _: 0.5)
    found(toy, MemoryRecord(), rivals(42.0, count))
    assert set(toy.keys("final")) == {KEY}


def test_what_is_preferred_to_a_known_one_competes_or_has_all(now: Now) -> None:
    other = SPACE.key(OTHER)
    for count, keys in ((4, [other, KEY, other, other]), (3, [KEY] * 3)):
        toy = Answers(now, score=lambda _: 0.5)
        found(toy, MemoryRecord(), dataclasses.replace(rivals(42.0, count), standing=(OTHER,)))
        assert toy.keys("final")[: len(keys)] == keys


def test_one_that_fails_leaves_the_time_to_the_other(now: Now) -> None:
    failed = Result("failed", failure="diverged")
    toy = Answers(now, score=lambda job: failed if job.key != KEY else 0.5)
    outcome = found(toy, MemoryRecord(), rivals(42.0))
    assert outcome.genotype == CELL
    assert outcome.member_values == (0.5, 0.5, 0.5)


def test_what_was_trained_before_a_kill_still_competes(now: Now) -> None:
    values = {KEY: 0.5, SPACE.key(OTHER): 0.7}
    record, keeper = MemoryRecord(), Keeper()
    begun = Answers(now, score=lambda job: values[job.key], limit=2)
    with pytest.raises(KeyboardInterrupt):
        found(begun, record, rivals(42.0), keeper=keeper)
    rest = Answers(now, score=lambda job: values[job.key])
    left = start_clock(42.0, 0.0, record.evaluations())
    again = dataclasses.replace(rivals(42.0), clock=left)  # in which nothing new would compete
    outcome = found(rest, record, again, keeper=keeper)
    assert outcome.genotype == OTHER
    assert outcome.member_values == (0.7, 0.7, 0.7)
    assert len(record.evaluations()) == 4


def test_one_that_had_no_short_training_competes_too(now: Now) -> None:
    toy = Answers(now, score=lambda _: 0.5)
    found(toy, MemoryRecord(), dataclasses.replace(rivals(42.0), first=(CELL,)))
    assert toy.keys("final") == [KEY, SPACE.key(OTHER), KEY, KEY]


def test_what_is_preferred_competes_with_what_is_known() -> None:
    cells = distinct_cells(4, seed=1)
    a, b, c, d = (Candidate(cell, SPACE.key(cell), 0) for cell in cells)

    def order(candidates: list[Candidate], known: set[str], most: int) -> list[tuple[str, bool]]:
        return [(each.key, each.competes) for each in competing(candidates, known, most)]

    known = {b.key, d.key}
    assert order([a, b, c, d], known, 1) == [
        (b.key, True),
        (a.key, True),
        (c.key, False),
        (d.key, False),
    ]
    assert order([a, b, c, d], known, 2) == [
        (b.key, True),
        (a.key, True),
        (d.key, True),
        (c.key, False),
    ]
    assert order([b, a], known, 1) == [(b.key, True), (a.key, False)]
    assert order([a, c], known, 2) == [(a.key, False), (c.key, False)]
