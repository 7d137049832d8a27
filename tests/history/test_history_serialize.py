import dataclasses
import json

import numpy as np
import pytest
from history_space import (
    CHAIN,
    DIGITS,
    MNIST,
    make_broken,
    make_evaluation,
    make_failure,
    make_spec,
    make_stopped,
)
from hypothesis import given
from hypothesis import strategies as st

from xfernas_jax.errors import HistoryError, SpaceError, UserError
from xfernas_jax.history import serialize
from xfernas_jax.history.metric import SCORE, Metric
from xfernas_jax.history.record import Task, TaskFacts
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import SPACES, lookup_space

LOG_LOSS = Metric("log_loss", "log loss", "nats", low=0.0, maximize=False)
SPEC = make_spec()
EXAMPLES = [
    make_evaluation(3, number=7),
    make_failure(4),
    make_stopped(6),
    make_broken(2, "remat=False"),
    make_evaluation(5, predicted=None),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def read(record, space: Space = CHAIN, spec=SPEC):
    return serialize.evaluation_from_json(space, spec, record, "file:7")


def through_text(evaluation, space: Space = CHAIN, spec=SPEC):
    text = serialize.ordered_json(serialize.evaluation_to_json(space, evaluation))
    return read(serialize.parse_json(text, "here"), space, spec)


@pytest.mark.parametrize("evaluation", EXAMPLES, ids=lambda evaluation: evaluation.status)
def test_reading_inverts_writing(evaluation):
    assert through_text(evaluation) == evaluation


@given(st.floats(0, 1), st.floats(0, 1e9), st.floats(-1e300, 1e300))
def test_floats_keep_every_bit(value, seconds, predicted):
    evaluation = make_evaluation(
        0, value=value, seconds=seconds, predicted=predicted, curve=(value,)
    )
    assert through_text(evaluation) == evaluation


@pytest.mark.parametrize("name", sorted(SPACES))
def test_genotypes_of_every_registered_space_come_back_equal(name):
    space = SPACES[name]
    rng = np.random.default_rng(0)
    for _ in range(5):
        evaluation = make_evaluation(0, genotype=space.sample(rng), space=space)
        assert through_text(evaluation, space) == evaluation


@pytest.mark.parametrize("metric", [SCORE, LOG_LOSS], ids=lambda metric: metric.name)
@pytest.mark.parametrize("num_classes", [None, 2])
def test_a_description_with_any_metric_is_read_whole(metric, num_classes):
    spec = make_spec(task=Task("digits", "split", num_classes, metric), version="0.2.0")
    assert serialize.spec_from_json(serialize.spec_to_json(spec), "here") == spec


def test_a_key_is_made_from_the_genotype_and_not_taken_from_the_record():
    record = serialize.evaluation_to_json(CHAIN, make_evaluation(0, key="forged"))
    assert read(record).key == make_evaluation(0).key
    with pytest.raises(HistoryError, match=r"file:7: .*unknown: .'key'"):
        read({**record, "key": "forged"})


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


@given(st.sampled_from(sorted(serialize._EVALUATION)), JSON)
def test_any_value_in_any_field_is_read_or_refused_in_one_line(field, value):
    record = serialize.evaluation_to_json(CHAIN, make_evaluation(0)) | {field: value}
    found = read_or_refuse(read, record)
    if found is not None:
        if record.get("limit_seconds", 0) is None:  # which is not written
            del record["limit_seconds"]
        assert serialize.evaluation_to_json(CHAIN, found) == record


@given(st.sampled_from(sorted(serialize._SPEC)), JSON)
def test_any_value_in_any_field_of_a_description_is_read_or_refused(field, value):
    record = serialize.spec_to_json(make_spec()) | {field: value}
    read_or_refuse(lambda r: serialize.spec_from_json(r, "file:7"), record)


@given(JSON)
def test_any_value_as_a_record_is_refused(value):
    with pytest.raises(HistoryError):
        read(value)
    with pytest.raises(HistoryError):
        serialize.spec_from_json(value, "file:7")


def test_genotype_of_another_space_is_refused_by_name():
    record = serialize.evaluation_to_json(CHAIN, make_evaluation(0))
    record["genotype"] = {"space": "nao5"}
    with pytest.raises(HistoryError, match=r"file:7: .*'nao5'.*'chain'"):
        read(record)


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


def test_default_name_is_that_of_version_0_1_0_with_its_neutral_options_or_without():
    """The name of the bundled history `mnist_5k`, which that version made by default."""
    recipe = {
        "name": "cpu",
        "network": {
            "auxiliary_weight": 0.0,
            "bn_momentum": 0.8,
            "drop_path_keep": 1.0,
            "dropout_keep": 1.0,
            "dtype": "float32",
            "filters": 8,
            "num_cells": 2,
            "num_stages": 1,
            "stem_multiplier": 1,
        },
        "data": {
            "augment": "none",
            "crop_padding": 4,
            "cutout": 0,
            "image_size": 8,
            "standardize": "dataset",
            "train_examples": 512,
            "valid_examples": 2000,
        },
        "train": {
            "batch_size": 64,
            "clip_norm": 5.0,
            "epochs": 16,
            "label_smoothing": 0.0,
            "learning_rate": 0.2,
            "momentum": 0.9,
            "optimizer": "sgd",
            "schedule_epochs": None,
            "sync_batch_norm": True,
            "weight_decay": 0.0005,
        },
    }
    split = "60/20/20 train/valid/test, stratified, copies together, seed 0"
    task = Task("mnist_5k", split, 10)
    config = {"recipe": recipe, "seed": 0, "kind": "collect", "space": "nasbench201"}
    name = serialize.default_study_name(task, config)
    recipe["network"] |= {"depthwise": "auto", "remat": False, "scan_cells": False}
    recipe["train"] |= {"eval_batch_size": 512}
    assert name == serialize.default_study_name(task, config) == "mnist_5k-7bbcfd1e"


def test_default_names_of_the_same_images_under_two_metrics_differ():
    tasks = [
        Task("digits", "split", classes, m) for m in (SCORE, LOG_LOSS) for classes in (None, 2)
    ]
    tasks += [Task("digits", "split", classes) for classes in (None, 2)]
    assert len({serialize.default_study_name(task, {}) for task in tasks}) == 6


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


@pytest.mark.parametrize(
    ("metric", "value", "is_refused"),
    [
        (DIGITS.metric, 1.5, True),
        (SCORE, -3.5, False),
        (LOG_LOSS, 3.5, False),
        (LOG_LOSS, -1.0, True),
    ],
)
def test_a_value_lies_in_the_range_of_the_tasks_metric(metric, value, is_refused):
    spec = make_spec(task=Task("digits", "split", None, metric))
    for changes in ({"value": value, "curve": ()}, {"value": 0.5, "curve": (value,)}):
        record = serialize.evaluation_to_json(CHAIN, make_evaluation(0, **changes))
        if is_refused:
            with pytest.raises(HistoryError, match=f"file:7: .*{metric.label} lies in"):
                read(record, spec=spec)
        else:
            assert read(record, spec=spec) == make_evaluation(0, **changes)


def test_facts_of_a_task_come_back_equal_and_are_left_out_where_nobody_knows_them():
    facts = TaskFacts(1000, 10, 28, False, 1.5)
    value = serialize.spec_to_json(make_spec(task=dataclasses.replace(DIGITS, facts=facts)))
    assert serialize.spec_from_json(value, "file:1").task.facts == facts
    assert "facts" not in serialize.spec_to_json(SPEC)["task"]
    value["task"]["facts"]["side"] = -1
    with pytest.raises(HistoryError, match=r"^file:1: side"):
        serialize.spec_from_json(value, "file:1")
