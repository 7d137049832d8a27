"""What every record promises: the one in memory and a study's in a database."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator

import pytest
from history_space import (
    Chain,
    get_space,
    make_broken,
    make_evaluation,
    make_failure,
    make_spec,
    make_stopped,
)

from xfernas_jax.errors import HistoryError
from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.history.record import Evaluation, Record, Task, TaskFacts
from xfernas_jax.history.storage import Storage


@pytest.fixture(params=["memory", "storage"])
def make_record(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> Iterator[Callable[..., Record]]:
    """Returns a function that makes a record of given evaluations."""
    if request.param == "memory":
        yield lambda *evaluations: MemoryRecord(evaluations)
        return
    with Storage(f"sqlite:///{tmp_path / 'history.db'}", get_space=get_space) as storage:
        storage.create_or_open(make_spec())

        def make(*evaluations: Evaluation) -> Record:
            record = storage.record("study")
            for evaluation in evaluations:
                record.append(evaluation)
            return record

        yield make


def test_it_is_a_record(make_record):
    assert isinstance(make_record(), Record)


def test_evaluations_come_back_equal_in_the_order_of_recording(make_record):
    written = (make_evaluation(4), make_failure(0), make_stopped(1), make_broken(2))
    record = make_record(*written[:2])
    for evaluation in written[2:]:
        record.append(evaluation)
    assert record.evaluations() == written


def test_a_second_evaluation_of_a_training_is_dropped(make_record):
    first = make_evaluation(0, genotype=Chain((0, 1, 2, 3, 0, 1, 2, 3)))
    renumbered = make_evaluation(1, genotype=Chain((3, 2, 1, 0, 3, 2, 1, 0)))
    assert make_record(first, renumbered, first).evaluations() == (first,)


@pytest.mark.parametrize("change", [{"seed": 1}, {"purpose": "confirm"}, {"purpose": "test"}])
def test_another_seed_or_purpose_is_another_training(make_record, change):
    written = (make_evaluation(0), make_evaluation(0, **change))
    assert make_record(*written).evaluations() == written


@pytest.mark.parametrize("runtime", ["", "remat=False"])
def test_what_broke_gives_way_to_a_later_try(make_record, runtime):
    other, done = make_evaluation(1), make_evaluation(0)
    record = make_record(make_broken(0, runtime), other)
    record.append(done)
    assert record.evaluations() == (other, done)


def test_what_broke_again_under_other_options_is_there_once(make_record):
    again = make_broken(0, "remat=True")
    assert make_record(make_broken(0, "remat=False"), again).evaluations() == (again,)


def test_what_broke_again_under_the_same_options_is_dropped(make_record):
    first = make_broken(0, "remat=False", seconds=1.0)
    again = make_broken(0, "remat=False", seconds=2.0)
    assert make_record(first, again).evaluations() == (first,)


def test_what_broke_gives_way_to_no_other_seed(make_record):
    written = (make_broken(0), make_evaluation(0, seed=1))
    assert make_record(*written).evaluations() == written


def test_a_result_is_kept_and_replaced(make_record):
    record = make_record()
    assert record.result() is None
    record.set_result({"value": 0.5, "sources": ["a"]})
    record.set_result({"value": 0.75})
    assert record.result() == {"value": 0.75}


FACTS = TaskFacts(1024, 8, 64, True, 4.0)


def test_facts_are_logarithms_and_a_colour():
    assert FACTS.numbers() == (10.0, 3.0, 6.0, 2.0, 1.0)
    assert Task("d", "s", 8, facts=FACTS).numbers == FACTS.numbers()
    assert Task("d", "s", 8).numbers == ()


def test_facts_do_not_tell_tasks_apart():
    assert Task("d", "s", 8, facts=FACTS) == Task("d", "s", 8)


@pytest.mark.parametrize(
    "change",
    [
        {"num_images": 0},
        {"num_classes": 1},
        {"side": 0},
        {"imbalance": 0.5},
        {"imbalance": float("nan")},
    ],
)
def test_impossible_facts_are_refused(change):
    with pytest.raises(HistoryError, match="2 classes, a pixel"):
        dataclasses.replace(FACTS, **change)
