import dataclasses
import json

import numpy as np
import pytest
from history_space import (
    CHAIN,
    DIGITS,
    MNIST,
    make_evaluation,
    make_failure,
    make_spec,
    make_stopped,
)
from hypothesis import given
from hypothesis import strategies as st

from xfernas_jax.errors import HistoryError, SpaceError, UserError
from xfernas_jax.history import serialize
from xfernas_jax.history.record import Task
from xfernas_jax.space.registry import SPACES, lookup_space

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "evaluation",
    [make_evaluation(3), make_failure(4), make_stopped(6), make_evaluation(5, predicted=None)],
)
def test_reading_inverts_writing(evaluation):
    text = serialize.canonical_json(serialize.evaluation_to_json(CHAIN, evaluation))
    value = serialize.parse_json(text, "here")
    assert serialize.evaluation_from_json(CHAIN, value, "here") == evaluation


@given(st.floats(0, 1), st.floats(0, 1e9), st.floats(allow_nan=False, allow_infinity=False))
def test_floats_keep_every_bit(accuracy, seconds, predicted):
    predicted = max(min(predicted, 1e300), -1e300)
    evaluation = make_evaluation(
        0, valid_accuracy=accuracy, seconds=seconds, predicted=predicted, curve=(accuracy,)
    )
    text = serialize.canonical_json(serialize.evaluation_to_json(CHAIN, evaluation))
    value = serialize.parse_json(text, "here")
    assert serialize.evaluation_from_json(CHAIN, value, "here") == evaluation


@pytest.mark.parametrize("name", sorted(SPACES))
def test_genotypes_of_every_registered_space_come_back_equal(name):
    space = SPACES[name]
    rng = np.random.default_rng(0)
    for _ in range(5):
        evaluation = make_evaluation(0, genotype=space.sample(rng))
        text = serialize.canonical_json(serialize.evaluation_to_json(space, evaluation))
        value = serialize.parse_json(text, "here")
        assert serialize.evaluation_from_json(space, value, "here") == evaluation


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "[Infinity]",
        '{"a": -Infinity}',
        "1e999",
        '{"a": 1, "a": 2}',
        "{",
        "",
        "1 2",
        "[" * 100_000,
        b"\xff\xfe",
        "9" * 5000,
    ],
)
def test_text_that_is_not_strict_json_is_one_line_with_its_place(text):
    with pytest.raises(HistoryError, match=r"^file:7: ") as caught:
        serialize.parse_json(text, "file:7")
    assert "\n" not in str(caught.value)


def read_or_refuse(read, record):
    """Returns what was read, else None after a look at the message."""
    message = ""
    try:
        return read(record)
    except HistoryError as error:
        message = str(error)
    assert message.startswith("file:7: ")
    assert "\n" not in message
    return None


@given(st.sampled_from(sorted(serialize._EVALUATION_FIELDS)), JSON)
def test_any_value_in_any_field_is_read_or_refused_in_one_line(field, value):
    record = serialize.evaluation_to_json(CHAIN, make_evaluation(0)) | {field: value}
    found = read_or_refuse(lambda r: serialize.evaluation_from_json(CHAIN, r, "file:7"), record)
    if found is not None:
        assert serialize.evaluation_to_json(CHAIN, found) == record


@given(st.sampled_from(sorted(serialize._SPEC_FIELDS)), JSON)
def test_any_value_in_any_field_of_a_description_is_read_or_refused(field, value):
    record = serialize.spec_to_json(make_spec()) | {field: value}
    read_or_refuse(lambda r: serialize.spec_from_json(r, "file:7"), record)


@given(JSON)
def test_any_value_as_a_record_is_refused(value):
    with pytest.raises(HistoryError):
        serialize.evaluation_from_json(CHAIN, value, "file:7")
    with pytest.raises(HistoryError):
        serialize.spec_from_json(value, "file:7")


def test_genotype_of_another_space_is_refused_by_name():
    record = serialize.evaluation_to_json(CHAIN, make_evaluation(0))
    record["genotype"] = {"space": "nao5"}
    with pytest.raises(HistoryError, match=r"file:7: .*'nao5'.*'chain'"):
        serialize.evaluation_from_json(CHAIN, record, "file:7")


def test_recorded_space_name_never_imports_a_module(tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('code from data was run')")
    monkeypatch.syspath_prepend(tmp_path)
    record = serialize.spec_to_json(make_spec()) | {"space": "evil_module:SPACE"}
    with pytest.raises(HistoryError, match=r"file:1: .*not as module:NAME"):
        serialize.spec_from_json(record, "file:1")
    with pytest.raises(SpaceError, match="not as module:NAME"):
        lookup_space("evil_module:SPACE")
    with pytest.raises(SpaceError, match="not as module:NAME"):
        serialize.spec_to_json(make_spec(space="evil_module:SPACE"))


def test_config_that_is_no_json_is_refused():
    with pytest.raises(HistoryError, match="JSON"):
        serialize.spec_to_json(make_spec(config={"rate": float("nan")}))
    with pytest.raises(HistoryError, match="JSON"):
        serialize.spec_to_json(make_spec(config={"rate": object()}))


def test_default_name_depends_on_every_choice_and_not_on_their_order():
    name = serialize.default_study_name(DIGITS, {"seed": 1, "space": "nao5"})
    assert name == serialize.default_study_name(DIGITS, {"space": "nao5", "seed": 1})
    others = [
        serialize.default_study_name(DIGITS, {"seed": 2, "space": "nao5"}),
        serialize.default_study_name(MNIST, {"seed": 1, "space": "nao5"}),
        serialize.default_study_name(
            Task("digits", "another split", 10), {"seed": 1, "space": "nao5"}
        ),
    ]
    assert len({name, *others}) == 4
    assert name.startswith("digits-")


@given(st.text(min_size=1, max_size=300))
def test_default_name_of_any_data_set_is_a_safe_name(dataset):
    name = serialize.default_study_name(Task(dataset, "split", 2), {})
    serialize.check_study_name(name)
    assert len(name) <= 49


@given(st.text(max_size=20))
def test_names_are_safe_or_refused(name):
    try:
        serialize.check_study_name(name)
    except UserError:
        return
    assert "/" not in name
    assert not name.startswith(".")
    assert name == json.loads(json.dumps(name))
    assert name.isascii()


@pytest.mark.parametrize("changes", [{"valid_accuracy": 0.5}, {"curve": ()}])
def test_a_stopped_evaluation_has_a_curve_and_no_score(changes):
    (field,) = changes
    with pytest.raises(HistoryError, match=field):
        dataclasses.replace(make_stopped(0), **changes)


def test_a_score_may_leave_the_range_of_an_accuracy_and_costs_may_not_be_negative():
    score = make_evaluation(0, metric="score", valid_accuracy=-3.5, curve=(-9.0, -3.5))
    record = serialize.evaluation_to_json(CHAIN, score)
    assert serialize.evaluation_from_json(CHAIN, record, "file:7") == score
    with pytest.raises(HistoryError, match="fraction"):
        dataclasses.replace(score, metric="accuracy")
    with pytest.raises(HistoryError, match="latency_ms"):
        dataclasses.replace(score, costs=(("latency_ms", -1.0),))


def test_records_from_before_costs_are_read():
    record = serialize.evaluation_to_json(CHAIN, make_evaluation(0, costs=()))
    del record["costs"], record["metric"], record["number"]
    assert serialize.evaluation_from_json(CHAIN, record, "file:7") == make_evaluation(0, costs=())
