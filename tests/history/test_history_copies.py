"""What Optuna's own tools do to a record: copies, and copies in place of renaming."""

import optuna
import pytest
import sqlalchemy
from history_space import make_evaluation, make_spec

from xfernas_jax.history.storage import Storage

_INDEX = "xfernas_jax_evaluation_key"


def copy(storage: Storage, old: str, new: str) -> None:
    database = storage._database
    optuna.copy_study(
        from_study_name=old, from_storage=database, to_storage=database, to_study_name=new
    )


def with_study(storage: Storage, count: int = 2) -> Storage:
    storage.create_or_open(make_spec())
    for number in range(count):
        storage.append("study", make_evaluation(number))
    return storage


def test_a_copy_is_a_study_of_its_own(open_storage) -> None:
    storage = with_study(open_storage())
    copy(storage, "study", "twin")
    assert [spec.name for spec in storage.studies()] == ["study", "twin"]
    assert storage.evaluations("twin") == storage.evaluations("study")
    assert storage.summary("twin").num_evaluations == 2
    storage.append("twin", make_evaluation(1))  # it holds this already
    storage.append("twin", make_evaluation(2))
    for seen in (storage, open_storage()):
        assert seen.evaluations("twin") == tuple(map(make_evaluation, range(3)))
        assert len(seen.evaluations("study")) == 2


def test_a_renamed_study_is_listed_and_goes_on(open_storage) -> None:
    storage = with_study(open_storage())
    copy(storage, "study", "renamed")  # optuna-dashboard renames so
    optuna.delete_study(study_name="study", storage=storage._database)
    again = open_storage()
    assert [spec.name for spec in again.studies()] == ["renamed"]
    again.append("renamed", make_evaluation(0))
    assert len(again.evaluations("renamed")) == 2


@pytest.mark.parametrize("sees_first", [True, False])
def test_what_two_processes_recorded_counts_once(open_storage, sees_first: bool) -> None:
    first, second = with_study(open_storage(), 0), open_storage()
    assert second.evaluations("study") == ()
    first.append("study", make_evaluation(0))
    if sees_first:
        assert len(second.evaluations("study")) == 1
    second.append("study", make_evaluation(0))
    second.append("study", make_evaluation(1))
    for storage in (first, second, open_storage()):
        assert storage.evaluations("study") == tuple(map(make_evaluation, range(2)))
        assert storage.summary("study").num_evaluations == 2


def test_the_index_of_earlier_versions_is_taken_away(open_storage) -> None:
    storage = with_study(open_storage())
    with storage._database.engine.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                f"CREATE UNIQUE INDEX {_INDEX} ON trial_user_attributes (value_json) "
                "WHERE key = 'xfernas_jax:key'"
            )
        )
    again = open_storage()
    copy(again, "study", "twin")
    assert len(again.evaluations("twin")) == 2
