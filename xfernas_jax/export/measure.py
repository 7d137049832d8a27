"""What `reload.py` prints: a metric of ours, written in NumPy."""

import dataclasses

from xfernas_jax.registry import by_name


@dataclasses.dataclass(frozen=True)
class Measure:
    """A value that a script computes without us.

    Attributes:
      name: of the metric; the script prints `test_NAME: value`.
      code: an expression of `logits` `[N, K]` and `labels` `[N]`, with `np`.
      tolerance: by how much two computations on one kind of device may differ.
    """

    name: str
    code: str
    tolerance: float = 0.0


_RECALLS = "[np.mean(logits.argmax(-1)[labels == c] == c) for c in np.unique(labels)]"
_F1 = (
    "[2 * np.sum((logits.argmax(-1) == c) & (labels == c)) / (np.sum(labels == c) + "
    "np.sum(logits.argmax(-1) == c)) for c in np.union1d(labels, logits.argmax(-1))]"
)
_LOSSES = (
    "np.log(np.sum(np.exp(logits - logits.max(-1, keepdims=True)), -1)) + logits.max(-1) - "
    "logits[np.arange(len(labels)), labels]"
)

ACCURACY = Measure("accuracy", "np.mean(logits.argmax(-1) == labels)")
MEASURES = by_name(
    ACCURACY,
    Measure("balanced_accuracy", f"np.mean({_RECALLS})", 1e-9),
    Measure("macro_f1", f"np.mean({_F1})", 1e-9),
    Measure("log_loss", f"np.mean({_LOSSES})", 1e-4),
)
"""By name of the metric; of a user's own there is none, and accuracy is printed."""
