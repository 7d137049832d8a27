"""What equal weights of classes are worth where their images are unequally many.

    python -m experiments.unequal_classes --sets=cifar10,notmnist,usps,grocery --output=runs/unequal

Each set is made unequal: class c of K keeps the share ratio^(-c / (K - 1)) of its training images,
classes in an order that is drawn anew for each seed, so the largest has `ratio` times the images of
the smallest. The validation part stays as it is and gives the scores. `grocery` is unequal by
itself (278 to 16) and is trained on as it is; its scores are of its test part, which has images of
all classes. The known VGG of 16 filters is trained by the recipe "auto" for some epochs, with and
without `train.class_weights=balanced`, from the same initial values. Each training is a file, from
which the command goes on; `table.md` has all that are there.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from experiments import commands
from experiments.image_flags import chosen_sets
from experiments.statistics import paired
from xfernas_jax.data.base import DataConfig, ImageDataset, Split
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.symmetry import keeps_class_when_mirrored
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.space.convnet import ConvNetSpace
from xfernas_jax.space.published import PUBLISHED

_RATIOS = flags.DEFINE_list("ratios", ["3", "10"], "Images of the largest class / the smallest.")
_SEEDS = flags.DEFINE_integer("num_seeds", 3, "Of each training.", 1)
_EPOCHS = flags.DEFINE_integer("epochs", 24, "Of a training.", 1)
_OUTPUT = flags.DEFINE_string("output", "runs/unequal_classes", "Folder of the results.")

WEIGHTS = ("none", "root", "balanced")
SCORES = ("accuracy", "balanced accuracy", "macro F1")
_NETWORK = PUBLISHED["vgg_small"][1]
_UNEQUAL = "grocery"  # by itself


def made_unequal(dataset: ImageDataset, ratio: float, seed: int) -> ImageDataset:
    """Returns a set whose training classes are unequal, and whose test part is the validation part.

    Args:
      dataset: of about equal classes.
      ratio: of the largest class to the smallest.
      seed: of the order of the classes; a class keeps its first images.
    """
    labels = dataset.train.labels
    classes = np.unique(labels)
    order = np.random.default_rng(seed).permutation(classes)
    kept = []
    for place, label in enumerate(order):
        rows = np.flatnonzero(labels == label)
        share = ratio ** (-place / (len(classes) - 1))
        kept.append(rows[: max(1, round(share * len(rows)))])
    rows = np.sort(np.concatenate(kept))
    train = Split(np.asarray(dataset.train.images[:])[rows], labels[rows])
    return dataclasses.replace(dataset, train=train, test=dataset.valid)


def measure(dataset: ImageDataset, weights: str, seed: int, epochs: int) -> dict[str, float]:
    """Trains the network and returns what it scores on the test part, by name."""
    mirror = keeps_class_when_mirrored(dataset.train.images, dataset.train.labels, 0).allowed
    side = min(auto.GAUGE_SIDE, auto.longest_side(dataset))
    recipe = auto.final_recipe(dataset, mirror, side)
    train = dataclasses.replace(recipe.train, epochs=epochs, class_weights=weights)
    recipe = dataclasses.replace(recipe, train=train)
    evaluator = TrainedEvaluator(ConvNetSpace(), dataset, recipe)
    variables = evaluator.train(_NETWORK, seed).variables
    found = evaluator.answer(_NETWORK, variables, "test").logits.argmax(axis=-1)
    labels = dataset.test.labels
    values = (
        accuracy_score(labels, found),
        balanced_accuracy_score(labels, found),
        f1_score(labels, found, average="macro"),
    )
    return dict(zip(SCORES, map(float, values), strict=True))


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the trainings as lines of Markdown: without weights, and what they add."""
    rows = ["| set | largest / smallest | weights | seeds | " + " | ".join(SCORES) + " |"]
    rows.append("|---" * (4 + len(SCORES)) + "|")
    for name, ratio in sorted({(each["set"], each["ratio"]) for each in found}):
        own = [each for each in found if (each["set"], each["ratio"]) == (name, ratio)]
        by_weights = {
            weights: {each["seed"]: each for each in own if each["weights"] == weights}
            for weights in WEIGHTS
        }
        plain = by_weights["none"]
        means = [f"{100 * np.mean([each[s] for each in plain.values()]):.1f}" for s in SCORES]
        rows.append(f"| `{name}` | {ratio:g} | none | {len(plain)} | " + " | ".join(means) + " |")
        for weights in WEIGHTS[1:]:
            seeds = sorted(plain.keys() & by_weights[weights].keys())
            cells = [_difference(plain, by_weights[weights], seeds, score) for score in SCORES]
            if seeds:
                rows.append(f"| | | {weights} | {len(seeds)} | " + " | ".join(cells) + " |")
    return rows


def _difference(
    plain: Mapping[int, Mapping[str, Any]],
    weighted: Mapping[int, Mapping[str, Any]],
    seeds: Sequence[int],
    score: str,
) -> str:
    ours, theirs = (
        np.array([100.0 * each[seed][score] for seed in seeds]) for each in (weighted, plain)
    )
    if len(seeds) < 2:
        return f"{(ours - theirs).mean():+.1f}" if seeds else ""
    compared = paired(ours, theirs)
    return f"{compared.difference:+.1f} ({compared.low:+.1f} to {compared.high:+.1f})"


def main() -> None:
    """Trains what is missing and writes the table."""
    datasets, output = chosen_sets(), pathlib.Path(_OUTPUT.value)
    trainings = output / "trainings"
    trainings.mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str((output / "compile_cache").absolute()))
    for seed in range(_SEEDS.value):
        for short, address in datasets.items():
            side = DataConfig(image_size=auto.GAUGE_SIDE)
            for ratio in [None] if short == _UNEQUAL else map(float, _RATIOS.value):
                whole = load_dataset(address, side)
                counts = np.bincount(whole.train.labels)
                own = float(counts.max() / counts.min()) if ratio is None else ratio
                used = whole if ratio is None else made_unequal(whole, ratio, seed)
                for weights in WEIGHTS:
                    file = trainings / f"{short}-{own:.3g}-{weights}-{seed}.json"
                    if file.exists():
                        continue
                    values = measure(used, weights, seed, _EPOCHS.value)
                    what = {"set": short, "ratio": round(own, 1), "weights": weights, "seed": seed}
                    kept = {**what, **values, "commit": commands.commit()}
                    commands.write_json(file, kept)
                    print(kept, flush=True)
    found = [json.loads(file.read_text()) for file in sorted(trainings.glob("*.json"))]
    (output / "table.md").write_text("\n".join(table(found)) + "\n")


if __name__ == "__main__":
    commands.start("unequal_classes", main)
