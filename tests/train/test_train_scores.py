"""Metrics on the device: against hand-made counts and scikit-learn, over batches and padding."""

import dataclasses
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from xfernas_jax.errors import FlagError
from xfernas_jax.history.metric import ACCURACY, Metric
from xfernas_jax.train.scores import METRICS, TrainedMetric, find_metric

NUM_CLASSES = 4


def logits_of(predicted: np.ndarray) -> np.ndarray:
    return np.eye(NUM_CLASSES, dtype=np.float32)[predicted]


def measured(metric: TrainedMetric, logits: np.ndarray, labels: np.ndarray, size: int = 7) -> float:
    """Adds batches of `size`, the last padded by repeating its first example, as training does."""
    sums = metric.zeros(logits.shape[1])
    for start in range(0, len(labels), size):
        rows = np.arange(start, start + size)
        counted = rows < len(labels)
        rows = np.where(counted, rows, start)
        found = jax.jit(metric.batch)(logits[rows], labels[rows], counted)
        sums = jax.tree.map(jnp.add, sums, found)
    return metric.finish(jax.device_get(sums), len(labels))


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = rng.choice(NUM_CLASSES, 50, p=[0.6, 0.2, 0.1, 0.1]).astype(np.int32)
    return rng.normal(size=(50, NUM_CLASSES)).astype(np.float32), labels


def test_accuracy_is_the_count_of_right_answers_divided_by_all(
    drawn: tuple[np.ndarray, np.ndarray],
) -> None:
    logits, labels = drawn
    right = int((logits.argmax(1) == labels).sum())
    assert measured(METRICS["accuracy"], logits, labels) == right / 50


def test_each_metric_is_that_of_scikit_learn(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = drawn
    predicted = logits.argmax(1)
    chances = np.exp(logits.astype(np.float64))
    chances /= chances.sum(1, keepdims=True)
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, predicted),
        "macro_f1": sklearn_metrics.f1_score(labels, predicted, average="macro"),
        "log_loss": sklearn_metrics.log_loss(labels, chances),
    }
    assert set(expected) == set(METRICS)
    for name, value in expected.items():
        assert measured(METRICS[name], logits, labels) == pytest.approx(value, rel=1e-6), name


def test_balanced_accuracy_is_over_the_classes_that_occur() -> None:
    # Class 0: 2 of 3 right; class 2: 1 of 1; classes 1 and 3 do not occur. (2/3 + 1) / 2 = 5/6.
    labels = np.array([0, 0, 0, 2], np.int32)
    predicted = np.array([0, 0, 1, 2])
    found = measured(METRICS["balanced_accuracy"], logits_of(predicted), labels)
    assert found == pytest.approx(5 / 6)


def test_macro_f1_counts_a_class_that_is_only_predicted_as_0() -> None:
    # F1 of 0: 2*2 / (3 + 2) = 0.8; of 1: 0 / (0 + 1) = 0; of 2: 1. Class 3 is not there.
    labels = np.array([0, 0, 0, 2], np.int32)
    predicted = np.array([0, 0, 1, 2])
    found = measured(METRICS["macro_f1"], logits_of(predicted), labels)
    assert found == pytest.approx((0.8 + 0.0 + 1.0) / 3)


def test_log_loss_of_a_certain_right_answer_is_0_and_of_a_broken_one_is_not_finite() -> None:
    labels = np.zeros(5, np.int32)
    assert measured(METRICS["log_loss"], 1e4 * logits_of(labels), labels) == 0.0
    broken = np.full((5, NUM_CLASSES), np.nan, np.float32)
    assert not np.isfinite(measured(METRICS["log_loss"], broken, labels))


def test_padding_does_not_count_even_where_its_loss_is_not_finite() -> None:
    logits = jnp.array([[0.0, 0.0, 0.0, 0.0], [jnp.inf, jnp.inf, 0.0, 0.0]])
    labels, counted = jnp.zeros(2, jnp.int32), jnp.array([True, False])
    for metric in METRICS.values():
        sums = metric.batch(logits, labels, counted)
        assert np.isfinite(metric.finish(jax.device_get(sums), 1)), metric.name


@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_task_records_the_plain_metric(name: str) -> None:
    plain = METRICS[name].plain()
    assert type(plain) is Metric
    assert plain.name == name
    assert (plain == ACCURACY) == (name == "accuracy")
    assert plain.maximize == (name != "log_loss")


def test_a_users_own_metric_is_found_unless_it_takes_the_name_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accuracy, module = METRICS["accuracy"], types.ModuleType("users_metrics")
    own = dataclasses.replace(accuracy, name="top1")
    impostor = dataclasses.replace(accuracy, label="something else")
    vars(module).update(OWN=own, IMPOSTOR=impostor)
    monkeypatch.setitem(sys.modules, "users_metrics", module)
    assert find_metric("users_metrics:OWN") is own
    with pytest.raises(FlagError, match="name that none of ours has"):
        find_metric("users_metrics:IMPOSTOR")
    with pytest.raises(FlagError, match=r"--metric.*Did you mean macro_f1\?"):
        find_metric("macro_f")
