"""Compares two ways of evaluating the same architectures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

_MAX_STANDARD_ERRORS = 3.0


class AccuracyError(Exception):
    """Two ways of evaluating do not give the same accuracy: the comparison is void."""


def compare(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Compares a way with ours over the architectures.

    Raises:
      AccuracyError: when the mean difference of the accuracies is beyond seed noise.
    """
    ours, other = (np.array([row[way]["seconds"] for row in rows]) for way in ("ours", name))
    differences = np.array(
        [row[name]["valid_accuracy"] - row["ours"]["valid_accuracy"] for row in rows]
    )
    mean = float(differences.mean())
    error = float(differences.std(ddof=1) / np.sqrt(len(rows)))
    if abs(mean) > max(_MAX_STANDARD_ERRORS * error, 1e-9):
        raise AccuracyError(
            f"{name}: its accuracy differs from ours by {mean:+.4f} on average, with a standard "
            f"error of {error:.4f} over {len(rows)} architectures; that is no seed noise."
        )
    ratios = other / ours
    return {
        "evaluations_per_hour": 3600.0 / float(other.mean()),
        "ratio_of_totals": float(other.sum() / ours.sum()),
        "median_ratio": float(np.median(ratios)),
        "least_ratio": float(ratios.min()),
        "greatest_ratio": float(ratios.max()),
        "mean_accuracy_difference": mean,
        "its_standard_error": error,
    }
