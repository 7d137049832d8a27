"""What short trainings promise and what a last training of some minutes gives, by shape.

    python -m experiments.timed_networks --sets=grocery,cifar10 --output=runs/timed_networks

Neighbours of the known network `vgg_small`, which differ from it in kernel, head, depth or width,
and other known networks. Each is trained by the recipe that a search compares by and, for so many
seconds of steps, by the recipe of what is handed over, at 32 pixels at most. So it tells which
shapes short trainings of small images flatter. Each pair of values is a file in `trainings/`, from
which it goes on; `table.md` has all that are there.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import commands
from experiments.convnet_table import rank_correlation
from experiments.image_flags import chosen_sets
from experiments.last_recipe import last_recipe
from experiments.shapes import NETWORKS, SPACE
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.history import Job

_SECONDS = flags.DEFINE_float("seconds", 120.0, "Of the steps of a last training.", 1.0)
_SEEDS = flags.DEFINE_integer("num_seeds", 1, "Of each network.", 1)
_NETWORKS = flags.DEFINE_list("networks", list(NETWORKS), "That are trained; names of shapes.py.")
_SHORT = flags.DEFINE_boolean("short", True, "Also have short trainings.")
_CHANGE = flags.DEFINE_boolean(
    "change", True, "Shift and mirror images in last trainings; see auto.changes_images."
)
_OUTPUT = flags.DEFINE_string("output", "runs/timed_networks", "Folder of the results.")

_ENOUGH = (10, 20, 40, 80)
_RULES = (  # of log(epochs that are enough / epochs): name, factor, power
    *(("power", size, 1) for size in (0.0, 0.1, 0.15, 0.2, 0.3)),
    *(("curvature", size, 2) for size in (0.05, 0.1, 0.14, 0.2, 0.3)),
)


def measure(
    recipes: tuple[Recipe | None, Recipe], dataset: str, name: str, seed: int, seconds: float
) -> dict[str, Any]:
    """Trains a network by both recipes; returns its values and the epochs of the last training.

    Without a recipe for the short one, its value is None.
    """
    genotype, found = NETWORKS[name], dict[str, Any](short=None)
    for kind, recipe in zip(("short", "timed"), recipes, strict=True):
        if recipe is None:
            continue
        evaluator = TrainedEvaluator(SPACE, load_dataset(dataset, recipe.data), recipe)
        evaluator.prepare(genotype)
        limit = seconds if kind == "timed" else None
        job = Job(0, genotype, SPACE.key(genotype), seed, limit_seconds=limit)
        result = evaluator.evaluate(job).result
        found[kind] = result.curve[-1] if result.curve else 0.0
        found["epochs"] = len(result.curve)
    return found


def read(output: pathlib.Path) -> list[dict[str, Any]]:
    """Returns all trainings that are there."""
    files = sorted((output / "trainings").glob("*.json"))
    return [json.loads(file.read_text()) for file in files]


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the trainings as lines of Markdown."""
    rows = [
        "| set | network | seed | short, % | last, % | its epochs |",
        "|---|---|---|---|---|---|",
    ]
    for each in found:
        short = "" if each["short"] is None else f"{100 * each['short']:.1f}"
        values = f"{short} | {100 * each['timed']:.1f} | {each['epochs']}"
        rows.append(f"| `{each['set']}` | {each['network']} | {each['seed']} | {values} |")
    return rows


def fit_table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns how well short trainings rank the last ones, by rules like `auto.error_factor`.

    For each curvature, or power, and number of epochs that are enough: the mean over sets of the
    rank correlation, and of the value of the network that is taken, against the best one.
    """
    sets = sorted({each["set"] for each in found})
    rows = [
        "| rule | " + " | ".join(f"{enough} epochs" for enough in _ENOUGH) + " |",
        "|---" * (1 + len(_ENOUGH)) + "|",
    ]
    for name, size, power in _RULES:
        cells = []
        for enough in _ENOUGH:
            of_sets = [[e for e in found if e["set"] == s] for s in sets]
            scores = [_score(of_set, size, power, enough) for of_set in of_sets]
            correlation, lost = np.mean(scores, axis=0)
            cells.append(f"{correlation:.2f}, {100 * lost:.1f}")
        rows.append(f"| {name} {size:g} | " + " | ".join(cells) + " |")
    return rows


def _score(
    of_set: Sequence[Mapping[str, Any]], size: float, power: int, enough: float
) -> tuple[float, float]:
    short, timed, epochs = (
        np.array([each[name] for each in of_set], np.float64)
        for name in ("short", "timed", "epochs")
    )
    missing = np.log(enough / np.clip(epochs, 1.0, enough))
    error = (1.0 - short) * np.exp(size * missing**power)
    return rank_correlation(-error, timed), float(timed.max() - timed[error.argmin()])


def main() -> None:
    """Trains what is missing and writes the table."""
    datasets, output = chosen_sets(), pathlib.Path(_OUTPUT.value)
    (output / "trainings").mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str((output / "compile_cache").absolute()))
    if unknown := [name for name in _NETWORKS.value if name not in NETWORKS]:
        raise FlagError(f"--networks: there is no network {unknown[0]!r} in experiments/shapes.py.")
    for short, dataset in datasets.items():
        whole, changed = last_recipe(dataset)
        short_recipe = auto.search_recipe(whole, changed.data.test_flips) if _SHORT.value else None
        last = changed if _CHANGE.value else last_recipe(dataset, change=False)[1]
        recipes = short_recipe, last
        for seed in range(_SEEDS.value):
            for name in _NETWORKS.value:
                file = output / "trainings" / f"{short}-{name.replace(' ', '_')}-{seed}.json"
                if not file.exists():
                    found = measure(recipes, dataset, name, seed, _SECONDS.value)
                    about = {"set": short, "network": name, "seed": seed}
                    about |= {} if _CHANGE.value else {"change": False}
                    kept = {**about, **found, "seconds": _SECONDS.value}
                    commands.write_json(file, {**kept, "commit": commands.commit()})
                    print(kept, flush=True)
    found = read(output)
    both = [each for each in found if each["short"] is not None]
    lines = [*table(found), "", *(fit_table(both) if len(both) > 2 else [])]
    (output / "table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    commands.start("timed_networks", main)
