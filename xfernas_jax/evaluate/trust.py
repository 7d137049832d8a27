"""What a test score is worth, in words: the same in log, report, model card and result file."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from xfernas_jax.data.base import ImageDataset
from xfernas_jax.data.facts import data_facts
from xfernas_jax.evaluate.tested import Tested
from xfernas_jax.history.metric import ACCURACY, Metric

LIMITS = (
    "The interval is of other images of the same kind, for this very network. Another training of "
    "it may differ by as much again, and pictures of another kind (camera, light, objects that are "
    "none of the classes) are not covered by any number here."
)


def test_part(tested: Tested, dataset: ImageDataset, metric: Metric) -> dict[str, Any]:
    """Returns what a result keeps of the test part beside the score, as JSON.

    Args:
      tested: what the network says of it.
      dataset: that it is of.
      metric: of the score.
    """
    low, high = tested.interval(metric.name) or (None, None)
    return {
        "num_images": len(tested),
        "low": low,
        "high": high,
        "majority_class": tested.majority_class,
        "majority_share": tested.majority_share,
        "num_in_train": data_facts(dataset).parts["test"].num_in_train,
    }


def with_interval(value: float | None, part: Mapping[str, Any] | None, metric: Metric) -> str:
    """Returns a test score with its interval, where there is one."""
    shown = metric.text(value)
    if value is None or part is None or part["low"] is None:
        return shown
    unit = f" {metric.unit}" if metric.unit else ""
    return f"{shown} ({metric.number(part['low'])} to {metric.number(part['high'])}{unit})"


def trust_rows(part: Mapping[str, Any] | None) -> dict[str, str]:
    """Returns lines by their names on what stands behind a test score; none where nothing is known.

    `part` is what `test_part` gave, as it is recorded.
    """
    if part is None:
        return {}
    count = part["num_images"]
    always = ACCURACY.text(part["majority_share"])
    rows = {
        "behind the test score": f"{count:,} images; in brackets the 95 % interval that so many "
        "leave",
        "always one class": f'"{part["majority_class"]}" would be right for {always}',
    }
    if part["num_in_train"]:
        rows["warning"] = (
            f"{part['num_in_train']:,} of the test images are training images too: the score is "
            "too good"
        )
    return rows


def compared_words(value: float, part: Mapping[str, Any] | None, metric: Metric) -> str:
    """Says whether a network is any better than always naming one class; empty where it is."""
    if part is None or metric.name != "accuracy":
        return ""
    low = value if part["low"] is None else part["low"]
    if low > part["majority_share"]:
        return ""
    return (
        "The network is not shown to be better than always naming "
        f'"{part["majority_class"]}". More images of the other classes, class weights '
        "(--set=train.class_weights=balanced) or --metric=balanced_accuracy may help."
    )


def worst_mistakes(tested: Tested, dataset: ImageDataset, count: int) -> Tested:
    """Returns the same with pictures of what the network is most surely wrong about."""
    rows = tested.worst(count)
    images = np.asarray(dataset.test.images[np.sort(rows)])
    places = np.argsort(np.argsort(rows))
    return dataclasses.replace(tested, mistakes=rows, images=images[places])
