"""Studies made by hand, without any training."""

import dataclasses
from typing import Any

import numpy as np

from xfernas_jax.history.record import Evaluation, StudySpec, Task
from xfernas_jax.report.study import StudyRecord
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
TWO_CELL = get_space("nao5")
RECIPE = "recipe01"
DIGITS = Task("digits", "60/20/20 by index", 10)
CELLS = [SPACE.sample(np.random.default_rng(i)) for i in range(40)]


def make_evaluation(number: int, value: float | None, **changes: Any) -> Evaluation:
    """Makes evaluation `number` of rounds of four; without a value it has failed."""
    evaluation = Evaluation(
        genotype=CELLS[number],
        recipe=RECIPE,
        seed=number,
        status="failed" if value is None else "complete",
        valid_accuracy=value,
        curve=() if value is None else (value / 2, value),
        num_params=100 * (number + 1),
        seconds=1.5,
        round_index=number // 4,
        number=number,
        failure="The loss is not finite in epoch 1." if value is None else "",
        versions=(("jax", "0.10.2"),),
    )
    return dataclasses.replace(evaluation, **changes)


def make_spec(name: str = "own", **config: Any) -> StudySpec:
    values = {"optimizer": "xfer_nao", "seed": 1, "confirm_seeds": 2, **config}
    return StudySpec(name, "search", DIGITS, SPACE.name, RECIPE, values)


def make_study(values: list[float | None], name: str = "own", **config: Any) -> StudyRecord:
    evaluations = [make_evaluation(i, value) for i, value in enumerate(values)]
    return StudyRecord(make_spec(name, **config), tuple(evaluations))


def two_cell_study() -> StudyRecord:
    genotypes = [TWO_CELL.sample(np.random.default_rng(i)) for i in range(2)]
    evaluations = [make_evaluation(i, 0.5, genotype=g) for i, g in enumerate(genotypes)]
    spec = dataclasses.replace(make_spec(), space=TWO_CELL.name)
    return StudyRecord(spec, tuple(evaluations))


def make_result(best: Evaluation, **changes: Any) -> dict[str, Any]:
    """Makes what `run.py search` records at its end."""
    return {
        "study": "own",
        "dataset": "digits",
        "num_evaluations": 8,
        "num_confirmations": 2,
        "best_genotype": SPACE.to_json(best.genotype),
        "best_valid_accuracy": 0.875,
        "test_accuracy": 0.8125,
        "num_params": best.num_params,
        "seconds": 15.0,
        "epochs_trained": 16,
        "epochs_saved": 0,
        "incumbent_curve": [0.5],
        "variables": "",
        "sources": ["mnist@a", "usps@b"],
        "devices_per_evaluation": 2,
        "costs": {},
        "front": [],
        "relations": {
            "names": ["target", "mnist@a", "usps@b"],
            "similarity": [[1.0, 0.5, -0.25], [0.5, 1.0, 0.0], [-0.25, 0.0, 1.0]],
            "source_weights": [0.75, -0.5],
            "no_transfer_probability": 0.125,
        },
        **changes,
    }


def finished_study() -> StudyRecord:
    """Eight evaluations with predictions, two of them without a value, and two confirmations."""
    values = [0.5, 0.7, 0.6, None, 0.8, 0.75, 0.9, 0.65]
    search = [
        make_evaluation(i, value, predicted=i / 8, costs=(("flops", 1000.0 * (8 - i)),))
        for i, value in enumerate(values)
    ]
    stopped = {"status": "stopped", "valid_accuracy": None, "curve": (0.4,)}
    search[5] = dataclasses.replace(search[5], **stopped)
    confirm = dataclasses.replace(search[6], purpose="confirm", predicted=None, round_index=0)
    confirms = [
        dataclasses.replace(confirm, number=i, seed=50 + i, valid_accuracy=value)
        for i, value in enumerate((0.85, 0.9))
    ]
    goal = {"limits": {"flops": 9000.0}, "pareto": ""}
    return StudyRecord(make_spec(goal=goal), tuple([*search, *confirms]), make_result(search[6]))
