import dataclasses
from typing import Any

import pytest
from history_space import DIGITS, MNIST, make_spec

from xfernas_jax.errors import StudyError
from xfernas_jax.history.metric import Metric
from xfernas_jax.history.same import check_same

RECIPE = {"name": "cpu", "train": {"epochs": 16, "batch_size": 64}, "network": {"filters": 8}}
CONFIG: dict[str, Any] = {"optimizer": "random", "seed": 1, "recipe": RECIPE}
OLD = make_spec(config=CONFIG)
LOG_LOSS = Metric("log_loss", "log loss", low=0.0, maximize=False)


def message(new, old=OLD):
    with pytest.raises(StudyError) as caught:
        check_same(old, new)
    text = str(caught.value)
    assert text.isprintable()
    prefix = "Study 'study' was begun with other values: "
    assert text.startswith(prefix)
    assert text.endswith("; choose another --study, or repeat the old values.")
    return text.removeprefix(prefix).partition("; choose")[0]


def configured(**changes):
    return make_spec(config={**CONFIG, **changes})


def trained(**changes):
    return {"recipe": {**RECIPE, "train": {**RECIPE["train"], **changes}}}


def test_equal_descriptions_pass_whoever_made_them():
    check_same(OLD, dataclasses.replace(OLD, version="9.9"))


def test_the_wording_of_a_metric_is_no_difference():
    task = dataclasses.replace(DIGITS, metric=Metric("accuracy", "right", "", 0.0, 1.0))
    check_same(OLD, dataclasses.replace(OLD, task=task))


@pytest.mark.parametrize(
    ("new", "change"),
    [
        (configured(**trained(epochs=20)), "train.epochs 16 -> 20"),
        (configured(seed=2), "seed 1 -> 2"),
        (configured(recipe={**RECIPE, "name": "proxy"}), 'recipe "cpu" -> "proxy"'),
        (configured(early_stop="asha"), 'early_stop not set -> "asha"'),
        (make_spec(config={"optimizer": "random", "recipe": RECIPE}), "seed 1 -> not set"),
        (configured(seed=1.0), "seed 1 -> 1.0"),
        (configured(seed=None), "seed 1 -> null"),
        (dataclasses.replace(OLD, kind="collect"), 'kind "search" -> "collect"'),
        (dataclasses.replace(OLD, space="nao5"), 'space "chain" -> "nao5"'),
    ],
)
def test_a_changed_choice_is_named_as_the_user_names_it(new, change):
    assert message(new) == change


def test_changes_of_the_task_are_named():
    new = dataclasses.replace(OLD, task=MNIST)
    split = 'task.split "60/20/20 by index" -> "official, last tenth for validation"'
    assert message(new) == f'task.dataset "digits" -> "mnist", {split}'


def test_other_content_is_said_in_words_and_not_by_digests():
    old = dataclasses.replace(OLD, task=dataclasses.replace(DIGITS, dataset="photos-0123abcd"))
    new = dataclasses.replace(OLD, task=dataclasses.replace(DIGITS, dataset="photos-9876dcba"))
    assert message(new, old) == "the images or classes of 'photos' are not those of then"
    other = dataclasses.replace(OLD, task=dataclasses.replace(DIGITS, dataset="food-9876dcba"))
    assert message(other, old) == 'task.dataset "photos-0123abcd" -> "food-9876dcba"'
    begun, now = configured(**trained(initial="aa" * 8)), configured(**trained(initial="bb" * 8))
    assert message(now, begun) == "--initial_variables holds another network than then"
    assert message(now) == f'train.initial not set -> "{"bb" * 8}"'


def test_another_metric_is_named_first_of_what_it_changes():
    new = dataclasses.replace(OLD, task=dataclasses.replace(DIGITS, metric=LOG_LOSS))
    assert message(new).startswith('task.metric "accuracy" -> "log_loss", ')


def test_the_most_detailed_changes_come_first_and_the_rest_is_counted():
    new = configured(**trained(epochs=20, batch_size=32), optimizer="nao", seed=2)
    new = dataclasses.replace(new, kind="collect")
    assert message(new) == (
        'train.batch_size 64 -> 32, train.epochs 16 -> 20, optimizer "random" -> "nao" and 2 more'
    )


def test_fingerprints_are_named_only_where_nothing_else_differs():
    assert "finger" not in message(dataclasses.replace(configured(seed=2), recipe="other"))
    assert message(dataclasses.replace(OLD, recipe="other")) == (
        "fingerprint of the recipe recipe01 -> other"
    )


@pytest.mark.parametrize(("old", "new"), [("a" * 99 + "b", "a" * 99 + "c"), ("a" * 99, "a" * 98)])
def test_long_values_are_shown_where_they_differ(old, new):
    before, after = message(configured(seed=new), configured(seed=old)).split(" -> ")
    assert before.removeprefix("seed ") != after
    assert len(after) < 50


def test_any_name_of_a_choice_is_shown_in_one_line():
    assert message(configured(**{"a\nb": 1})) == r"'a\nb' not set -> 1"
