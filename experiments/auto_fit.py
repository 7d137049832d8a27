"""The fit of the rule "auto" to trainings of several sizes and lengths; see `auto_rule`.

The rule of `evaluate/auto.py` has two numbers. WANTED_EPOCHS decides between sizes: the largest
images, and then the largest known network, that get so many epochs. MOST_EPOCHS ends a training
for which there is more time. What a pair of them takes is compared with the best of everything
that was measured, for many budgets of arithmetic: the operations of a forward pass x images x
epochs, which time is nearly proportional to on one device. Accuracy between measured numbers of
epochs is interpolated over their logarithm.
"""

import dataclasses
import itertools
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from xfernas_jax.evaluate import auto

WANTED = (5, 10, 15, 20, 25, 30, 40, 60, 80)
MOST = (20, 40, 60, 80, 120, 160)
_NUM_BUDGETS = 25


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
        """Returns the accuracy after so many epochs.

        Above what was measured it is the last one's, below it a share of the first one's.
        """
        logs = np.log(np.array(self.epochs))
        share = min(1.0, epochs / self.epochs[0])
        return share * float(np.interp(math.log(epochs), logs, self.accuracy))


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
        values.append(curve.at(min(room, curve.epochs[-1])))
        values += [a for e, a in zip(curve.epochs, curve.accuracy, strict=True) if e <= room]
    return max(values)


def losses(its: Sequence[Curve], network: str, wanted: int, most: int) -> np.ndarray:
    """Returns, for each budget of a set, what a pair of numbers leaves, in points."""
    found = []
    for work in budgets(its):
        curve, epochs = chosen_by_rule(its, network, work, wanted, most)
        found.append(100.0 * (best_known(its, work) - curve.at(epochs)))
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


def page(found: Mapping[str, Any], by_set: Mapping[str, Sequence[Curve]]) -> str:
    """Returns the measurements and the fit as Markdown tables."""
    numbers = sorted({epochs for its in by_set.values() for c in its for epochs in c.epochs})
    heads = ["set", "network", "pixels", *(f"{epochs} epochs" for epochs in numbers)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, its in by_set.items():
        for curve in sorted(its, key=lambda c: c.epoch_work):
            known = dict(zip(curve.epochs, curve.accuracy, strict=True))
            shown = [f"{100 * known[e]:.1f}" if e in known else "" for e in numbers]
            cells = [f"`{name}`", f"`{curve.network}`", str(curve.side), *shown]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"| WANTED_EPOCHS | {' | '.join(f'at most {most}' for most in MOST)} |"]
    lines.append("|---" * (1 + len(MOST)) + "|")
    loss = {(row["wanted"], row["most"]): row["loss"] for row in found["pairs"]}
    for wanted in WANTED:
        cells = [f"{loss[wanted, most]:.2f}" for most in MOST]
        lines.append(f"| {wanted} | {' | '.join(cells)} |")
    lines += ["", "| set | pair that the others choose | it leaves | least |", "|---|---|---|---|"]
    for name, its in found["left_out"].items():
        wanted, most = its["pair"]
        cells = [f"`{name}`", f"{wanted}, {most}", f"{its['loss']:.2f}", f"{its['least_loss']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
