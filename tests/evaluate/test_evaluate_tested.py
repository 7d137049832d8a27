"""What follows from the predictions of a test part: scores, intervals, tables, files."""

import csv
import io
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.errors import StudyError
from xfernas_jax.evaluate import trust
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.tested import FILE, Tested, from_logits, read_tested, write_tested
from xfernas_jax.history.metric import SCORE
from xfernas_jax.train.scores import METRICS

NAMES = ("ant", "bee", "cow", "dog", "emu")


def drawn(count: int = 400, files: tuple[str, ...] = ()) -> tuple[np.ndarray, np.ndarray, Tested]:
    """Returns logits, labels, and the same as a value; class 4 is predicted and never right."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, count).astype(np.int32)
    logits = rng.normal(size=(count, 5)).astype(np.float32)
    logits[np.arange(count), labels] += 1.5
    return logits, labels, from_logits(logits, labels, NAMES, files)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_scores_are_those_that_the_search_measures(name: str) -> None:
    logits, labels, tested = drawn()
    metric = METRICS[name]
    sums = metric.batch(jnp.asarray(logits), jnp.asarray(labels), jnp.ones(len(labels), bool))
    plain = {k: np.asarray(v) for k, v in sums.items()} if isinstance(sums, dict) else sums
    assert tested.score(name) == pytest.approx(metric.finish(plain, len(labels)), rel=1e-5)


def test_an_interval_of_accuracy_is_as_wide_as_a_binomials() -> None:
    _, _, tested = drawn(2_000)
    share = tested.score("accuracy")
    low, high = tested.interval("accuracy") or (0.0, 0.0)
    assert share is not None
    assert low < share < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 2_000), rel=0.15)
    assert tested.interval("accuracy") == (low, high)
    assert tested.score("mine") is None
    assert tested.interval("mine") is None


def test_a_few_images_that_are_all_right_do_not_prove_that_all_are() -> None:
    labels = np.arange(20) % 2
    tested = from_logits(np.eye(2)[labels], labels, ("a", "b"))
    low, high = tested.interval("accuracy") or (0.0, 0.0)
    assert (low, high) == (pytest.approx(20 / (20 + 1.96**2), abs=1e-3), 1.0)


def test_confusion_and_class_scores_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2], np.int32)
    predicted = np.array([0, 0, 1, 1, 2, 1])
    logits = np.eye(4, dtype=np.float32)[predicted]
    tested = from_logits(logits, labels, NAMES[:4])
    assert tested.confusion.tolist() == [[2, 1, 0, 0], [0, 1, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    ant, bee, cow, dog = tested.per_class()
    assert (ant.num_images, ant.recall, ant.precision, ant.f1) == (3, 2 / 3, 1.0, 0.8)
    assert (bee.recall, bee.precision) == (0.5, 1 / 3)
    assert (cow.recall, cow.precision, cow.f1) == (0.0, 0.0, 0.0)
    assert (dog.num_images, dog.recall, dog.precision, dog.f1) == (0, None, None, None)
    assert tested.majority_class == "ant"
    assert tested.majority_share == 0.5


def test_the_worst_mistakes_come_first() -> None:
    _, _, tested = drawn()
    rows = tested.worst(7)
    wrong = tested.predicted != tested.labels
    assert wrong[rows].all()
    assert tested.probability[rows].tolist() == sorted(tested.probability[wrong])[:-8:-1]


def test_calibration_counts_every_image_once() -> None:
    _, _, tested = drawn()
    bins = tested.calibration()
    assert sum(each.num_images for each in bins) == len(tested)
    right = sum(each.num_images * each.accuracy for each in bins)
    assert right / len(tested) == pytest.approx(tested.score("accuracy"))
    assert all(0.0 <= each.probability <= 1.0 for each in bins)


def test_files_are_written_and_read_again(tmp_path: pathlib.Path) -> None:
    assert read_tested(tmp_path) is None
    _, _, tested = drawn(30, tuple(f"a/{i}.png" for i in range(30)))
    write_tested(tmp_path, tested)
    again = read_tested(tmp_path)
    assert again is not None
    for name in ("class_names", "files"):
        assert getattr(again, name) == getattr(tested, name)
    for name in ("labels", "predicted", "probability", "label_probability", "images", "mistakes"):
        np.testing.assert_array_equal(getattr(again, name), getattr(tested, name))
    (table,) = tmp_path.glob("*.csv")
    rows = list(csv.DictReader(io.StringIO(table.read_text())))
    assert [row["image"] for row in rows] == list(tested.files)
    assert rows[3]["class"] == NAMES[tested.labels[3]]
    assert float(rows[3]["probability"]) == pytest.approx(float(tested.probability[3]), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", np.array([0, 9], np.int32)),
        ("predicted", np.zeros(3, np.int32)),
        ("probability", np.array([0.5, np.nan], np.float32)),
        ("label_probability", np.array([0.5, 2.0], np.float32)),
        ("files", np.array(["one"])),
        ("images", np.zeros((1, 2, 2, 1), np.uint8)),
        ("mistakes", np.array([7])),
        ("labels", np.array([{}], dtype=object)),
    ],
)
def test_damage_is_one_line(tmp_path: pathlib.Path, name: str, value: np.ndarray) -> None:
    _, _, tested = drawn(2)
    write_tested(tmp_path, tested)
    arrays = dict(np.load(tmp_path / FILE))
    np.savez(tmp_path / FILE, **{**arrays, name: value})
    with pytest.raises(StudyError, match=r"test_predictions.npz: is damaged") as refused:
        read_tested(tmp_path)
    assert "\n" not in str(refused.value)
    (tmp_path / FILE).write_bytes(b"no archive")
    with pytest.raises(StudyError, match="is damaged"):
        read_tested(tmp_path)


def test_words_tell_images_interval_majority_and_copies() -> None:
    dataset = load_dataset("digits", get_recipe("cpu").data)
    size = len(dataset.test.labels)
    logits = np.eye(10, dtype=np.float32)[dataset.test.labels] * 5
    logits[:20] = 0.0
    tested = from_logits(logits, dataset.test.labels, dataset.class_names)
    metric = METRICS["accuracy"].plain()
    part = trust.test_part(tested, dataset, metric)
    score = tested.score("accuracy")
    assert score is not None
    assert part["low"] < score < part["high"]
    assert part["num_images"] == size
    shown = trust.with_interval(score, part, metric)
    assert shown == f"{100 * score:.2f} % ({100 * part['low']:.2f} to {100 * part['high']:.2f} %)"
    rows = trust.trust_rows(part)
    assert f"{size:,} images" in rows["behind the test score"]
    assert tested.majority_class in rows["always one class"]
    assert "warning" not in rows
    copied = trust.trust_rows({**part, "num_in_train": 3})
    assert "3 of the test images are training images too" in copied["warning"]
    assert trust.compared_words(score, part, metric) == ""
    assert "class_weights=balanced" in trust.compared_words(0.1, {**part, "low": 0.08}, metric)
    assert trust.with_interval(3.0, {**part, "low": None}, SCORE) == "3"
    assert trust.trust_rows(None) == {}


def test_pictures_of_mistakes_are_those_of_the_test_part() -> None:
    dataset = load_dataset("digits", get_recipe("cpu").data)
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(len(dataset.test.labels), 10)).astype(np.float32)
    tested = from_logits(logits, dataset.test.labels, dataset.class_names)
    kept = trust.worst_mistakes(tested, dataset, 5)
    assert len(kept.mistakes) == 5
    for row, image in zip(kept.mistakes, kept.images, strict=True):
        np.testing.assert_array_equal(image, dataset.test.images[int(row)])
