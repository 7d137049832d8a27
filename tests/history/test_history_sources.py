import dataclasses
import itertools

import pytest
from history_space import (
    CHAIN,
    DIGITS,
    MNIST,
    RECIPE,
    get_space,
    index_of,
    make_broken,
    make_evaluation,
    make_failure,
    make_spec,
)

from xfernas_jax.errors import SpaceError, StudyError
from xfernas_jax.history.jsonl import write_jsonl
from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import Task
from xfernas_jax.history.sources import (
    RecordedStudy,
    image_family,
    recorded_file,
    recorded_studies,
    select_sources,
    target_observations,
)
from xfernas_jax.history.storage import Storage, append_all

USPS = Task("usps", "official", 10)
DIGITS_OTHER_SPLIT = Task("digits", "80/10/10 by hash", 10)
LOG_LOSS = Metric("log_loss", "log loss", low=0.0, maximize=False)
DIGITS_LOSS = dataclasses.replace(DIGITS, metric=LOG_LOSS)
MNIST_LOSS = dataclasses.replace(MNIST, metric=LOG_LOSS)


def study(name, task=MNIST, indices=(0, 1), recipe=RECIPE, space="chain"):
    def load():
        assert space == "chain", "a study of another space must not be read"
        return tuple(make_evaluation(index, recipe=recipe) for index in indices)

    return RecordedStudy(make_spec(name, task, recipe=recipe, space=space), load)


STUDIES = (
    study("mnist-a", MNIST, (0, 1)),
    study("mnist-b", MNIST, (1, 2)),
    study("mnist-c", MNIST, (0, 3), recipe="recipe02"),
    study("usps-a", USPS, (0,)),
    study("digits-a", DIGITS, (4,)),
    study("digits-b", DIGITS, (4, 5), recipe="recipe02"),
    study("digits-c", DIGITS_OTHER_SPLIT, (6,)),
    study("else-a", MNIST, (0,), space="nao5"),
)


def names(sources):
    return [source.name for source in sources]


def test_all_means_other_tasks_of_this_space():
    sources = select_sources(STUDIES, CHAIN, DIGITS, "all")
    assert names(sources) == ["mnist@recipe01", "mnist@recipe02", "usps@recipe01"]
    assert {source.task for source in sources} == {MNIST, USPS}


def test_each_task_and_recipe_is_one_source_with_each_key_once():
    first, second, _ = select_sources(STUDIES, CHAIN, DIGITS, "all")
    assert first.studies == ("mnist-a", "mnist-b")
    assert list(map(index_of, first.evaluations)) == [0, 1, 2]
    assert list(map(index_of, second.evaluations)) == [0, 3]
    for source in (first, second):
        assert {e.recipe for e in source.evaluations} == {source.recipe}


def test_none_means_none():
    assert select_sources(STUDIES, CHAIN, DIGITS, "none") == ()


@pytest.mark.parametrize("wanted", ["mnist-a,usps-a", "mnist-a, usps-a", ["usps-a", "mnist-a"]])
def test_named_studies_alone_are_used(wanted):
    sources = select_sources(STUDIES, CHAIN, DIGITS, wanted)
    assert [source.studies for source in sources] == [("mnist-a",), ("usps-a",)]


def test_unknown_study_is_refused_with_near_names():
    with pytest.raises(StudyError, match=r"no study 'mnist-x'.*'mnist-a'"):
        select_sources(STUDIES, CHAIN, DIGITS, "usps-a,mnist-x")


def test_study_of_another_space_is_refused_by_name():
    with pytest.raises(SpaceError, match=r"'else-a' is of space 'nao5'.*--space=nao5"):
        select_sources(STUDIES, CHAIN, DIGITS, "else-a")


@pytest.mark.parametrize("name", ["digits-a", "digits-b", "digits-c"])
def test_study_of_the_target_is_refused_without_reuse(name):
    with pytest.raises(StudyError, match="--reuse_target"):
        select_sources(STUDIES, CHAIN, DIGITS, name)


@pytest.mark.parametrize("wanted", ["", ",", "mnist-a,", "all,mnist-a", "none,mnist-a", []])
def test_malformed_lists_are_refused(wanted):
    with pytest.raises(StudyError, match="all, none, or names"):
        select_sources(STUDIES, CHAIN, DIGITS, wanted)


def test_own_study_is_never_a_source():
    sources = select_sources(STUDIES, CHAIN, DIGITS, "all", reuse_target=True, own_study="usps-a")
    assert "usps-a" not in {name for source in sources for name in source.studies}
    with pytest.raises(StudyError, match="this search itself"):
        select_sources(STUDIES, CHAIN, DIGITS, "usps-a", own_study="usps-a")


def test_reuse_splits_the_target_into_observations_and_sources():
    """Same task and recipe: observations. Another recipe or split: a source of its own."""
    sources = select_sources(STUDIES, CHAIN, DIGITS, "all", recipe=RECIPE, reuse_target=True)
    of_target = [source for source in sources if source.task.dataset == "digits"]
    assert {source.studies for source in of_target} == {("digits-b",), ("digits-c",)}
    assert len(set(names(sources))) == len(sources)
    observed = target_observations(STUDIES, CHAIN, DIGITS, RECIPE)
    assert list(map(index_of, observed)) == [4]
    assert {e.recipe for e in observed} == {RECIPE}


def test_observations_of_another_recipe_or_split_never_mix():
    for recipe, expected in (("recipe01", {4}), ("recipe02", {4, 5}), ("other", set())):
        observed = target_observations(STUDIES, CHAIN, DIGITS, recipe)
        assert set(map(index_of, observed)) == expected
        assert {e.recipe for e in observed} <= {recipe}
    assert target_observations(STUDIES, CHAIN, DIGITS, RECIPE, own_study="digits-a") == ()
    assert target_observations(STUDIES, CHAIN, DIGITS, RECIPE, "usps-a") == ()


@pytest.mark.parametrize(
    ("source", "target", "shared"),
    [
        ("cifar10:3.0.2", "cifar10", True),
        ("cifar10:3.*.*", "cifar10:3.0.2", True),
        ("imagenet_resized/16x16", "imagenet_resized/32x32", True),
        ("quickdraw_bitmap[:75000]", "quickdraw_bitmap", True),
        ("cifar10:3.0.2[:500]", "cifar10[:40]", True),
        ("cifar10[:500]", "cifar100[:500]", False),
        ("mnist_5k", "mnist", True),
        ("MNIST", "mnist", True),
        ("usps-c9d9f93a", "usps-0123abcd", True),  # a folder of the same images, or of some
        ("cifar10_subset-c9d9f93a", "cifar10:3.0.2", True),
        ("photos-c9d9f93a", "photos-0123abcd", False),  # two folders of one name
        ("cifar10", "cifar100", False),
        ("fashion_mnist", "mnist", False),
        ("my_package:LETTERS", "my_package:DIGITS", False),
    ],
)
def test_shared_images_are_a_leak_under_any_name(source, target, shared):
    assert (image_family(source) == image_family(target)) == shared
    studies = [study("s", Task(source, "one", 10))]
    found = select_sources(studies, CHAIN, Task(target, "two", 10), "all")
    assert (found == ()) == shared


def test_order_of_the_record_does_not_matter():
    expected = select_sources(STUDIES, CHAIN, DIGITS, "all")
    for order in itertools.islice(itertools.permutations(STUDIES), 0, 40_000, 4_001):
        assert select_sources(order, CHAIN, DIGITS, "all") == expected


def test_study_without_evaluations_is_no_source():
    assert select_sources([study("new", indices=())], CHAIN, DIGITS, "all") == ()


def test_failed_evaluations_stay_in_the_source():
    failing = RecordedStudy(make_spec("f", MNIST), lambda: (make_failure(0),))
    (source,) = select_sources([failing], CHAIN, DIGITS, "all")
    assert source.evaluations == (make_failure(0),)


def test_broken_evaluations_are_left_out_of_the_source():
    breaking = RecordedStudy(make_spec("b", MNIST), lambda: (make_broken(0), make_evaluation(1)))
    (source,) = select_sources([breaking], CHAIN, DIGITS, "all")
    assert source.evaluations == (make_evaluation(1),)


def test_values_of_two_metrics_never_mix():
    studies = [study("a", MNIST, (0,)), study("b", MNIST_LOSS, (1,))]
    sources = select_sources(studies, CHAIN, DIGITS, "all")
    assert names(sources) == ["mnist(accuracy)@recipe01", "mnist(log_loss)@recipe01"]
    assert [source.task.metric for source in sources] == [MNIST.metric, LOG_LOSS]
    assert [source.studies for source in sources] == [("a",), ("b",)]


def test_observations_of_another_metric_are_a_source_and_no_observations():
    studies = [study("loss", DIGITS_LOSS, (0,))]
    assert target_observations(studies, CHAIN, DIGITS, RECIPE) == ()
    (source,) = select_sources(studies, CHAIN, DIGITS, "all", recipe=RECIPE, reuse_target=True)
    assert source.studies == ("loss",)


def test_another_metric_of_the_targets_images_is_a_leak():
    assert select_sources([study("loss", DIGITS_LOSS)], CHAIN, DIGITS, "all") == ()


def test_storage_and_history_file_give_the_same_source(tmp_path):
    spec = make_spec("mnist-a", MNIST)
    evaluations = (make_evaluation(0), make_evaluation(1))
    write_jsonl(tmp_path / "a.jsonl.gz", spec, evaluations, get_space=get_space)
    file_study = recorded_file(tmp_path / "a.jsonl.gz", get_space=get_space)
    with Storage(f"sqlite:///{tmp_path / 'history.db'}", get_space=get_space) as storage:
        append_all(storage, spec, evaluations)
        stored = recorded_studies(storage)
        (from_storage,) = select_sources(stored, CHAIN, DIGITS, "all")
        (from_file,) = select_sources([file_study], CHAIN, DIGITS, "all")
        (from_both,) = select_sources([*stored, file_study], CHAIN, DIGITS, "all")
    assert from_storage == from_file == from_both
    assert dataclasses.astuple(from_file.task) == dataclasses.astuple(MNIST)
