"""How unequal the classes of a set are, and what the recipe "auto" does about it."""

import numpy as np

from xfernas_jax.train.config import ClassWeights

UNEQUAL = 1.5  # times the images of the smallest class, from which on the largest is larger
VERY_UNEQUAL = 5.0  # from which on accuracy is mostly about large classes, and that is said
_OF_EQUAL_CLASSES = ("balanced_accuracy", "macro_f1")  # metrics


def inequality(labels: np.ndarray) -> float:
    """Returns how many times the images of the smallest class, of those seen, the largest has."""
    counts = np.unique(labels, return_counts=True)[1]
    return float(counts.max() / counts.min())


def class_weights(metric: str, labels: np.ndarray) -> ClassWeights:
    """Returns how the training loss weighs the examples of unequal classes.

    Where the metric counts all classes equally, rare ones weigh more: by the square root of what
    would make all equal, which was better than that (`experiments/UNEQUAL.md`).

    Args:
      metric: name of it.
      labels: `[N]` of the training images.
    """
    counts_equally = metric in _OF_EQUAL_CLASSES and inequality(labels) >= UNEQUAL
    return "root" if counts_equally else "none"
