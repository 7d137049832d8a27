"""What the numbers of the rule "auto" are fitted on: how large, how long, and which network.

    python -m experiments.auto_rule --images=../shared/images --output=runs/auto_rule
    python -m experiments.auto_rule --output=runs/auto_rule --train=false  # the fit alone

Trains known networks by the final recipe at several sizes of images and numbers of epochs (a
one-cycle schedule ends with its last epoch, so each number is a training of its own), and keeps
the accuracy on the validation part; test parts are not looked at. One file for each training in
`trainings/`, from which the command goes on. Two processes with --sets of their own may share the
folder. Then `fit.json` and its tables, `auto_rule.md`: for each pair of the rule's numbers what it
leaves, in points, and which pair the other sets choose for each set (`auto_fit`).
"""

import dataclasses
import itertools
import pathlib
import time
from typing import Any

import jax
from absl import flags

from experiments import commands
from experiments.auto_fit import Training, curves, fit, page, read_trainings
from experiments.image_flags import chosen_sets
from xfernas_jax.data.base import DataConfig
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.symmetry import keeps_class_when_mirrored
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.files import write_atomically
from xfernas_jax.history import Job
from xfernas_jax.nn.costs import NetworkCosts
from xfernas_jax.space.base import Genotype
from xfernas_jax.space.convnet import ConvNetSpace
from xfernas_jax.space.published import PUBLISHED

_NETWORKS = flags.DEFINE_list(
    "networks", ["vgg_small", "vgg_like"], "Known networks; NAME+2 is two widths wider."
)
_EPOCHS = flags.DEFINE_list("epochs", ["5", "10", "20", "40", "80", "160"], "Numbers of epochs.")
_MOST_WORK = flags.DEFINE_float("most_work", 3.5e12, "Operations of a training, at most.")
_SEEDS = flags.DEFINE_integer("num_seeds", 1, "Trainings of each kind.", 1)
_TRAIN = flags.DEFINE_boolean("train", True, "Train what is missing; else fit what is there.")
_OUTPUT = flags.DEFINE_string("output", "runs/auto_rule", "Folder of the results.")


_SPACE = ConvNetSpace()


def genotype_of(text: str) -> Genotype:
    """Returns a published network by name, or one some widths wider, such as `vgg_like+2`."""
    name, _, steps = text.partition("+")
    if name not in PUBLISHED or not (steps or "0").isdigit():
        raise FlagError(f"--networks={text}: there is no such published network.")
    genotype = PUBLISHED[name][1]
    for _ in range(int(steps or 0)):
        wider = _SPACE.wider(genotype)
        if wider is None:
            raise FlagError(f"--networks={text}: no network of this shape is so wide.")
        genotype = wider
    return genotype


def train_missing(name: str, dataset: str, output: pathlib.Path) -> None:
    """Trains on a set what has no file yet, the shortest first."""
    whole = load_dataset(dataset, DataConfig(image_size=auto.LARGEST_SIDE))
    mirror = keeps_class_when_mirrored(whole.train.images, whole.train.labels, 0).allowed
    loaded: dict[int, Any] = {}
    recipes, units = {}, []
    for side in auto.sides(whole):
        recipes[side] = auto.final_recipe(whole, mirror, side)
        loaded[side] = load_dataset(dataset, recipes[side].data)
        num_classes = whole.task.num_classes
        assert num_classes is not None
        shape = loaded[side].input_shape
        costs = NetworkCosts(_SPACE, recipes[side].network, num_classes, shape, ("flops",))
        for network, epochs in itertools.product(_NETWORKS.value, map(int, _EPOCHS.value)):
            work = costs(genotype_of(network))["flops"] * len(whole.train) * epochs
            if work <= _MOST_WORK.value:
                units += [(work, side, epochs, network, seed) for seed in range(_SEEDS.value)]
    for work, side, epochs, network, seed in sorted(units):
        file = output / "trainings" / f"{name}-{network}-{side}-{epochs}-{seed}.json"
        if file.exists():
            continue
        start, genotype = time.monotonic(), genotype_of(network)
        longer = dataclasses.replace(recipes[side].train, epochs=epochs)
        recipe = dataclasses.replace(recipes[side], train=longer)
        evaluator = TrainedEvaluator(_SPACE, loaded[side], recipe)
        scored = evaluator.evaluate(Job(0, genotype, _SPACE.key(genotype), seed))
        training = Training(
            name,
            network,
            side,
            epochs,
            seed,
            len(whole.train),
            work / len(whole.train) / epochs,
            scored.result.value or 0.0,
            time.monotonic() - start,
            commands.commit(),
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        commands.write_json(file, dataclasses.asdict(training))
        print(
            f"{name:>8}  {network:<9} {side:>3} pixels {epochs:>4} epochs  work {work:.1e}  "
            f"valid {training.accuracy:.4f}  {training.seconds:.0f} s",
            flush=True,
        )


def main() -> None:
    """Trains what is missing and fits."""
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    for name in _NETWORKS.value:
        genotype_of(name)  # a mistake shows
    if _TRAIN.value:
        cache = str((output / "compile_cache").absolute())
        jax.config.update("jax_compilation_cache_dir", cache)
        for name, dataset in chosen_sets().items():
            train_missing(name, dataset, output)
    trainings = read_trainings(output)
    names = sorted({t.image_set for t in trainings})
    by_set = {name: curves([t for t in trainings if t.image_set == name]) for name in names}
    by_set = {name: its for name, its in by_set.items() if its}
    if not by_set:
        raise FlagError(f"--output={output} holds no trainings to fit.")
    found = fit(by_set, _NETWORKS.value[0])
    commands.write_json(output / "fit.json", {"sets": list(by_set), **found})
    text = page(found, by_set)
    write_atomically(output / "auto_rule.md", text.encode())
    print(text)
    print(f"best (wanted, most) {found['best']}: leaves {found['best_loss']:.2f} points")
    print(f"now  (wanted, most) {found['present']}: leaves {found['present_loss']:.2f} points")


if __name__ == "__main__":
    commands.start("auto_rule", main)
