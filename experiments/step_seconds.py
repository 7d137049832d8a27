"""How long a training takes by what is known of its network: operations, and numbers written.

    python -m experiments.step_seconds --output=runs/step_seconds.json

From the bundled histories of space convnet: the second training of an architecture finds its
program compiled, so nearly all of its seconds are steps. Seconds are fitted as a constant, plus
operations (`flops`), plus `activations` times a rate, by least squares of relative errors with no
negative rate; and without the activations. The ratio of the two rates is what `evaluate/auto.py`
counts an activation as. Errors are those of a task left out of its fit.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
from absl import flags
from scipy.optimize import nnls

from experiments import commands
from xfernas_jax.evaluate.auto import SEARCH_SIDE
from xfernas_jax.history.sources import RecordedStudy, bundled_histories
from xfernas_jax.nn.costs import NetworkCosts
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space.convnet import ConvNetSpace

_OUTPUT = flags.DEFINE_string("output", "runs/step_seconds.json", "JSON file.")
_SPACE = ConvNetSpace()


@dataclasses.dataclass(frozen=True)
class Training:
    """A training that compiled nothing.

    Attributes:
      task: name of the data set.
      block: of the network.
      costs: flops and activations of one image.
      seconds: it took.
    """

    task: str
    block: str
    costs: tuple[float, float]
    seconds: float


def trainings(study: RecordedStudy) -> list[Training]:
    """Returns the second trainings of a study's architectures."""
    task = study.spec.task
    assert task.facts is not None
    assert task.num_classes is not None
    side = min(SEARCH_SIDE, task.facts.side)
    shape = (side, side, 3 if task.facts.is_colour else 1)
    names = ("flops", "activations")
    costs = NetworkCosts(_SPACE, NetworkConfig(), task.num_classes, shape, names)
    seen: set[str] = set()
    found = []
    for evaluation in study.load():
        if evaluation.key in seen:
            known = costs(evaluation.genotype)
            pair = (known["flops"], known["activations"])
            block = evaluation.genotype.block
            found.append(Training(task.dataset, block, pair, evaluation.seconds))
        seen.add(evaluation.key)
    return found


def fitted(its: list[Training], num_costs: int) -> np.ndarray:
    """Returns the constant and the rates of the first `num_costs` costs."""
    seconds = np.array([t.seconds for t in its])
    rates, _ = nnls(_table(its, num_costs) / seconds[:, None], np.ones(len(its)))
    return rates


def _table(its: list[Training], num_costs: int) -> np.ndarray:
    return np.array([(1.0, *t.costs[:num_costs]) for t in its])


def left_out(its: list[Training], num_costs: int) -> dict[str, Any]:
    """Returns how far predictions of a task by the others are off, as factors."""
    logs: dict[str, list[float]] = {}
    for task in sorted({t.task for t in its}):
        rates = fitted([t for t in its if t.task != task], num_costs)
        own = [t for t in its if t.task == task]
        for training, seconds in zip(own, _table(own, num_costs) @ rates, strict=True):
            logs.setdefault(training.block, []).append(np.log(training.seconds / seconds))
    every = np.concatenate([np.array(row) for row in logs.values()])
    return {
        "typical_factor": float(np.exp(np.sqrt(np.mean(every**2)))),
        "longer_than_predicted_by_block": {
            block: float(np.exp(np.mean(row))) for block, row in sorted(logs.items())
        },
    }


def main() -> None:
    """Fits, prints and writes."""
    studies = [study for study in bundled_histories() if study.spec.space == _SPACE.name]
    its = [training for study in studies for training in trainings(study)]
    rates = fitted(its, 2)
    result = {
        "trainings": len(its),
        "constant_seconds": float(rates[0]),
        "flops_per_activation": float(rates[2] / rates[1]),
        "by_flops": left_out(its, 1),
        "by_both": left_out(its, 2),
        "commit": commands.commit(),
    }
    for name in ("by_flops", "by_both"):
        row = result[name]
        blocks = row["longer_than_predicted_by_block"].items()
        shown = ", ".join(f"{block} {factor:.2f}" for block, factor in blocks)
        print(f"{name}: typically off by a factor of {row['typical_factor']:.2f}; {shown}")
    print(f"an activation takes as long as {result['flops_per_activation']:.0f} operations")
    file = pathlib.Path(_OUTPUT.value)
    file.parent.mkdir(parents=True, exist_ok=True)
    commands.write_json(file, result)


if __name__ == "__main__":
    commands.start("step_seconds", main)
