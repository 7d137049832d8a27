"""What short trainings promise and what a last training of some minutes gives, by shape.

    python -m experiments.timed_networks --sets=grocery,cifar10 --output=runs/timed_networks

Neighbours of the known network `vgg_small`, which differ from it in kernel, head, depth or width,
and other known networks. Each is trained by the recipe that a search compares by and, for so many
seconds of steps, by the recipe of what is handed over, at 32 pixels at most. So it tells which
shapes short trainings of small images flatter. Each pair of values is a file in `trainings/`, from
which it goes on; `table.md` has all that are there.
"""

import dataclasses
import json
import pathlib
from typing import Any

import jax
from absl import flags

from experiments import commands
from experiments.image_flags import chosen_sets
from xfernas_jax.data.base import DataConfig
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.symmetry import keeps_class_when_mirrored
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.history import Job
from xfernas_jax.space.convnet import ConvNetSpace
from xfernas_jax.space.published import PUBLISHED

_SECONDS = flags.DEFINE_float("seconds", 120.0, "Of the steps of a last training.", 1.0)
_SEEDS = flags.DEFINE_integer("num_seeds", 1, "Of each network.", 1)
_OUTPUT = flags.DEFINE_string("output", "runs/timed_networks", "Folder of the results.")

_SPACE = ConvNetSpace()
_BASE = PUBLISHED["vgg_small"][1]
NETWORKS = {
    "vgg_small": _BASE,
    "k5": dataclasses.replace(_BASE, kernel=5),
    "grid": dataclasses.replace(_BASE, head="grid"),
    "k5 grid": dataclasses.replace(_BASE, kernel=5, head="grid"),
    "max": dataclasses.replace(_BASE, head="max"),
    "k5 grid avg_pool": dataclasses.replace(_BASE, kernel=5, head="grid", downsample="avg_pool"),
    "wider": _SPACE.wider(_BASE),
    "vgg_tiny": PUBLISHED["vgg_tiny"][1],
    "resnet8": PUBLISHED["resnet8"][1],
    "vgg_like": PUBLISHED["vgg_like"][1],
}
"""By a short name: what differs from `vgg_small`, or a known network's name."""


def measure(
    recipes: tuple[Recipe, Recipe], dataset: str, name: str, seed: int, seconds: float
) -> dict[str, Any]:
    """Trains a network by both recipes; returns its values and the epochs of the last training."""
    genotype, found = NETWORKS[name], {}
    for kind, recipe in zip(("short", "timed"), recipes, strict=True):
        evaluator = TrainedEvaluator(_SPACE, load_dataset(dataset, recipe.data), recipe)
        evaluator.prepare(genotype)
        limit = seconds if kind == "timed" else None
        job = Job(0, genotype, _SPACE.key(genotype), seed, limit_seconds=limit)
        result = evaluator.evaluate(job).result
        found[kind] = result.curve[-1] if result.curve else 0.0
        found["epochs"] = len(result.curve)
    return found


def table(output: pathlib.Path) -> str:
    """Returns what is there as Markdown."""
    rows = [
        "| set | network | seed | short, % | last, % | its epochs |",
        "|---|---|---|---|---|---|",
    ]
    for file in sorted((output / "trainings").glob("*.json")):
        found = json.loads(file.read_text())
        values = f"{100 * found['short']:.1f} | {100 * found['timed']:.1f} | {found['epochs']}"
        rows.append(f"| `{found['set']}` | {found['network']} | {found['seed']} | {values} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """Trains what is missing and writes the table."""
    datasets, output = chosen_sets(), pathlib.Path(_OUTPUT.value)
    (output / "trainings").mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str((output / "compile_cache").absolute()))
    for short, dataset in datasets.items():
        whole = load_dataset(dataset, DataConfig(image_size=auto.LARGEST_SIDE))
        mirror = keeps_class_when_mirrored(whole.train.images, whole.train.labels, 0).allowed
        side = min(auto.GAUGE_SIDE, auto.longest_side(whole))
        recipes = auto.search_recipe(whole, mirror), auto.final_recipe(whole, mirror, side)
        for seed in range(_SEEDS.value):
            for name in NETWORKS:
                file = output / "trainings" / f"{short}-{name.replace(' ', '_')}-{seed}.json"
                if not file.exists():
                    found = measure(recipes, dataset, name, seed, _SECONDS.value)
                    kept = {"set": short, "network": name, "seed": seed, **found}
                    commands.write_json(file, {**kept, "commit": commands.commit()})
                    print(kept, flush=True)
    (output / "table.md").write_text(table(output))


if __name__ == "__main__":
    commands.start("timed_networks", main)
