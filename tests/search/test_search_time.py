"""Searches that have so much time and no more, and end in a final training."""

import dataclasses
import itertools
import pickle
from typing import Any

import pytest
from search_toy import SPACE, Keeper, Toy, distinct_cells, evaluated, explored, search
from timed_toy import Now, TimedToy

from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.history.record import Result
from xfernas_jax.search.clock import Clock, StopAt, start_clock
from xfernas_jax.search.outcome import Outcome
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.seen import Suggestion

FIRST = tuple(distinct_cells(3, seed=5))
KEYS = [SPACE.key(cell) for cell in FIRST]
PLAN = SearchPlan(6, 4, 3, finishes=True, first=FIRST)
FAILS = Result("failed", failure="diverged")


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    return Now(monkeypatch)


def timed(budget: float, search_seconds: float, **changes: Any) -> SearchPlan:
    return dataclasses.replace(PLAN, clock=start_clock(budget, search_seconds), **changes)


def finals(record: MemoryRecord) -> list[Any]:
    return [e for e in record.evaluations() if e.purpose == "final"]


def found(toy: Any, record: MemoryRecord, plan: SearchPlan, **desk: Any) -> Outcome:
    outcome = search("random", toy, record, plan, **desk)
    assert outcome is not None
    return outcome


def by_final(values: dict[str, float], searched: float = 0.2) -> Any:
    """Returns a score: `values` by key in final trainings, one value for all in the search."""
    return lambda job: values.get(job.key, 0.1) if job.purpose == "final" else searched


def test_the_time_of_earlier_processes_counts_side_by_side(now: Now) -> None:
    cells = distinct_cells(2)
    recorded = [evaluated(cell, Result("complete", 0.5, (0.5,), seconds=30.0)) for cell in cells]
    clock = start_clock(100.0, 40.0, recorded, num_workers=2)
    assert (clock.spent(), clock.left()) == (30.0, 70.0)
    now.seconds += 5.0
    assert clock.has_room([evaluated(cells[0], Result("complete", 0.5, (0.5,), seconds=4.1))])
    assert not clock.has_room([evaluated(cells[0], Result("complete", 0.5, (0.5,), seconds=4.3))])
    now.seconds += 500.0
    assert clock.left() == 0.0


def test_time_may_count_from_a_moment_before_the_search(now: Now) -> None:
    assert start_clock(100.0, 40.0, started=now.seconds - 7.0).spent() == 7.0


def test_a_stopper_ends_at_the_searchs_end_or_where_another_says_so(now: Now) -> None:
    clock = Clock(100.0, 40.0, now.seconds)
    own = clock.stopper()
    other = clock.stopper(lambda curve: len(curve) > 1)
    assert not own([0.1, 0.2])
    assert other([0.1, 0.2])
    assert not other([0.1])
    now.seconds += 40.0
    assert own([0.1])
    assert other([0.1])


def test_the_fewest_that_are_compared_may_take_longer(now: Now) -> None:
    done = evaluated(FIRST[0], Result("complete", 0.5, (0.5,), seconds=5.0))
    clock = Clock(100.0, 10.0, now.seconds - 20.0, fewest=2, latest_seconds=45.0)
    assert clock.has_room([done])
    assert not clock.has_room([done, done])
    assert not clock.stopper(num_before=1)((0.5,))
    assert clock.stopper(num_before=2)((0.5,))
    assert not dataclasses.replace(clock, latest_seconds=24.0).has_room([done])


def test_a_stopper_can_be_sent_to_a_worker() -> None:
    assert pickle.loads(pickle.dumps(StopAt(5.0))) == StopAt(5.0)


@pytest.mark.parametrize("schedule", ["rounds", "async"])
def test_what_the_plan_names_first_is_evaluated_first_once_and_counts(schedule: str) -> None:
    record = MemoryRecord()
    found(Toy(), record, dataclasses.replace(PLAN, schedule=schedule))
    done = explored(record)
    assert [e.key for e in done[:3]] == KEYS
    assert len({e.key for e in done}) == len(done) == 6
    assert [e.number for e in done] == list(range(6))


def test_more_than_a_batch_may_be_named_first() -> None:
    first, record = tuple(distinct_cells(7)), MemoryRecord()
    found(Toy(), record, SearchPlan(8, 4, first=first, confirm_seeds=0))
    assert [e.genotype for e in explored(record)[:7]] == list(first)


def test_what_an_earlier_study_evaluated_is_not_evaluated_first_again() -> None:
    record = MemoryRecord()
    search("random", Toy(), record, PLAN, prior=[evaluated(FIRST[1], 0.4)])
    assert [e.key for e in explored(record)[:2]] == [KEYS[0], KEYS[2]]
    assert KEYS[1] not in [e.key for e in explored(record)]


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_a_killed_search_goes_on_with_the_same_jobs(limit: int) -> None:
    plan, whole, broken = dataclasses.replace(PLAN, confirm_seeds=1), MemoryRecord(), MemoryRecord()
    outcome = found(Toy(), whole, plan)
    with pytest.raises(KeyboardInterrupt):
        search("random", Toy(limit=limit), broken, plan)
    assert found(Toy(), broken, plan) == outcome
    assert [e.job for e in broken.evaluations()] == [e.job for e in whole.evaluations()]


def test_no_evaluation_begins_that_the_median_says_will_not_fit(now: Now) -> None:
    record = MemoryRecord()
    plan = timed(100.0, 35.0, schedule="async", budget_evaluations=100)
    found(TimedToy(now), record, plan)
    assert len(explored(record)) == 3
    assert all(e.status == "complete" for e in explored(record))


def test_the_first_evaluation_always_begins_and_is_stopped_at_the_searchs_end(now: Now) -> None:
    record, toy = MemoryRecord(), TimedToy(now)
    found(toy, record, timed(100.0, 4.0))
    (first, *others) = explored(record)
    assert (first.status, len(first.curve)) == ("stopped", 4)
    assert all(len(e.curve) == 1 for e in others)  # the rest of its round, asked for with it


def test_a_running_evaluation_is_stopped_at_the_searchs_end(now: Now) -> None:
    record, slow = MemoryRecord(), KEYS[2]
    toy = TimedToy(now, lambda job: 50 if job.key == slow else 10)
    found(toy, record, timed(100.0, 35.0, schedule="async"))
    assert [(e.status, e.seconds) for e in explored(record)] == [
        ("complete", 10.0),
        ("complete", 10.0),
        ("stopped", 15.0),
    ]


def test_the_first_finalist_is_trained_in_what_is_left_of_the_time(now: Now) -> None:
    record = MemoryRecord()
    toy = TimedToy(now, lambda job: 1000 if job.purpose == "final" else 10)
    found(toy, record, timed(100.0, 35.0, schedule="async"))
    (final,) = finals(record)
    assert final.job.limit_seconds == 100.0 - 30.0 - 3.0
    assert final.job.number == 0
    assert now.seconds - 1000.0 <= 100.0
    searched = {e.key: e.seed for e in explored(record)}
    assert final.seed == searched[final.key] + 1


def test_another_finalist_follows_only_while_there_is_time_for_it(now: Now) -> None:
    record = MemoryRecord()
    toy = TimedToy(now, lambda job: 30 if job.purpose == "final" else 10)
    found(toy, record, timed(100.0, 35.0, schedule="async"))
    assert [e.seconds for e in finals(record)] == [30.0, 30.0]  # 30 searched, 7 are left
    assert [e.number for e in finals(record)] == [0, 1]


def test_another_finalist_may_be_trained_for_as_little_as_half_as_long(now: Now) -> None:
    record = MemoryRecord()
    toy = TimedToy(now, lambda job: 42 if job.purpose == "final" else 10)
    found(toy, record, timed(100.0, 35.0, schedule="async"))
    assert [e.seconds for e in finals(record)] == [42.0, 25.0]  # 30 searched, 3 are kept


def chain(monkeypatch: pytest.MonkeyPatch, *cells: Any) -> None:
    """Makes each cell the next wider form of the one before."""
    wider = dict(itertools.pairwise(cells))
    monkeypatch.setattr(type(SPACE), "wider", lambda _, genotype: wider.get(genotype))


def growing_toy(now: Now, **changes: Any) -> TimedToy:
    return TimedToy(now, lambda job: 20 if job.purpose == "final" else 10, **changes)


def test_a_finalist_that_leaves_time_is_trained_again_wider(now: Now) -> None:
    record, seconds, (wide,) = MemoryRecord(), [], distinct_cells(1, seed=77)

    def grow(genotype: Any, limit: float) -> Any:
        seconds.append(limit)
        return wide

    score = lambda job: 0.9 if job.key == SPACE.key(wide) else 0.5  # noqa: E731
    plan = timed(100.0, 35.0, schedule="async", grow=grow)
    outcome = found(growing_toy(now, score=score), record, plan)
    first, second, *_ = finals(record)
    assert first.key in {e.key for e in explored(record)}
    assert (second.key, second.job.limit_seconds) == (SPACE.key(wide), 47.0)
    assert seconds[0] == 47.0
    assert outcome.genotype == wide
    assert [e.number for e in finals(record)] == list(range(len(finals(record))))


def test_a_wider_network_is_handed_over_only_where_it_is_better(now: Now) -> None:
    record, (wide,) = MemoryRecord(), distinct_cells(1, seed=77)
    score = lambda job: 0.1 if job.key == SPACE.key(wide) else 0.5  # noqa: E731
    plan = timed(100.0, 35.0, schedule="async", grow=lambda *_: wide)
    outcome = found(growing_toy(now, score=score), record, plan)
    assert SPACE.key(wide) in {e.key for e in finals(record)}
    assert outcome.genotype == finals(record)[0].genotype


def test_nothing_grows_where_no_time_is_left_or_a_training_failed(now: Now) -> None:
    (wide,) = distinct_cells(1, seed=77)
    plan = timed(100.0, 35.0, schedule="async", grow=lambda *_: wide)
    slow = TimedToy(now, lambda job: 1000 if job.purpose == "final" else 10)
    found(slow, record := MemoryRecord(), plan)
    assert len(finals(record)) == 1
    fails = lambda job: FAILS if job.purpose == "final" else 0.5  # noqa: E731
    plan = timed(1000.0, 35.0, schedule="async", grow=lambda *_: wide)
    found(growing_toy(now, score=fails), record := MemoryRecord(), plan)
    assert SPACE.key(wide) not in {e.key for e in finals(record)}


def test_finalists_that_become_one_network_are_trained_once(now: Now) -> None:
    record, (wide,) = MemoryRecord(), distinct_cells(1, seed=77)
    found(growing_toy(now), record, timed(900.0, 35.0, schedule="async", grow=lambda *_: wide))
    keys = [e.key for e in finals(record)]
    assert len(set(keys)) == len(keys) == 4  # three finalists and what they become


def test_what_grew_before_a_kill_is_not_trained_again(
    now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, (wide,) = MemoryRecord(), distinct_cells(1, seed=77)
    keeper, between = Keeper(), distinct_cells(2, seed=78)[1]
    chain(monkeypatch, FIRST[0], between, wide)
    score = lambda job: 0.9 if job.key in (KEYS[0], SPACE.key(wide)) else 0.2  # noqa: E731
    plan = timed(100.0, 35.0, schedule="async", grow=lambda genotype, _: wide)
    outcome = found(growing_toy(now, score=score), record, plan, keeper=keeper)
    assert [e.key for e in finals(record)][:2] == [KEYS[0], SPACE.key(wide)]
    again = growing_toy(now, score=score)
    late = dataclasses.replace(plan, grow=lambda genotype, _: genotype)
    assert found(again, record, late, keeper=keeper) == outcome
    assert again.jobs == []


def test_without_a_clock_all_finalists_are_trained_without_a_limit() -> None:
    record = MemoryRecord()
    outcome = found(Toy(), record, PLAN)
    assert [e.job.limit_seconds for e in finals(record)] == [None] * 3
    assert outcome.num_confirmations == len(outcome.finalists) == 3


@pytest.mark.parametrize("best", KEYS)
def test_the_finalist_with_the_best_final_value_is_handed_over_and_tested(best: str) -> None:
    record, keeper = MemoryRecord(), Keeper()
    toy = Toy(by_final({best: 0.8}))
    outcome = found(toy, record, dataclasses.replace(PLAN, budget_evaluations=3), keeper=keeper)
    final = next(e for e in finals(record) if e.key == best)
    assert SPACE.key(outcome.genotype) == best
    assert (outcome.value, outcome.test) == (0.8, final.seed / 2**32)
    assert toy.tested == [{"seed": final.seed}]
    assert outcome.variables_name == f"{best}-{final.seed}"
    assert outcome.variables_name in keeper.kept


def test_a_final_training_that_fails_hands_over_the_searchs_best_untested() -> None:
    fails = lambda job: FAILS if job.purpose == "final" else job.seed / 2**32  # noqa: E731
    record, toy = MemoryRecord(), Toy(fails)
    outcome = found(toy, record, PLAN, keeper=Keeper())
    best = max(explored(record), key=lambda e: e.value or 0.0)
    assert (outcome.genotype, outcome.value) == (best.genotype, best.value)
    assert (outcome.test, outcome.variables_name, toy.tested) == (None, "", [])
    assert all(finalist.mean is None for finalist in outcome.finalists[1:])


def test_one_final_training_that_fails_leaves_the_others() -> None:
    scores = by_final(dict.fromkeys(KEYS, 0.3))
    fails = lambda job: FAILS if job.number == 0 and job.purpose == "final" else scores(job)  # noqa: E731
    outcome = found(Toy(fails), MemoryRecord(), dataclasses.replace(PLAN, budget_evaluations=3))
    assert [finalist.mean for finalist in outcome.finalists] == [None, 0.3, 0.3]
    assert (outcome.genotype, outcome.value) == (outcome.finalists[1].genotype, 0.3)


def test_without_one_evaluation_the_first_of_the_plan_is_trained(now: Now) -> None:
    record = MemoryRecord()
    toy = TimedToy(now, lambda _: 1000)
    outcome = found(toy, record, timed(100.0, 35.0, budget_evaluations=0))
    assert toy.keys("final") == KEYS[:1]
    assert (outcome.genotype, outcome.num_evaluations) == (FIRST[0], 0)
    assert outcome.test is not None


def test_without_evaluations_and_references_what_is_suggested_is_trained() -> None:
    plan = dataclasses.replace(PLAN, budget_evaluations=0, first=())
    record = MemoryRecord()
    outcome = found(Toy(), record, plan)
    assert [e.genotype for e in finals(record)] == [outcome.genotype]
    assert found(Toy(), MemoryRecord(), plan) == outcome


@pytest.mark.parametrize("keeps", [True, False])
def test_a_recorded_final_training_is_not_trained_again(now: Now, keeps: bool) -> None:
    record, keeper = MemoryRecord(), Keeper() if keeps else None
    outcome = found(Toy(), record, PLAN, keeper=keeper)
    before, again = record.evaluations(), Toy()
    assert found(again, record, PLAN, keeper=keeper) == outcome
    assert again.calls == (0 if keeps else 1)  # variables that nobody kept are made again
    assert record.evaluations() == before


def test_a_search_that_was_killed_in_its_final_training_trains_that_alone(now: Now) -> None:
    record = MemoryRecord()
    plan = timed(100.0, 35.0, schedule="async")
    epochs = lambda job: 1000 if job.purpose == "final" else 10  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        search("random", TimedToy(now, epochs, limit=3), record, plan)
    now.seconds += 5000.0
    clock = start_clock(100.0, 35.0, record.evaluations())
    toy = TimedToy(now, epochs)
    found(toy, record, dataclasses.replace(plan, clock=clock))
    assert [job.purpose for job in toy.jobs] == ["final"]
    assert toy.jobs[0].limit_seconds == 67.0


def test_a_final_training_that_broke_is_tried_again_under_other_options() -> None:
    record, broken = MemoryRecord(), Result("broken", failure="out of memory")
    plan = dataclasses.replace(PLAN, budget_evaluations=3)
    breaks = lambda job: broken if job.purpose == "final" else 0.5  # noqa: E731
    found(Toy(breaks), record, plan, runtime="remat=false")
    same = Toy()
    assert found(same, record, plan, runtime="remat=false").test is None
    assert same.calls == 0
    other = Toy()
    assert found(other, record, plan, runtime="remat=true").test is not None
    assert other.calls == 3


def test_a_job_may_take_no_time_but_not_less() -> None:
    record = MemoryRecord()
    plan = dataclasses.replace(PLAN, budget_evaluations=3, clock=Clock(1.0, 1.0, 0.0))
    found(Toy(), record, plan)  # which is over since long
    assert [e.job.limit_seconds for e in finals(record)][:1] == [0.0]


SUGGESTED = distinct_cells(4, seed=9)


class Fixed:
    """Suggests the same cells in the same order, as far as they are new."""

    def suggest(self, seen: Any, rng: Any, count: int) -> list[Any]:
        batch = seen.batch()
        for cell in SUGGESTED:
            if len(batch) < count:
                batch.add(Suggestion(cell, 0.5))
        return batch.fill(rng, count)


@pytest.mark.parametrize("schedule", ["rounds", "async"])
def test_a_suggestion_may_come_before_what_the_plan_names(schedule: str) -> None:
    record = MemoryRecord()
    search(
        Fixed(), Toy(), record, dataclasses.replace(PLAN, schedule=schedule, suggests_first=True)
    )
    done = explored(record)
    assert [e.key for e in done[:4]] == [SPACE.key(SUGGESTED[0]), *KEYS]
    assert [e.job.predicted is None for e in done[:4]] == [False, True, True, True]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_search_that_suggests_first_goes_on_with_the_same_jobs(limit: int) -> None:
    plan, whole = dataclasses.replace(PLAN, suggests_first=True), MemoryRecord()
    search(Fixed(), Toy(), whole, plan)
    broken = MemoryRecord()
    with pytest.raises(KeyboardInterrupt):
        search(Fixed(), Toy(limit=limit), broken, plan)
    search(Fixed(), Toy(), broken, plan)
    assert [e.job for e in broken.evaluations()] == [e.job for e in whole.evaluations()]


def test_without_one_evaluation_a_known_network_is_trained_and_nothing_is_asked(now: Now) -> None:
    class Silent:
        def suggest(self, *_: Any) -> list[Any]:
            raise AssertionError

    toy = TimedToy(now, lambda _: 1000)
    plan = timed(100.0, 35.0, budget_evaluations=0, suggests_first=True, first=(FIRST[0],))
    search(Silent(), toy, MemoryRecord(), plan)
    assert toy.keys("final")[0] == SPACE.key(FIRST[0])


def test_without_one_evaluation_what_is_suggested_first_is_trained(now: Now) -> None:
    record = MemoryRecord()
    toy = TimedToy(now, lambda _: 1000)
    plan = timed(100.0, 35.0, budget_evaluations=0, suggests_first=True, first=())
    search(Fixed(), toy, record, plan)
    assert toy.keys("final") == [SPACE.key(SUGGESTED[0])]
