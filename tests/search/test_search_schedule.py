# pyright: reportAttributeAccessIssue=false
"""Rounds and async: when they ask, and what they promise."""

import pytest
from search_toy import SPACE, Shuffled, Toy, distinct_cells, evaluated, explored, search

from xfernas_jax.errors import FlagError
from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.schedule import SCHEDULES, Async, Rounds, make_schedule

CELLS = distinct_cells(10)


def done(*numbers: int) -> list:
    return [evaluated(CELLS[n], 0.1 * n, n) for n in numbers]


def test_rounds_wait_for_all_and_show_whole_rounds_in_order() -> None:
    rounds = Rounds(10, 4)
    assert rounds.ask(done(0, 1), {2, 3}, {0, 1, 2, 3}, 3) is None
    ask = rounds.ask(done(3, 1, 0, 2), set(), {0, 1, 2, 3}, 1)
    assert (ask.number, ask.count, ask.numbers) == (1, 4, (4, 5, 6, 7))
    assert [e.number for e in ask.seen] == [0, 1, 2, 3]


def test_rounds_ask_for_what_a_killed_round_lacks() -> None:
    ask = Rounds(10, 4).ask(done(0, 1, 2, 3, 4, 6), set(), set(), 1)
    assert (ask.number, ask.count, ask.numbers) == (1, 4, (5, 7))
    assert [e.number for e in ask.seen] == [0, 1, 2, 3]


def test_the_last_round_is_cut_and_not_asked_otherwise() -> None:
    ask = Rounds(6, 4).ask(done(0, 1, 2, 3), set(), set(), 1)
    assert (ask.count, ask.numbers) == (4, (4, 5))
    assert Rounds(6, 4).ask(done(0, 1, 2, 3, 4), set(), {4, 5}, 1) is None  # a short round


def test_async_asks_whenever_a_worker_is_free_with_all_that_is_in() -> None:
    schedule = Async(10, 4)
    ask = schedule.ask(done(3, 0), {1, 2}, {0, 1, 2, 3}, 1)
    assert (ask.number, ask.count, ask.numbers) == (4, 1, (4,))
    assert [e.number for e in ask.seen] == [3, 0]  # as recorded
    assert schedule.ask(done(3, 0), {1, 2, 4, 5}, set(), 0) is None
    assert schedule.ask(done(*range(10)), set(), set(), 4) is None


@pytest.mark.parametrize("limit", [1, 5, 11])
def test_async_evaluates_each_number_once_and_nothing_twice_after_a_kill(limit: int) -> None:
    plan = SearchPlan(16, 4, schedule="async", confirm_seeds=0)
    record, rest = MemoryRecord(), Shuffled(Toy(), 2)
    with pytest.raises(KeyboardInterrupt):
        search("evolution", Shuffled(Toy(), 1, limit), record, plan)
    search("evolution", rest, record, plan)
    assert sorted(e.number for e in explored(record)) == list(range(16))
    assert len({e.key for e in explored(record)}) == 16
    assert limit + rest.num_finished == 16


def test_async_never_leaves_a_worker_idle() -> None:
    executor, idle = Shuffled(Toy(), 1), []
    wait = executor.next_finished
    executor.next_finished = lambda w: (idle.append(len(executor._waiting)), wait(w))[1]
    search("random", executor, MemoryRecord(), SearchPlan(12, 4, schedule="async", confirm_seeds=0))
    assert idle == [4] * 9 + [3, 2, 1]


def test_a_schedule_is_known_by_name_or_is_one_of_yours() -> None:
    assert set(SCHEDULES) == {"rounds", "async"}
    assert make_schedule("xfernas_jax.search.schedule:Async", 5, 2) == Async(5, 2)
    with pytest.raises(FlagError, match="Did you mean rounds"):
        make_schedule("round", 5, 2)


def test_what_the_optimizer_had_seen_is_recorded() -> None:
    record = MemoryRecord()
    search("random", Toy(), record, SearchPlan(8, 4, confirm_seeds=0))
    assert [e.job.after for e in explored(record)] == [0] * 4 + [4] * 4
    assert {e.key for e in explored(record)} == {SPACE.key(e.genotype) for e in explored(record)}
