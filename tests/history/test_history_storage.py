import contextlib
import dataclasses
import datetime
import json
import subprocess
import sys

import numpy as np
import optuna
import pytest
from history_space import (
    CHAIN,
    DIGITS,
    MNIST,
    Chain,
    make_broken,
    make_evaluation,
    make_failure,
    make_spec,
    make_stopped,
)
from sqlalchemy import event

from xfernas_jax.errors import HistoryError, SpaceError, StorageError, StudyError
from xfernas_jax.history import serialize
from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import TaskFacts
from xfernas_jax.history.storage import append_all, study_summaries
from xfernas_jax.version import __version__

LOG_LOSS = Metric("log_loss", "log loss", low=0.0, maximize=False)
DIGITS_LOSS = dataclasses.replace(DIGITS, metric=LOG_LOSS)


def raw_study(storage, name="study"):
    return optuna.load_study(study_name=name, storage=storage._database)


@contextlib.contextmanager
def counted(*storages):
    """Lists, for each statement that they send, how many rows come back."""
    rows = []

    def note(connection, cursor, statement, parameters, context, executemany):
        if not statement.startswith("SELECT"):
            rows.append(0)
            return
        rows.append(len(cursor.fetchall()))
        cursor.execute(statement, parameters)  # once more, for who asked

    for storage in storages:
        event.listen(storage._database.engine, "after_cursor_execute", note)
    yield rows
    for storage in storages:
        event.remove(storage._database.engine, "after_cursor_execute", note)


def test_evaluations_come_back_equal_and_in_order(open_storage):
    written = (
        make_evaluation(4),
        make_failure(0),
        make_stopped(1),
        make_evaluation(1, purpose="resume"),
        make_evaluation(2, purpose="confirm", seed=9),
    )
    storage = open_storage()
    storage.create_or_open(make_spec())
    for evaluation in written:
        storage.append("study", evaluation)
    assert storage.evaluations("study") == written
    assert open_storage().evaluations("study") == written  # as another process sees them


def test_description_comes_back_equal(open_storage):
    spec = make_spec(
        version="0.2.0", config={"weights": [0.1, None, True], "name": "Größe", "nested": {"a": {}}}
    )
    open_storage().create_or_open(spec)
    assert open_storage().spec("study") == spec
    assert open_storage().studies() == (spec,)


def test_a_study_says_which_version_began_it(open_storage):
    storage = open_storage()
    storage.create_or_open(make_spec())
    storage.create_or_open(make_spec("imported", version="0.1.0"))
    assert [spec.version for spec in storage.studies()] == [__version__, "0.1.0"]


def test_same_network_recipe_seed_and_purpose_is_kept_once(open_storage):
    storage = open_storage()
    storage.create_or_open(make_spec())
    first = make_evaluation(0, genotype=Chain((0, 1, 2, 3, 0, 1, 2, 3)))
    renumbered = make_evaluation(1, genotype=Chain((3, 2, 1, 0, 3, 2, 1, 0)))
    storage.append("study", first)
    storage.append("study", renumbered)
    assert storage.evaluations("study") == (first,)


@pytest.mark.parametrize("change", [{"seed": 1}, {"purpose": "confirm"}])
def test_another_seed_or_purpose_is_another_evaluation(open_storage, change):
    storage = open_storage()
    storage.create_or_open(make_spec())
    storage.append("study", make_evaluation(0))
    storage.append("study", make_evaluation(0, **change))
    assert len(storage.evaluations("study")) == 2


def test_studies_of_one_database_do_not_mix(open_storage):
    storage = open_storage()
    for name in ("one", "two"):
        storage.create_or_open(make_spec(name))
    storage.append("one", make_evaluation(0))
    storage.append("two", make_evaluation(0))
    storage.append("two", make_evaluation(1))
    assert len(storage.evaluations("one")) == 1
    assert len(storage.evaluations("two")) == 2


def test_evaluation_of_another_recipe_is_refused(open_storage):
    storage = open_storage()
    storage.create_or_open(make_spec())
    with pytest.raises(StudyError, match=r"'recipe01' only\. Got 'other'"):
        storage.append("study", make_evaluation(0, recipe="other"))
    assert storage.evaluations("study") == ()


@pytest.mark.parametrize(
    ("value", "curve"), [(1.5, ()), (0.5, (1.5,))], ids=["in the value", "in the curve"]
)
def test_a_value_that_the_metric_does_not_have_is_refused(open_storage, value, curve):
    storage = open_storage()
    storage.create_or_open(make_spec())
    with pytest.raises(HistoryError, match=r"accuracy lies in \[0, 1\]. Got 1.5"):
        storage.append("study", make_evaluation(0, value=value, curve=curve))
    assert storage.evaluations("study") == ()


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"optimizer": "random", "seed": 2}},
        {"task": MNIST},
        {"space": "nao5"},
        {"recipe": "other"},
        {"kind": "collect"},
    ],
)
def test_another_description_of_the_same_name_is_refused(open_storage, change):
    storage = open_storage()
    storage.create_or_open(make_spec())
    storage.create_or_open(make_spec())  # the same again is no error
    before = storage.studies()
    with pytest.raises(StudyError, match="was begun with other values"):
        open_storage().create_or_open(make_spec(**change))
    assert storage.studies() == before


def test_what_was_not_known_of_a_task_is_kept_when_its_study_goes_on(open_storage):
    facts = TaskFacts(1000, 10, 28, False, 1.5)
    storage = open_storage()
    storage.create_or_open(make_spec())
    evaluation = make_evaluation(0)
    storage.append("study", evaluation)
    for known in (facts, None, dataclasses.replace(facts, side=29)):
        storage.create_or_open(make_spec(task=dataclasses.replace(DIGITS, facts=known)))
        assert open_storage().spec("study").task.facts == facts
    assert open_storage().evaluations("study") == (evaluation,)


@pytest.mark.parametrize("name", ["", "all", "none", "../up", "a/b", "a,b", ".hidden", "x" * 129])
def test_unsafe_study_names_are_refused(open_storage, name):
    with pytest.raises(StudyError, match="Study name"):
        open_storage().create_or_open(make_spec(name))


def test_unknown_study_is_refused_with_the_near_names(open_storage):
    storage = open_storage()
    with pytest.raises(StudyError, match="there is none yet"):
        storage.spec("mnist")
    storage.create_or_open(make_spec("mnist-1"))
    with pytest.raises(StudyError, match="did you mean 'mnist-1'"):
        storage.evaluations("mnist-2")
    with pytest.raises(StudyError, match="known: mnist-1"):
        storage.append("zzz", make_evaluation(0))


def test_studies_of_other_programs_are_left_alone(open_storage):
    storage = open_storage()
    foreign = optuna.create_study(study_name="foreign", storage=storage._database)
    foreign.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    storage.create_or_open(make_spec())
    assert [spec.name for spec in storage.studies()] == ["study"]
    with pytest.raises(StudyError, match="made by another program"):
        storage.create_or_open(make_spec("foreign"))
    with pytest.raises(StudyError, match="made by another program"):
        storage.evaluations("foreign")


def test_trials_of_other_programs_in_our_study_are_left_alone(open_storage):
    storage = open_storage()
    storage.create_or_open(make_spec())
    storage.append("study", make_evaluation(0))
    raw_study(storage).ask()  # a running trial for ever
    storage.append("study", make_evaluation(1))
    assert storage.evaluations("study") == (make_evaluation(0), make_evaluation(1))


def test_creation_that_was_killed_half_way_is_completed(open_storage):
    storage = open_storage()
    optuna.create_study(study_name="study", storage=storage._database, direction="maximize")
    storage.create_or_open(make_spec())
    assert storage.spec("study") == make_spec(version=__version__)


def test_later_schema_is_refused_with_the_way_out(open_storage):
    storage = open_storage()
    optuna.create_study(study_name="later", storage=storage._database)
    value = {"schema": 3, "something": "else"}
    raw_study(storage, "later").set_user_attr("xfernas_jax:spec", value)
    for call in (storage.studies, lambda: storage.spec("later")):
        with pytest.raises(StorageError, match=r"'later'.*schema 3.*update xfernas_jax"):
            call()


@pytest.mark.parametrize(
    ("revision", "way"),
    [
        ("v3.0.0.d", "optuna storage upgrade --storage"),  # of an earlier Optuna
        ("v9.0.0.a", "updat.* optuna"),
    ],
)
def test_tables_of_another_optuna_are_refused_with_the_way_out(open_storage, revision, way):
    storage = open_storage()
    with storage._database.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    with pytest.raises(StorageError, match=f"tables of another version of Optuna.*{way}") as caught:
        open_storage()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        {"seed": -1},
        {"value": 1.5},
        {"value": None},
        {"status": "done"},
        {"curve": "long"},
        {"unknown": 1},
    ],
)
def test_damaged_evaluation_is_one_clear_line(open_storage, damage):
    storage = open_storage()
    storage.create_or_open(make_spec())
    record = serialize.evaluation_to_json(CHAIN, make_evaluation(0))
    genotype = record.pop("genotype")
    trial = optuna.create_trial(
        value=0.5,
        user_attrs={
            "xfernas_jax:key": "study:x",
            "xfernas_jax:genotype": genotype,
            "xfernas_jax:evaluation": {**record, **damage},
        },
    )
    raw_study(storage).add_trial(trial)
    with pytest.raises(HistoryError, match=r"Study 'study' in .*, evaluation 0: ") as caught:
        storage.evaluations("study")
    assert "\n" not in str(caught.value)


def test_space_that_is_not_known_here_is_refused_by_name_but_listed(open_storage):
    storage = open_storage()
    storage.create_or_open(make_spec(space="elsewhere"))
    attrs = {"xfernas_jax:key": "k", "xfernas_jax:evaluation": {"status": "complete"}}
    raw_study(storage).add_trial(optuna.create_trial(value=0.5, user_attrs=attrs))
    with pytest.raises(SpaceError, match="elsewhere"):
        storage.evaluations("study")
    assert study_summaries(storage)[0].num_evaluations == 1


def test_only_new_evaluations_are_parsed(open_storage, monkeypatch):
    storage = open_storage()
    storage.create_or_open(make_spec())
    for index in range(5):
        storage.append("study", make_evaluation(index))
    assert len(storage.evaluations("study")) == 5
    storage.append("study", make_evaluation(5))
    parsed = []
    original = CHAIN.from_json
    monkeypatch.setattr(CHAIN, "from_json", lambda value: parsed.append(value) or original(value))
    assert len(storage.evaluations("study")) == 6
    assert len(parsed) == 1
    storage.evaluations("study")
    assert len(parsed) == 1


@pytest.mark.slow
def test_a_long_record_makes_neither_reading_nor_recording_ask_for_more(open_storage):
    writer, reader = open_storage(), open_storage()
    writer.create_or_open(make_spec())
    counts = []
    for index in range(60):
        with counted(writer, reader) as asked:
            writer.append("study", make_evaluation(index))
            assert len(reader.evaluations("study")) == index + 1
            assert len(writer.evaluations("study")) == index + 1
        counts.append((len(asked), sum(asked)))
    assert counts[-1] == counts[-20] == counts[10]


def test_a_network_is_made_a_key_at_most_once_for_each_appended_evaluation(
    open_storage, monkeypatch
):
    evaluations = [make_evaluation(index) for index in range(4)]
    keyed = []
    original = CHAIN.key
    monkeypatch.setattr(CHAIN, "key", lambda genotype: keyed.append(genotype) or original(genotype))
    storage = open_storage()
    storage.create_or_open(make_spec())
    for evaluation in evaluations:
        storage.append("study", evaluation)
        storage.evaluations("study")
    assert keyed == [evaluation.genotype for evaluation in evaluations]


def test_new_evaluations_of_another_process_are_seen(open_storage):
    writer, reader = open_storage(), open_storage()
    writer.create_or_open(make_spec())
    for index in range(3):
        writer.append("study", make_evaluation(index))
        assert len(reader.evaluations("study")) == index + 1


def test_summary_counts_failures_and_leaves_confirmations_out_of_the_best(open_storage):
    storage = open_storage()
    spec = make_spec(version=__version__)
    storage.create_or_open(spec)
    (empty,) = study_summaries(storage)
    assert (empty.num_evaluations, empty.best_value) == (0, None)
    again = [make_evaluation(5, purpose=purpose, value=0.99) for purpose in ("confirm", "test")]
    append_all(storage, spec, [make_evaluation(0), make_failure(1), make_evaluation(2), *again])
    append_all(storage, spec, [make_stopped(3), make_evaluation(3, purpose="resume")])
    (row,) = study_summaries(storage)
    assert row.spec == spec
    assert (row.num_evaluations, row.num_failed, row.num_stopped) == (5, 1, 1)
    assert row.best_value == 0.5  # evaluation 0 has 1 / 2


def test_summary_counts_what_broke_until_it_was_tried_again(open_storage):
    storage = open_storage()
    append_all(storage, make_spec(), [make_broken(0), make_broken(1), make_broken(1, "remat")])
    assert (row := storage.summary("study")).num_failed == row.num_evaluations == 2
    storage.append("study", make_evaluation(1))
    row = storage.summary("study")
    assert (row.num_failed, row.num_evaluations) == (1, 2)


def test_the_best_of_a_metric_to_minimize_is_the_smallest(open_storage):
    storage = open_storage()
    spec = make_spec(task=DIGITS_LOSS)
    append_all(storage, spec, [make_evaluation(i, value=v) for i, v in enumerate((2.0, 0.5, 3.0))])
    assert storage.summary("study").best_value == 0.5
    assert raw_study(storage).direction == optuna.study.StudyDirection.MINIMIZE
    assert raw_study(storage).best_value == 0.5


def test_trials_show_value_curve_and_state_to_optuna_dashboard(open_storage):
    storage = open_storage()
    evaluations = [make_evaluation(0, seconds=90.0), make_failure(1), make_stopped(2)]
    evaluations.append(make_broken(3))
    append_all(storage, make_spec(), evaluations)
    study = raw_study(storage)
    good, bad, stopped, broken = study.get_trials()
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert good.state == optuna.trial.TrialState.COMPLETE
    assert good.value == 0.5
    assert good.intermediate_values == dict(enumerate(make_evaluation(0).curve, start=1))
    assert good.duration == datetime.timedelta(seconds=90)
    assert bad.state == optuna.trial.TrialState.FAIL
    assert bad.intermediate_values == {1: 0.25, 2: 0.5}
    assert stopped.state == optuna.trial.TrialState.PRUNED
    assert stopped.value is None
    assert stopped.intermediate_values == {1: 0.25, 2: 0.5}
    assert broken.state == optuna.trial.TrialState.FAIL
    assert study.best_trial.number == good.number


def test_import_of_a_whole_study_can_be_repeated(open_storage):
    storage = open_storage()
    evaluations = [make_evaluation(index) for index in range(6)]
    append_all(storage, make_spec(), evaluations[:4])  # was killed here
    append_all(storage, make_spec(), evaluations)
    assert storage.evaluations("study") == tuple(evaluations)


def test_numbers_of_numpy_are_recorded_as_numbers(open_storage):
    storage = open_storage()
    append_all(storage, make_spec(), [make_evaluation(0, value=np.float64(0.25))])
    assert open_storage().evaluations("study")[0].value == 0.25


def test_deleted_study_is_one_clear_line(open_storage):
    storage = open_storage()
    append_all(storage, make_spec(), [make_evaluation(0)])
    optuna.delete_study(study_name="study", storage=storage._database)
    with pytest.raises(StudyError, match=r"deleted|no study"):
        storage.append("study", make_evaluation(1))
    with pytest.raises(StudyError, match=r"deleted|no study"):
        open_storage().evaluations("study")


def test_nothing_is_logged_and_the_log_level_of_optuna_stays(open_storage, capfd):
    before = optuna.logging.get_verbosity()
    append_all(open_storage(), make_spec(), [make_evaluation(0), make_failure(1)])
    assert capfd.readouterr().err == ""
    assert optuna.logging.get_verbosity() == before


def test_importing_history_loads_neither_jax_nor_tensorflow():
    code = "import xfernas_jax.history, sys; print(*{'jax', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_attributes_are_strict_json(open_storage):
    storage = open_storage()
    append_all(storage, make_spec(), [make_evaluation(0)])
    (trial,) = raw_study(storage).get_trials()
    assert trial.user_attrs["xfernas_jax:genotype"] == CHAIN.to_json(make_evaluation(0).genotype)
    json.dumps(trial.user_attrs, allow_nan=False)
    assert DIGITS.dataset == raw_study(storage).user_attrs["xfernas_jax:spec"]["task"]["dataset"]
