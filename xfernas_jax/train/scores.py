"""Metrics of a classifier, computed on the devices: sums over batches, and what they come to."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from xfernas_jax.history.metric import ACCURACY, Metric
from xfernas_jax.registry import Registry, by_name
from xfernas_jax.types import PyTree

Logits = Float[Array, "batch classes"]
Labels = Int[Array, " batch"]
Counted = Bool[Array, " batch"]


@dataclasses.dataclass(frozen=True)
class TrainedMetric(Metric):
    """A metric and how it is measured.

    Attributes:
      batch: `(logits [B, K] float32, labels [B] int32, counted [B] bool) -> sums`, a tree of
        arrays that are added over batches and devices. It is compiled; where `counted` is False
        an example is padding.
      finish: `(sums as NumPy arrays, number of examples) -> value`, on the host. What is not
        finite fails the training.
    """

    batch: Callable[..., PyTree] = dataclasses.field(kw_only=True)
    finish: Callable[[Any, int], float] = dataclasses.field(kw_only=True)

    def plain(self) -> Metric:
        """Returns what a task records of it."""
        return Metric(*(getattr(self, field.name) for field in dataclasses.fields(Metric)))

    def zeros(self, num_classes: int) -> PyTree:
        """Returns the sums over no examples, on the host."""
        shapes = jax.eval_shape(
            self.batch,
            jax.ShapeDtypeStruct((1, num_classes), jnp.float32),
            jax.ShapeDtypeStruct((1,), jnp.int32),
            jax.ShapeDtypeStruct((1,), jnp.bool_),
        )
        return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


def num_correct(logits: Logits, labels: Labels, counted: Counted) -> Int[Array, ""]:
    """Counts the examples among `counted` whose largest logit is their label's."""
    return jnp.sum((jnp.argmax(logits, axis=-1) == labels) & counted)


def class_counts(
    logits: Logits, labels: Labels, counted: Counted
) -> dict[str, Int[Array, " classes"]]:
    """Counts by class the examples that are right, of a label, and predicted to be of it."""
    num_classes, predicted = logits.shape[-1], jnp.argmax(logits, axis=-1)

    def count(classes: jax.Array, which: jax.Array) -> jax.Array:
        return jnp.zeros(num_classes, jnp.int32).at[classes].add(which.astype(jnp.int32))

    return {
        "right": count(labels, counted & (predicted == labels)),
        "labels": count(labels, counted),
        "predicted": count(predicted, counted),
    }


def total_cross_entropy(logits: Logits, labels: Labels, counted: Counted) -> Float[Array, ""]:
    """Adds the cross-entropies in nats."""
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.sum(jnp.where(counted, losses, 0.0))


def _accuracy(sums: Any, num_examples: int) -> float:
    return int(sums) / num_examples


def _balanced_accuracy(sums: Mapping[str, np.ndarray], num_examples: int) -> float:
    """Returns the mean recall of the classes that occur."""
    del num_examples
    occurs = sums["labels"] > 0
    return float(np.mean(sums["right"][occurs] / sums["labels"][occurs]))


def _macro_f1(sums: Mapping[str, np.ndarray], num_examples: int) -> float:
    """Returns the mean F1 of the classes that occur or are predicted."""
    del num_examples
    both = sums["labels"] + sums["predicted"]
    occurs = both > 0
    return float(np.mean(2 * sums["right"][occurs] / both[occurs]))


def _log_loss(sums: Any, num_examples: int) -> float:
    mean = float(sums) / num_examples
    return mean if mean > 0.0 or mean != mean else 0.0  # rounding may leave less than 0


METRICS = by_name(
    TrainedMetric(**dataclasses.asdict(ACCURACY), batch=num_correct, finish=_accuracy),
    TrainedMetric(
        *("balanced_accuracy", "balanced accuracy", "%", 0.0, 1.0),
        batch=class_counts,
        finish=_balanced_accuracy,
    ),
    TrainedMetric(*("macro_f1", "macro F1", "%", 0.0, 1.0), batch=class_counts, finish=_macro_f1),
    TrainedMetric(
        *("log_loss", "log loss", "nats", 0.0, None, False),
        batch=total_cross_entropy,
        finish=_log_loss,
    ),
)
"""Metrics by name. A class that the images lack counts for none of them: balanced accuracy is over
the classes that occur, F1 over those that occur or are predicted."""


def find_metric(name: str) -> TrainedMetric:
    """Returns a metric by name, or a user's own by `module:NAME`.

    Raises:
      FlagError: there is no such metric, or it is no `TrainedMetric` of a name of its own.
    """
    return _FINDER.find(name)


_FINDER = Registry(
    "metric",
    "--metric",
    METRICS,
    "be a xfernas_jax.train.scores.TrainedMetric with a name that none of ours has",
    lambda value: isinstance(value, TrainedMetric) and METRICS.get(value.name, value) == value,
)
