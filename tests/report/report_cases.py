"""Studies made by hand, without any training."""

import dataclasses
from typing import Any

import numpy as np

from xfernas_jax.history.metric import SCORE
from xfernas_jax.history.record import Evaluation, Job, Result, StudySpec, Task
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.space import get_space
from xfernas_jax.space.base import Space

SPACE = get_space("nasbench201")
TWO_CELL = get_space("nao5")
RECIPE = "recipe01"
DIGITS = Task("digits", "60/20/20 by index", 10)
CELLS = [SPACE.sample(np.random.default_rng(i)) for i in range(40)]
_OF_JOB = tuple(field.name for field in dataclasses.fields(Job))


def make_evaluation(number: int, value: float | None, **changes: Any) -> Evaluation:
    """Makes evaluation `number` of rounds of four; without a value it has failed."""
    job = Job(
        number=number,
        genotype=CELLS[number],
        key=SPACE.key(CELLS[number]),
        seed=number,
        after=number - number % 4,
    )
    result = Result(
        status="failed" if value is None else "complete",
        value=value,
        curve=() if value is None else (value / 2, value),
        costs=(("params", 100.0 * (number + 1)),),
        seconds=1.5,
        failure="The loss is not finite in epoch 1." if value is None else "",
        versions=(("jax", "0.10.2"),),
    )
    return changed(Evaluation(job, result, RECIPE), **changes)


def changed(evaluation: Evaluation, **changes: Any) -> Evaluation:
    """Returns an evaluation with other fields of its job or its result."""
    of_job = {name: value for name, value in changes.items() if name in _OF_JOB}
    of_result = {name: value for name, value in changes.items() if name not in _OF_JOB}
    job = dataclasses.replace(evaluation.job, **of_job)
    result = dataclasses.replace(evaluation.result, **of_result)
    return Evaluation(job, result, evaluation.recipe)


def make_spec(name: str = "own", **config: Any) -> StudySpec:
    values = {"optimizer": "xfer_nao", "seed": 1, "confirm_seeds": 2, **config}
    return StudySpec(name, "search", DIGITS, SPACE.name, RECIPE, values)


def study_of(*evaluations: Evaluation, spec: StudySpec | None = None, **fields: Any) -> SearchStudy:
    return SearchStudy(make_spec() if spec is None else spec, evaluations, SPACE, **fields)


def make_study(values: list[float | None], name: str = "own", **config: Any) -> SearchStudy:
    evaluations = [make_evaluation(i, value) for i, value in enumerate(values)]
    return study_of(*evaluations, spec=make_spec(name, **config))


def score_study(
    values: list[float], space: Space = SPACE, genotypes: list[Any] | None = None, **fields: Any
) -> SearchStudy:
    """Makes a study of a user's function: scores, and no costs."""
    cells = CELLS if genotypes is None else genotypes
    evaluations = [
        make_evaluation(i, v, genotype=cells[i], key=space.key(cells[i]), curve=(v,), costs=())
        for i, v in enumerate(values)
    ]
    task = Task("objective:m:f", "none", None, SCORE)
    spec = dataclasses.replace(
        make_spec(objective="m:f", confirm_seeds=0), task=task, space=space.name
    )
    return SearchStudy(spec, tuple(evaluations), space, **fields)


def two_cell_study() -> SearchStudy:
    genotypes = [TWO_CELL.sample(np.random.default_rng(i)) for i in range(2)]
    evaluations = [
        make_evaluation(i, 0.5, genotype=g, key=TWO_CELL.key(g)) for i, g in enumerate(genotypes)
    ]
    spec = dataclasses.replace(make_spec(), space=TWO_CELL.name)
    return SearchStudy(spec, tuple(evaluations), TWO_CELL)


def make_result(best: Evaluation, **changes: Any) -> dict[str, Any]:
    """Makes what `run.py search` records at its end."""
    genotype, other = SPACE.to_json(best.genotype), SPACE.to_json(CELLS[4])
    return {
        "study": "own",
        "dataset": "digits",
        "metric": "accuracy",
        "num_evaluations": 8,
        "num_confirmations": 4,
        "best_genotype": genotype,
        "best_value": 0.875,
        "test_value": 0.8125,
        "finalists": [
            {"genotype": other, "values": [0.75, 0.75], "mean": 0.75},
            {"genotype": genotype, "values": [0.85, 0.9], "mean": 0.875},
        ],
        "selection_bias": 0.0125,
        "num_params": int(best.costs["params"]),
        "seconds": 15.0,
        "epochs_trained": 16,
        "epochs_saved": 0,
        "incumbent_curve": [0.5],
        "variables": "",
        "sources": ["mnist@a", "usps@b"],
        "devices_per_evaluation": 2,
        "dataset_flag": "digits",
        "data_dir": None,
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


def finished_study(**fields: Any) -> SearchStudy:
    """Eight evaluations with predictions, two of them without a value, and two confirmations."""
    values = [0.5, 0.7, 0.6, None, 0.8, 0.75, 0.9, 0.65]
    search = [
        make_evaluation(
            i,
            value,
            predicted=i / 8,
            costs=(("params", 100.0 * (i + 1)), ("flops", 1000.0 * (8 - i))),
        )
        for i, value in enumerate(values)
    ]
    search[5] = changed(search[5], status="stopped", value=None, curve=(0.4,))
    confirm = changed(search[6], purpose="confirm", predicted=None, after=0)
    confirms = [
        changed(confirm, number=i, seed=50 + i, value=value) for i, value in enumerate((0.85, 0.9))
    ]
    spec = make_spec(goal={"limits": {"flops": 9000.0}, "pareto": ""})
    result = make_result(search[6])
    return study_of(*search, *confirms, spec=spec, **{"result": result, **fields})
