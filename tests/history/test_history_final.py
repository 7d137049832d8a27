"""Final trainings and their limits in a record: kept, and taken for nothing that they are not."""

import dataclasses

import pytest
from history_space import CHAIN, DIGITS, MNIST, get_space, make_evaluation, make_spec

from xfernas_jax.errors import HistoryError
from xfernas_jax.history import serialize
from xfernas_jax.history.jsonl import read_jsonl, write_jsonl
from xfernas_jax.history.sources import RecordedStudy, select_sources
from xfernas_jax.history.storage import Storage, append_all, study_summaries
from xfernas_jax.history.summary import summarize

SPEC = make_spec()
FINAL = make_evaluation(1, purpose="final", limit_seconds=123.4375, value=0.99)


def from_json(value):
    return serialize.evaluation_from_json(CHAIN, SPEC, value, "file:7")


def test_a_limit_and_the_purpose_survive_json_lines(tmp_path):
    file = tmp_path / "study.jsonl"
    write_jsonl(file, SPEC, [make_evaluation(0), FINAL], get_space=get_space)
    assert read_jsonl(file, get_space=get_space)[1] == (make_evaluation(0), FINAL)


def test_a_limit_and_the_purpose_survive_the_database(tmp_path):
    url = f"sqlite:///{tmp_path}/history.db"
    with Storage(url, get_space=get_space) as storage:
        append_all(storage, SPEC, [make_evaluation(0), FINAL])
    with Storage(url, get_space=get_space) as storage:
        assert storage.evaluations("study") == (make_evaluation(0), FINAL)


def test_a_record_without_a_limit_is_written_as_before_and_read():
    evaluation = make_evaluation(0)
    written = serialize.evaluation_to_json(CHAIN, evaluation)
    assert "limit_seconds" not in written
    assert from_json(written) == evaluation
    assert evaluation.job.limit_seconds is None


@pytest.mark.parametrize("limit", [-1.0, float("inf"), float("nan")])
def test_a_limit_that_is_negative_or_not_finite_is_refused(limit):
    with pytest.raises(HistoryError, match="limit_seconds is finite and not negative"):
        dataclasses.replace(FINAL.job, limit_seconds=limit)


@pytest.mark.parametrize("limit", [-1.0, "12", True, [1.0]])
def test_a_recorded_limit_that_is_none_is_refused_with_its_place(limit):
    written = {**serialize.evaluation_to_json(CHAIN, FINAL), "limit_seconds": limit}
    with pytest.raises(HistoryError, match=r"^file:7: .*limit_seconds"):
        from_json(written)


def test_a_limit_is_not_part_of_what_a_record_holds_once():
    shorter = dataclasses.replace(FINAL, job=dataclasses.replace(FINAL.job, limit_seconds=1.0))
    assert shorter.identity == FINAL.identity
    assert make_evaluation(1).identity != FINAL.identity


def test_final_values_never_become_sources():
    recorded = (make_evaluation(0), FINAL, make_evaluation(2))
    study = RecordedStudy(make_spec("mnist-a", MNIST), lambda: recorded)
    (source,) = select_sources([study], CHAIN, DIGITS, "all")
    assert source.evaluations == (make_evaluation(0), make_evaluation(2))


def test_a_study_of_final_trainings_alone_is_no_source():
    study = RecordedStudy(make_spec("mnist-a", MNIST), lambda: (FINAL,))
    assert select_sources([study], CHAIN, DIGITS, "all") == ()


def test_a_final_value_is_not_the_best_of_a_study_but_counts_as_an_evaluation(tmp_path):
    with Storage(f"sqlite:///{tmp_path}/history.db", get_space=get_space) as storage:
        append_all(storage, SPEC, [make_evaluation(0), FINAL])
        (row,) = study_summaries(storage)
    assert (row.num_evaluations, row.best_value) == (2, 0.5)
    assert summarize(SPEC, [serialize.evaluation_to_json(CHAIN, FINAL)]).best_value is None
