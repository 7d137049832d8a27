"""Records as xfernas_jax 0.1.0 wrote them; `v010` holds whole ones that it made."""

import dataclasses
import json
from typing import Any

import optuna
import pytest
from history_space import CHAIN, RECIPE, Chain, get_space, make_evaluation, make_spec

from xfernas_jax.errors import HistoryError
from xfernas_jax.history import serialize
from xfernas_jax.history.jsonl import read_jsonl
from xfernas_jax.history.metric import ACCURACY, SCORE
from xfernas_jax.history.storage import Storage

TASK = {"dataset": "digits", "split": "60/20/20 by index", "num_classes": 10}
SPEC: dict[str, Any] = {
    "name": "study",
    "kind": "search",
    "task": TASK,
    "space": "chain",
    "recipe": RECIPE,
    "config": {"seed": 1, "batch_size": 4},
}
RECORD: dict[str, Any] = {
    "genotype": {"space": "chain", "ops": [3, 2, 1, 0, 3, 2, 1, 0]},
    "recipe": RECIPE,
    "seed": 5,
    "status": "complete",
    "valid_accuracy": 0.5,
    "curve": [0.25, 0.5],
    "num_params": 6418,
    "seconds": 1.5,
    "purpose": "search",
    "round_index": 3,
    "number": 13,
    "predicted": -0.5,
    "failure": "",
    "versions": {"jax": "0.10.2"},
    "costs": {"flops": 12.0},
    "metric": "accuracy",
}


def read_spec(**changes):
    return serialize.spec_from_json({**SPEC, **changes}, "file:1", 1)


def read(spec=None, **changes):
    record = {**RECORD, **changes}
    return serialize.evaluation_from_json(CHAIN, spec or read_spec(), record, "file:7")


def test_every_field_comes_over():
    found = read()
    assert (found.number, found.seed, found.purpose) == (13, 5, "search")
    assert found.genotype == Chain((3, 2, 1, 0, 3, 2, 1, 0))
    assert found.key == CHAIN.key(found.genotype)
    assert (found.status, found.value, found.curve) == ("complete", 0.5, (0.25, 0.5))
    assert (found.seconds, found.job.predicted, found.recipe) == (1.5, -0.5, RECIPE)
    assert (found.result.versions, found.result.failure) == ((("jax", "0.10.2"),), "")


def test_parameters_are_the_first_cost_and_none_where_they_are_unknown():
    assert read().result.costs == (("params", 6418.0), ("flops", 12.0))
    assert read(num_params=0).result.costs == (("flops", 12.0),)


@pytest.mark.parametrize(
    ("kind", "config", "after"),
    [
        ("search", {"batch_size": 4}, 12),
        ("search", {}, 3),
        ("search", {"batch_size": "4"}, 3),
        ("collect", {"batch_size": 4}, 0),
    ],
)
def test_the_optimizer_had_seen_all_earlier_batches(kind, config, after):
    assert read(read_spec(kind=kind, config=config)).job.after == after


def test_the_oldest_records_lack_what_came_later():
    record = {k: v for k, v in RECORD.items() if k not in ("costs", "metric", "number")}
    found = serialize.evaluation_from_json(CHAIN, read_spec(), record, "file:7")
    assert found.result.costs == (("params", 6418.0),)
    assert found.number == 0


def test_a_task_without_classes_was_scored_by_a_function():
    spec = read_spec(task={**TASK, "num_classes": 0})
    assert (spec.task.num_classes, spec.task.metric) == (None, SCORE)
    assert read(spec, metric="score", valid_accuracy=-7.5).value == -7.5
    assert read_spec().task.metric == ACCURACY


def test_the_version_that_began_it_is_known():
    assert read_spec().version == "0.1.0"


def test_options_that_never_change_a_score_are_dropped_from_the_recipe():
    network = {"filters": 8, "depthwise": "lax", "remat": True, "scan_cells": True}
    recipe = {
        "name": "cpu",
        "network": network,
        "data": {},
        "train": {"epochs": 8, "eval_batch_size": 64},
    }
    assert read_spec(config={"seed": 1, "recipe": recipe}).config == {
        "seed": 1,
        "recipe": {"name": "cpu", "network": {"filters": 8}, "data": {}, "train": {"epochs": 8}},
    }


@pytest.mark.parametrize("config", [{"recipe": 7}, {"recipe": {"network": []}}, {"recipe": {}}])
def test_a_configuration_without_a_recipe_of_ours_stays_as_it_is(config):
    assert read_spec(config=config).config == config


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"round_index": -1}, "round_index is an integer"),
        ({"round_index": 2**62}, "after is an integer"),
        ({"num_params": 1.5}, "num_params is an integer"),
        ({"valid_accuracy": 1.5}, "accuracy lies in"),
        ({"costs": [1]}, "costs is a JSON object"),
        ({"metric": "score"}, "metric is accuracy, as the study's"),
        ({"runtime": ""}, "unknown: .'runtime'"),
        ({"status": "broken", "valid_accuracy": 0.5}, "exactly when status is 'complete'"),
    ],
)
def test_a_damaged_record_is_one_line_with_its_place(changes, rule):
    with pytest.raises(HistoryError, match=rf"^file:7: .*{rule}") as caught:
        read(**changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"config": 7}, {"task": TASK | {"metric": {}}}, {"version": ""}]
)
def test_a_damaged_description_is_one_line_with_its_place(changes):
    with pytest.raises(HistoryError, match=r"^file:1: "):
        read_spec(**changes)


def test_a_study_is_written_in_todays_format_and_reads_the_same():
    spec, evaluation = read_spec(), read()
    written = serialize.spec_to_json(spec)
    assert serialize.spec_from_json(written, "here") == spec
    record = serialize.evaluation_to_json(CHAIN, evaluation)
    assert serialize.evaluation_from_json(CHAIN, spec, record, "here") == evaluation
    assert dataclasses.replace(make_spec(), config=spec.config, version="0.1.0") == spec


@pytest.fixture
def storage(tmp_path):
    """A database with one study of format 1, of one evaluation."""
    with Storage(f"sqlite:///{tmp_path / 'history.db'}", get_space=get_space) as storage:
        study = optuna.create_study(study_name="study", storage=storage._database)
        study.set_user_attr("xfernas_jax:spec", {"schema": 1, **SPEC})
        rest = dict(RECORD)
        attrs = {"xfernas_jax:genotype": rest.pop("genotype"), "xfernas_jax:evaluation": rest}
        network = CHAIN.key(read().genotype)
        attrs["xfernas_jax:key"] = f"study:{json.dumps([network, RECIPE, 5, 'search'])}"
        attrs["xfernas_jax:key"] = attrs["xfernas_jax:key"].replace(", ", ",")
        study.add_trial(optuna.create_trial(value=0.5, user_attrs=attrs))
        yield storage


def schema(storage):
    study = optuna.load_study(study_name="study", storage=storage._database)
    return study.user_attrs["xfernas_jax:spec"]["schema"]


def test_a_study_is_read_summed_up_and_left_as_it_is(storage):
    assert storage.spec("study") == read_spec()
    assert storage.evaluations("study") == (read(),)
    assert storage.summary("study").best_value == 0.5
    assert schema(storage) == 1


def test_a_study_goes_on_and_drops_what_it_held_already(storage):
    new = make_evaluation(3)
    storage.create_or_open(dataclasses.replace(read_spec(), version=""))
    for evaluation in (read(), new):
        storage.append("study", evaluation)
    assert storage.evaluations("study") == (read(), new)


def test_a_study_that_goes_on_is_refused_by_the_version_that_began_it(storage):
    storage.create_or_open(read_spec())
    assert schema(storage) == 2  # which 0.1.0 calls that of a later version
    assert storage.spec("study") == read_spec()


def test_a_history_file_is_read(tmp_path):
    header = {"format": "xfernas_jax history", "version": 1, "num_evaluations": 1, "spec": SPEC}
    lines = [{**header, "provenance": {}}, RECORD]
    file = tmp_path / "old.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert read_jsonl(file, get_space=get_space) == (read_spec(), (read(),))
