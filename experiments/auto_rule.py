"""What the numbers of the rule "auto" are fitted on: how large, how long, and which network.

    python -m experiments.auto_rule --images=../shared/images --output=runs/auto_rule
    python -m experiments.auto_rule --output=runs/auto_rule --train=false  # the fit alone

Trains known networks by the final recipe at several sizes of images and numbers of epochs (a
one-cycle schedule ends with its last epoch, so each number is a training of its own), and keeps
the accuracy on the validation part; test parts are not looked at. One file for each training in
`trainings/`, from which the command goes on. Two processes with --sets of their own may share the
folder.

Then `fit.json`: for each set and each of many budgets of arithmetic (the operations of a forward
pass x images x epochs, which time is nearly proportional to on one device) it compares the best of
everything that was measured with what the rule of `evaluate/auto.py` takes, for every pair of its
two numbers, WANTED_EPOCHS and MOST_EPOCHS. Accuracy between measured numbers of epochs is
interpolated over their logarithm. The loss of a pair is the mean over sets and budgets of what it
leaves, in points; each set is also predicted by the pair that the other sets choose.
"""

import dataclasses
import itertools
import json
import math
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import commands
from experiments.image_sets import chosen_sets
from xfernas_jax.data.base import DataConfig
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.symmetry import keeps_class_when_mirrored
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.history import Job
from xfernas_jax.nn.costs import NetworkCosts
from xfernas_jax.space.convnet import ConvNetSpace
from xfernas_jax.space.published import PUBLISHED

_NETWORKS = flags.DEFINE_list("networks", ["vgg_small", "vgg_like"], "Known networks.")
_EPOCHS = flags.DEFINE_list("epochs", ["5", "10", "20", "40", "80", "160"], "Numbers of epochs.")
_MOST_WORK = flags.DEFINE_float("most_work", 3.5e12, "Operations of a training, at most.")
_SEEDS = flags.DEFINE_integer("num_seeds", 1, "Trainings of each kind.", 1)
_TRAIN = flags.DEFINE_boolean("train", True, "Train what is missing; else fit what is there.")
_OUTPUT = flags.DEFINE_string("output", "runs/auto_rule", "Folder of the results.")

WANTED = (5, 10, 15, 20, 25, 30, 40, 60, 80)
MOST = (20, 40, 60, 80, 120, 160)
_NUM_BUDGETS = 25
_SPACE = ConvNetSpace()


@dataclasses.dataclass(frozen=True)
class Training:
    """A finished training.

    Attributes:
      image_set: short name.
      network: name of the known network.
      side: pixels of the images' longer side.
      epochs: of the training.
      seed: of it.
      num_images: of an epoch.
      flops: of a forward pass of one image.
      accuracy: on the validation part; 0 where the training diverged.
      seconds: with compilation, on whatever machine it was.
      commit: of the code.
    """

    image_set: str
    network: str
    side: int
    epochs: int
    seed: int
    num_images: int
    flops: float
    accuracy: float
    seconds: float
    commit: str

    @property
    def work(self) -> float:
        """Operations of all forward passes."""
        return self.flops * self.num_images * self.epochs


def train_missing(name: str, dataset: str, output: pathlib.Path) -> None:
    """Trains on a set what has no file yet, the shortest first."""
    whole = load_dataset(dataset, DataConfig(image_size=auto.LARGEST_SIDE))
    mirror = keeps_class_when_mirrored(whole.train.images, whole.train.labels, 0).allowed
    loaded, recipes, units = {}, {}, []
    for side in auto.sides(whole):
        recipes[side] = auto.final_recipe(whole, mirror, side)
        loaded[side] = load_dataset(dataset, recipes[side].data)
        num_classes = whole.task.num_classes
        assert num_classes is not None
        shape = loaded[side].input_shape
        costs = NetworkCosts(_SPACE, recipes[side].network, num_classes, shape, ("flops",))
        for network, epochs in itertools.product(_NETWORKS.value, map(int, _EPOCHS.value)):
            work = costs(PUBLISHED[network][1])["flops"] * len(whole.train) * epochs
            if work <= _MOST_WORK.value:
                units += [(work, side, epochs, network, seed) for seed in range(_SEEDS.value)]
    for work, side, epochs, network, seed in sorted(units):
        file = output / "trainings" / f"{name}-{network}-{side}-{epochs}-{seed}.json"
        if file.exists():
            continue
        start, genotype = time.monotonic(), PUBLISHED[network][1]
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


def read_trainings(output: pathlib.Path) -> list[Training]:
    """Reads all files of a folder of results."""
    files = sorted((output / "trainings").glob("*.json"))
    return [Training(**json.loads(file.read_text())) for file in files]


@dataclasses.dataclass(frozen=True)
class Curve:
    """A network at a size of images on a set: accuracy by the number of epochs.

    Attributes:
      network: name.
      side: pixels.
      epoch_work: operations of an epoch.
      epochs: numbers that were measured, rising.
      accuracy: mean over seeds, for each.
    """

    network: str
    side: int
    epoch_work: float
    epochs: tuple[int, ...]
    accuracy: tuple[float, ...]

    def at(self, epochs: float) -> float:
        """Returns the accuracy after so many epochs; outside of what was measured, its end's."""
        logs = np.log(np.array(self.epochs))
        return float(np.interp(math.log(epochs), logs, self.accuracy))


def curves(trainings: Sequence[Training]) -> list[Curve]:
    """Returns the curves of one set's trainings; `Curve` needs two numbers of epochs."""
    found: dict[tuple[str, int], list[Training]] = {}
    for training in trainings:
        found.setdefault((training.network, training.side), []).append(training)
    result = []
    for (network, side), its in found.items():
        epochs = tuple(sorted({t.epochs for t in its}))
        if len(epochs) > 1:
            means = [float(np.mean([t.accuracy for t in its if t.epochs == e])) for e in epochs]
            work = its[0].flops * its[0].num_images
            result.append(Curve(network, side, work, epochs, tuple(means)))
    return result


def chosen_by_rule(
    its: Sequence[Curve], network: str, work: float, wanted: int, most: int
) -> tuple[Curve, float]:
    """Returns what the rule of `evaluate/auto.py` takes for a budget: a curve, and its epochs.

    The size of images is the largest at which `network` gets the wanted epochs; then the largest
    network that gets them at that size.
    """
    own = sorted((c for c in its if c.network == network), key=lambda c: -c.side)
    fitting = [c for c in own if work / c.epoch_work >= wanted]
    side = (fitting or own[-1:])[0].side
    there = sorted((c for c in its if c.side == side), key=lambda c: c.epoch_work)
    fitting = [c for c in there if work / c.epoch_work >= wanted]
    curve = (fitting or there[:1])[-1]
    return curve, min(work / curve.epoch_work, float(most))


def budgets(its: Sequence[Curve]) -> np.ndarray:
    """Returns the budgets of a set, from its cheapest training to its dearest."""
    low = min(c.epoch_work * c.epochs[0] for c in its)
    high = max(c.epoch_work * c.epochs[-1] for c in its)
    return np.geomspace(low, high, _NUM_BUDGETS)


def best_known(its: Sequence[Curve], work: float) -> float:
    """Returns the best accuracy of what was measured or lies between, within a budget."""
    values = [0.0]
    for curve in its:
        room = work / curve.epoch_work
        values += [a for e, a in zip(curve.epochs, curve.accuracy, strict=True) if e <= room]
        if room >= curve.epochs[0]:
            values.append(curve.at(min(room, curve.epochs[-1])))
    return max(values)


def losses(its: Sequence[Curve], network: str, wanted: int, most: int) -> np.ndarray:
    """Returns, for each budget of a set, what a pair of numbers leaves, in points."""
    found = []
    for work in budgets(its):
        curve, epochs = chosen_by_rule(its, network, work, wanted, most)
        found.append(100.0 * (best_known(its, work) - curve.at(max(epochs, curve.epochs[0]))))
    return np.array(found)


def fit(by_set: Mapping[str, Sequence[Curve]], network: str) -> dict[str, Any]:
    """Returns the loss of each pair, and what leaving a set out says of the choice."""
    pairs = list(itertools.product(WANTED, MOST))
    table = np.array(  # [pairs, sets]
        [[losses(its, network, *pair).mean() for its in by_set.values()] for pair in pairs]
    )
    best = int(table.mean(1).argmin())
    left_out = {}
    for i, name in enumerate(by_set):
        others = int(np.delete(table, i, axis=1).mean(1).argmin()) if len(by_set) > 1 else best
        left_out[name] = {
            "pair": pairs[others],
            "loss": float(table[others, i]),
            "least_loss": float(table[:, i].min()),
        }
    present = pairs.index((auto.WANTED_EPOCHS, auto.MOST_EPOCHS))
    return {
        "pairs": [
            {"wanted": w, "most": m, "loss": float(row.mean()), "sets": row.tolist()}
            for (w, m), row in zip(pairs, table, strict=True)
        ],
        "best": pairs[best],
        "best_loss": float(table[best].mean()),
        "present": pairs[present],
        "present_loss": float(table[present].mean()),
        "left_out": left_out,
    }


def main() -> None:
    """Trains what is missing and fits."""
    output = pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    if unknown := [name for name in _NETWORKS.value if name not in PUBLISHED]:
        raise FlagError(f"--networks={unknown[0]}: there is no such published network.")
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
    for name, its in by_set.items():
        for curve in its:
            pairs = zip(curve.epochs, curve.accuracy, strict=True)
            shown = "  ".join(f"{e}: {100 * a:.1f}" for e, a in pairs)
            print(f"{name:>8}  {curve.network:<9} {curve.side:>3} pixels  {shown}")
    print(f"best (wanted, most) {found['best']}: leaves {found['best_loss']:.2f} points")
    print(f"now  (wanted, most) {found['present']}: leaves {found['present_loss']:.2f} points")


if __name__ == "__main__":
    commands.start("auto_rule", main)
