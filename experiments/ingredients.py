"""What each ingredient of the recipe "auto" is worth: the table in `INGREDIENTS.md`.

    python -m experiments.ingredients --results=runs/ingredients

Every variant changes one thing of the full recipe (`evaluate/auto.py`) and trains the same network
from the same initial values for as many epochs; what counts is the validation accuracy after the
last one. Test parts are not looked at. Finished trainings are kept in `trainings.jsonl`, so the
same command goes on where it was stopped. First the full recipe, which all are compared with, gets
`--num_full_seeds`, which tell the noise; then all sets and variants get a seed before any gets
another.
`INGREDIENTS.md` is written again after each training.
"""

import dataclasses
import datetime
import itertools
import json
import math
import os
import pathlib
import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import commands, statistics
from xfernas_jax.data import DataConfig, ImageDataset, load_dataset
from xfernas_jax.data.symmetry import keeps_class_when_mirrored
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator, versions
from xfernas_jax.files import write_atomically
from xfernas_jax.history import Job
from xfernas_jax.space.published import find_published
from xfernas_jax.space.registry import get_space

_IMAGES = flags.DEFINE_string("images", "../shared/images", "Folder of the sets.")
_NETWORK = flags.DEFINE_string("network", "vgg_tiny", "Published network of space convnet.")
_EPOCHS = flags.DEFINE_integer("epochs", 12, "Of a training; twice as many for flowers17.", 1)
_SEEDS = flags.DEFINE_integer("num_seeds", 2, "Seeds, from 0.", lower_bound=1)
_FULL_SEEDS = flags.DEFINE_integer("num_full_seeds", 3, "Of the full recipe.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("results", "runs/ingredients", "Folder of trainings and table.")

FULL = "full recipe"
_MOST_VALID = 1_000


@dataclasses.dataclass(frozen=True)
class Source:
    """A set in the folder: `NAME/NAME.npz`.

    Attributes:
      name: of folder and file.
      side: of the images, in pixels.
      train_examples: that are trained on; None for all.
      longer: how many times the epochs, for a set whose epochs have few steps.
    """

    name: str
    side: int
    train_examples: int | None
    longer: int = 1


SOURCES = (
    Source("cifar10_subset", 16, 1_500),
    Source("flowers17_16x16", 16, None, longer=2),
    Source("notmnist_10k", 14, 1_500),
)


@dataclasses.dataclass(frozen=True)
class Training:
    """A finished training.

    Attributes:
      source: name of the set.
      variant: what was changed of the recipe.
      seed: of initial values, order and augmentation.
      accuracy: on the validation part, after the last epoch; 0 where the training diverged.
      seconds: with compilation.
      identity: of the set's content, network and recipe.
    """

    source: str
    variant: str
    seed: int
    accuracy: float
    seconds: float
    identity: str


def variants(full: Recipe) -> dict[str, Recipe]:
    """Returns the recipes that differ from the full one in one thing, by what it is.

    They are trained in this order: first what probably matters most.
    """

    def train(**values: Any) -> Recipe:
        return dataclasses.replace(full, train=dataclasses.replace(full.train, **values))

    def data(**values: Any) -> Recipe:
        return dataclasses.replace(full, data=dataclasses.replace(full.data, **values))

    rate, side = full.train.learning_rate, full.data.image_size or 0
    found = {
        FULL: full,
        "cosine, no warm-up": train(schedule="cosine", warmup=0.0),
        "learning rate x 2": train(learning_rate=rate * 2),
        "no augmentation": data(augment="none"),
        "batch 32 (rate by the rule)": train(
            batch_size=32, learning_rate=rate * 32 / full.train.batch_size
        ),
        "no label smoothing": train(label_smoothing=0.0),
        "average of weights, .99": train(average_decay=0.99),
        "AdamW, rate .003": train(
            optimizer="adamw", learning_rate=0.003, nesterov=False, decay_all=True
        ),
        "learning rate x .5": train(learning_rate=rate / 2),
        "no flips": data(augment="crop", test_flips=False),
        "one_cycle, no warm-up": train(warmup=0.0),
        "mixup .2": train(mixup=0.2),
        "cutout of a quarter of the side": data(cutout=side // 4),
        "cosine, warm-up .2": train(schedule="cosine"),
        "no Nesterov": train(nesterov=False),
        "decay of all parameters": train(decay_all=True),
        "no flips at test time": data(test_flips=False),
    }
    same = full.fingerprint()  # as without flips where there are none
    return {
        name: recipe
        for name, recipe in found.items()
        if name == FULL or recipe.fingerprint() != same
    }


def order(names: Sequence[str]) -> list[tuple[str, int]]:
    """Returns variants and seeds in the order in which they are trained."""
    return [
        *((FULL, seed) for seed in range(_FULL_SEEDS.value)),
        *((name, seed) for seed in range(_SEEDS.value) for name in names if name != FULL),
    ]


def table(trainings: Sequence[Training], names: Sequence[str]) -> list[str]:
    """Returns the lines of the Markdown table: differences to the full recipe, in points.

    The interval is of Student's t, with the standard deviation of one training that is pooled
    over all variants of a set: two seeds of one variant alone would tell too little. A set has no
    interval before some variant has a second seed.

    Args:
      trainings: that are finished.
      names: of all variants; those that were not trained yet have empty cells.
    """
    scores: dict[str, dict[str, dict[int, float]]] = {}
    for t in trainings:
        scores.setdefault(t.source, {}).setdefault(t.variant, {})[t.seed] = t.accuracy
    lines = [
        f"| variant | {' | '.join(f'`{source}`' for source in scores)} | mean of the sets |",
        "|---|" + "---|" * (len(scores) + 1),
    ]
    full = [_level(by_variant) for by_variant in scores.values()]
    lines.append(f"| {FULL}: accuracy | {' | '.join(full)} | |")
    rows = []
    for name in names:
        cells = [_difference(by_variant, name) for by_variant in scores.values()]
        if name != FULL:
            rows.append((name, cells, _mean_of([cell for cell in cells if cell])))
    for name, cells, mean in sorted(rows, key=lambda row: -row[2][0] if row[2] else math.inf):
        number = sum(cell is not None for cell in cells)
        of = f" ({number} of {len(cells)})" if 0 < number < len(cells) else ""
        lines.append(f"| {name} | {' | '.join(map(_text, cells))} | {_text(mean)}{of} |")
    return lines


_Cell = tuple[float, float, float] | None  # difference, standard error, its degrees of freedom


def _difference(by_variant: Mapping[str, Mapping[int, float]], name: str) -> _Cell:
    """Returns a variant's mean less that of the full recipe; None where one was not trained."""
    groups = {other: list(scores.values()) for other, scores in by_variant.items()}
    ours, full = groups.get(name), groups.get(FULL)
    if not ours or not full:
        return None
    deviation = statistics.pooled_deviation(list(groups.values()))
    error = deviation * math.sqrt(1 / len(ours) + 1 / len(full))
    freedom = sum(len(group) - 1 for group in groups.values())
    return float(np.mean(ours) - np.mean(full)), error, freedom


def _mean_of(cells: Sequence[tuple[float, float, float]]) -> _Cell:
    """Returns the mean over sets; its degrees of freedom are those of Welch and Satterthwaite."""
    if not cells:
        return None
    variance = sum(error**2 for _, error, _ in cells)
    lost = sum(error**4 / freedom for _, error, freedom in cells if freedom)
    mean = float(np.mean([difference for difference, _, _ in cells]))
    return mean, math.sqrt(variance) / len(cells), variance**2 / lost if lost else 0


def _level(by_variant: Mapping[str, Mapping[int, float]]) -> str:
    scores = list(by_variant.get(FULL, {}).values())
    deviation = statistics.pooled_deviation([list(s.values()) for s in by_variant.values()])
    noise = "" if math.isnan(deviation) else f" (one training scatters by {100 * deviation:.1f})"
    return f"{100 * np.mean(scores):.1f}{noise}" if scores else ""


def _text(cell: _Cell) -> str:
    from scipy.special import stdtrit  # loads in a fraction of the time of scipy.stats

    if cell is None:
        return ""
    difference, error, freedom = cell
    text = f"{100 * difference:+.1f}"
    if math.isnan(error):
        return text
    half = float(stdtrit(freedom, 0.975)) * error
    shown = f"{text} ± {100 * half:.1f}"
    return f"**{shown}**" if abs(difference) > half else shown


def _load(source: Source) -> ImageDataset | None:
    file = pathlib.Path(_IMAGES.value) / source.name / f"{source.name}.npz"
    if not file.exists():
        print(f"{source.name} is left out: there is no {source.name}.npz in --images.", flush=True)
        return None
    config = DataConfig(source.train_examples, _MOST_VALID, image_size=source.side)
    return load_dataset(f"npz:{file}", config)


def _full_recipe(source: Source, dataset: ImageDataset) -> Recipe:
    part = dataset.train
    mirror = keeps_class_when_mirrored(part.images, part.labels, 0).allowed
    recipe = auto.final_recipe(dataset, mirror, source.side)
    data = dataclasses.replace(
        recipe.data, train_examples=source.train_examples, valid_examples=_MOST_VALID
    )
    epochs = _EPOCHS.value * source.longer
    train = dataclasses.replace(recipe.train, epochs=epochs, eval_batch_size=128)  # small parts
    return dataclasses.replace(recipe, data=data, train=train)


def _read(file: pathlib.Path) -> list[Training]:
    lines = file.read_text().splitlines() if file.exists() else []
    return [Training(**json.loads(line)) for line in lines]


def _train(dataset: ImageDataset, recipe: Recipe, seed: int) -> tuple[float, float]:
    """Returns the accuracy of one training and its seconds."""
    space_name, genotype = find_published(_NETWORK.value)
    space = get_space(space_name)
    evaluator = TrainedEvaluator(space, dataset, recipe)
    result = evaluator.evaluate(Job(0, genotype, space.key(genotype), seed)).result
    return 0.0 if result.value is None else result.value, result.seconds


def _report(
    trainings: Sequence[Training], names: Sequence[str], planned: int, facts: Sequence[str]
) -> str:
    """Returns the whole file: what was done in how many seconds, and the table."""
    state = "complete" if len(trainings) == planned else "NOT COMPLETE"
    seconds = sum(t.seconds for t in trainings)
    known = " ".join(f"{name} {version}" for name, version in versions())
    command = " ".join(["python -m experiments.ingredients", *sys.argv[1:]])
    return "\n".join(
        [
            "# What the ingredients of the recipe `auto` are worth",
            "",
            "One thing is changed at a time; differences of validation accuracy to the full",
            "recipe in points, with 95 % intervals (bold: 0 lies outside; not corrected for the",
            "number of rows). Positive: the variant is better than the recipe.",
            "",
            f"`{command}`, network `{_NETWORK.value}`, {_SEEDS.value} seeds (full recipe:",
            f"{_FULL_SEEDS.value}); {len(trainings)} of {planned} trainings, {state};",
            f"{seconds:.0f} s of training with compilation. Commit",
            f"{commands.commit()}, {os.cpu_count()} cores, Python "
            f"{platform.python_version()}, {known}, {datetime.date.today()}.",
            "",
            *facts,
            "",
            *table(trainings, names),
            "",
        ]
    )


def main() -> None:
    """Trains what is missing and writes the table after each training."""
    output = pathlib.Path(_OUTPUT.value)
    cache = os.path.abspath(output / "compile_cache")
    jax.config.update("jax_compilation_cache_dir", cache)
    loaded = {source: dataset for source in SOURCES if (dataset := _load(source))}
    recipes = {
        source: variants(_full_recipe(source, dataset)) for source, dataset in loaded.items()
    }
    facts = [
        f"- `{source.name}`: {len(dataset.train):,} training and {len(dataset.valid):,} validation "
        f"images, {recipes[source][FULL].train.epochs} epochs, batch "
        f"{recipes[source][FULL].train.batch_size}, `{recipes[source][FULL].data.augment}`."
        for source, dataset in loaded.items()
    ]
    names = list(dict.fromkeys(itertools.chain(*recipes.values())))
    planned = [
        (source, name, seed)
        for name, seed in order(names)
        for source in loaded
        if name in recipes[source]
    ]
    file = output / "trainings.jsonl"
    known = {(t.source, t.variant, t.seed, t.identity): t for t in _read(file)}

    def key(source: Source, name: str, seed: int) -> tuple[str, str, int, str]:
        task, fingerprint = loaded[source].task.dataset, recipes[source][name].fingerprint()
        return source.name, name, seed, f"{task} {_NETWORK.value} {fingerprint}"

    def write() -> None:
        done = [known[key(*one)] for one in planned if key(*one) in known]
        text = _report(done, names, len(planned), facts)
        write_atomically(output / "INGREDIENTS.md", text.encode())

    write()
    for source, name, seed in planned:
        if (place := key(source, name, seed)) in known:
            continue
        training = Training(
            *place[:3], *_train(loaded[source], recipes[source][name], seed), place[3]
        )
        known[place] = training
        lines = (json.dumps(dataclasses.asdict(t)) + "\n" for t in known.values())
        write_atomically(file, "".join(lines).encode())
        print(f"{source.name}  {name}  {seed}  {training.accuracy:.4f}", flush=True)
        write()


if __name__ == "__main__":
    commands.start("ingredients", main)
