"""Without a verb: a search that ends beside a network as a tutorial would have it."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from absl import flags as absl_flags

from xfernas_jax.cli import auto, flags, inputs
from xfernas_jax.cli.progress import console
from xfernas_jax.cli.search import search
from xfernas_jax.data.base import DataConfig
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.evaluate import tutorial
from xfernas_jax.history.metric import ACCURACY

_DEFAULTS = {"dataset": "mnist_5k", "time_budget": "2m"}
_NETWORK = "convnet"


def demo() -> None:
    """Searches, by default for 5,000 handwritten digits in two minutes, and compares.

    The tutorial's network gets as much time and the same images; it is trained once for a study.
    """
    for name, value in _DEFAULTS.items():
        if not flags.given(name) and not (name == "time_budget" and _counts_evaluations()):
            absl_flags.FLAGS[name].value = value
    result = search()
    seconds = auto.budget_seconds()
    if result is None or flags.OBJECTIVE.value or result["metric"] != ACCURACY.name:
        return
    if seconds is None:
        seconds = float(result["seconds"])
    _compare(result, seconds)


def _counts_evaluations() -> bool:
    return flags.given("budget_evaluations") or flags.OBJECTIVE.value is not None


def _compare(result: Mapping[str, Any], seconds: float) -> None:
    """Trains the tutorial's network, or reads what it gave, and prints both test accuracies."""
    file = inputs.folder_of(inputs.STUDIES, result["study"]) / "tutorial.json"
    asked = {"network": _NETWORK, "time": seconds, "seed": flags.SEED.value}
    found = _known(file, asked)
    if found is None:
        config = DataConfig(image_size=tutorial.SIDE)
        dataset = load_dataset(flags.DATASET.value, config, flags.DATA_DIR.value)
        console.print(
            f"For comparison: a ConvNet in plain Flax as a tutorial has it, on the same images, "
            f"for up to {seconds:.0f} s"
        )
        trained = tutorial.train_tutorial(_NETWORK, dataset, flags.SEED.value, seconds=seconds)
        found = {**asked, **dataclasses.asdict(trained)}
        inputs.write_json(file, found)
    plain = f"{ACCURACY.text(found['test'])} with {found['num_params']:,} parameters"
    console.print(
        f"test accuracy: {ACCURACY.text(result['test_value'])} with {result['num_params']:,} "
        f"parameters, found here; {plain}, the tutorial's ConvNet after {found['epochs']} epochs "
        f"in {found['seconds']:.0f} s (its best epoch)"
    )


def _known(file: pathlib.Path, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns what was trained before for the same question; None where there is nothing."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    is_whole = isinstance(found, dict) and {"test", "num_params", "epochs"} <= found.keys()
    return found if is_whole and all(found.get(k) == v for k, v in asked.items()) else None
