"""Records as xfernas_jax 0.1.0 wrote them (format 1), brought to today's form.

An evaluation then had its validation accuracy, or a score, and its number of parameters (0 where
unknown) as fields of their own, and `round_index` in place of `after`. A task of 0 classes was a
function's; there was no other metric than accuracy and score. A study did not say which version
began it, and its recipe held four options that never change a score.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from xfernas_jax.errors import HistoryError
from xfernas_jax.history import fields
from xfernas_jax.history.metric import ACCURACY, SCORE
from xfernas_jax.history.record import StudySpec, Task

_SPEC_FIELDS = frozenset({"name", "kind", "task", "space", "recipe", "config"})
_TASK_FIELDS = frozenset({"dataset", "split", "num_classes"})
_LATE_FIELDS: Mapping[str, Any] = {"number": 0, "costs": {}, "metric": "accuracy"}  # of 0.1.0's own
_KEPT_FIELDS = (
    *("genotype", "recipe", "seed", "status", "curve", "seconds", "purpose", "number"),
    *("predicted", "failure", "versions"),
)
_GONE_FIELDS = ("valid_accuracy", "num_params", "round_index", "costs", "metric")
_FIELDS = frozenset({*_KEPT_FIELDS, *_GONE_FIELDS})
_NEUTRAL: Mapping[str, Mapping[str, Any]] = {  # with the values of all its presets
    "network": {"depthwise": "auto", "remat": False, "scan_cells": False},
    "train": {"eval_batch_size": 512},
}


def is_evaluation(value: Any) -> bool:
    """Tells whether an evaluation's JSON is of format 1; a study may hold both."""
    return isinstance(value, dict) and "round_index" in value


def upgrade_spec(value: Any, where: str) -> dict[str, Any]:
    """Returns the JSON of a study as today; `HistoryError` names what is no field of format 1."""
    fields.check_fields(value, _SPEC_FIELDS, where, "study")
    task = value["task"]
    fields.check_fields(task, _TASK_FIELDS, where, "task")
    num_classes = fields.integer(task["num_classes"], "num_classes", where)
    metric = ACCURACY if num_classes else SCORE
    task = {**task, "num_classes": num_classes or None, "metric": dataclasses.asdict(metric)}
    config = _with_recipe(
        value["config"],
        lambda part, neutral: {name: part[name] for name in part if name not in neutral},
    )
    return {**value, "task": task, "config": config, "version": "0.1.0"}


def upgrade_evaluation(value: Any, spec: StudySpec, where: str) -> dict[str, Any]:
    """Returns the JSON of an evaluation as today; `HistoryError` says what breaks format 1."""
    value = {**_LATE_FIELDS, **value}
    fields.check_fields(value, _FIELDS, where, "evaluation")
    if value["metric"] != spec.task.metric.name:
        raise HistoryError(
            f"{where}: metric is {spec.task.metric.name}, as the study's. "
            f"Got {value['metric']!r:.60}."
        )
    costs = fields.check_object(value["costs"], "costs", where)
    num_params = fields.integer(value["num_params"], "num_params", where)
    if num_params:
        costs = {"params": float(num_params), **costs}
    return {
        **{field: value[field] for field in _KEPT_FIELDS},
        "value": value["valid_accuracy"],
        "costs": costs,
        "after": _after(fields.integer(value["round_index"], "round_index", where), spec),
        "runtime": "",
    }


def named_task(task: Task) -> dict[str, Any]:
    """Returns the JSON of a task that names are made of: that of 0.1.0 where it knew such a task.

    So the same command names the same study.
    """
    named: dict[str, Any] = {
        "dataset": task.dataset,
        "split": task.split,
        "num_classes": int(task.num_classes or 0),
    }
    if task.metric.name != (SCORE if task.num_classes is None else ACCURACY).name:
        named["metric"] = task.metric.name
    return named


def named_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration with the recipe's neutral options as 0.1.0 hashed them.

    Without them the defaults would name another study, and a search would begin anew.
    """
    return _with_recipe(dict(config), lambda part, neutral: {**neutral, **part})


def _after(round_index: int, spec: StudySpec) -> int:
    """Returns how many evaluations the optimizer of a search had seen: all earlier batches."""
    size = spec.config.get("batch_size", 1)
    size = size if type(size) is int and size > 0 else 1
    return 0 if spec.kind == "collect" else round_index * size


def _with_recipe(config: Any, change: Any) -> Any:
    """Applies a function to the parts of a recipe in a configuration, where there is one."""
    recipe = config.get("recipe") if isinstance(config, dict) else None
    if not isinstance(recipe, dict) or not all(isinstance(recipe.get(p), dict) for p in _NEUTRAL):
        return config
    parts = {part: change(recipe[part], values) for part, values in _NEUTRAL.items()}
    return {**config, "recipe": {**recipe, **parts}}
