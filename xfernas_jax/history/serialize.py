"""Evaluations and studies as strict JSON, and the names and keys made from them."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from xfernas_jax import strict_json
from xfernas_jax.errors import HistoryError, StudyError, UserError
from xfernas_jax.history import fields, format1
from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import (
    Evaluation,
    Job,
    Purpose,
    Result,
    Status,
    StudySpec,
    Task,
    TaskFacts,
)
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import check_space_name

VERSION = 2  # of what is written; 1 is read as well

SpaceLookup = Callable[[str], Space]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RESERVED = frozenset({"all", "none"})  # values of --sources
_METRIC: Mapping[str, fields.Reader] = {
    **dict.fromkeys(("name", "label", "unit"), fields.line),
    **dict.fromkeys(("low", "high"), fields.optional(fields.number)),
    "maximize": fields.boolean,
}
_TASK_FACTS: Mapping[str, fields.Reader] = {
    **dict.fromkeys(("num_images", "num_classes", "side"), fields.integer),
    "is_colour": fields.boolean,
    "imbalance": fields.number,
}
_TASK: Mapping[str, fields.Reader] = {
    **dict.fromkeys(("dataset", "split"), fields.line),
    "num_classes": fields.optional(fields.integer),
    "metric": lambda value, what, where: Metric(**fields.read(value, _METRIC, where, what)),
    "facts": fields.optional(
        lambda value, what, where: TaskFacts(**fields.read(value, _TASK_FACTS, where, what))
    ),
}
_SPEC: Mapping[str, fields.Reader] = {
    **dict.fromkeys(("name", "space", "recipe", "version"), fields.line),
    "kind": fields.one_of("search", "collect"),
    "task": lambda value, what, where: _read_task(value, what, where),
    "config": fields.check_object,
}
_JOB: Mapping[str, fields.Reader] = {
    "genotype": fields.check_object,
    **dict.fromkeys(("number", "seed", "after"), fields.integer),
    "purpose": fields.one_of(*get_args(Purpose)),
    **dict.fromkeys(("predicted", "limit_seconds"), fields.optional(fields.number)),
}
_RESULT: Mapping[str, fields.Reader] = {
    "status": fields.one_of(*get_args(Status)),
    "value": fields.optional(fields.number),
    "curve": fields.numbers,
    "costs": fields.pairs(fields.number),
    "seconds": fields.number,
    "versions": fields.pairs(fields.string),
    **dict.fromkeys(("failure", "runtime"), fields.string),
}
_EVALUATION = {**_JOB, **_RESULT, "recipe": fields.line}


def canonical_json(value: Any) -> str:
    """Writes JSON that is equal for equal values: sorted keys, no blanks, no NaN.

    Raises:
      HistoryError: `value` holds something that JSON does not know, or NaN or infinity.
    """
    return _json(value, sort_keys=True)


def ordered_json(value: Any) -> str:
    """Writes JSON as `canonical_json` does, but keeps the order of the keys."""
    return _json(value, sort_keys=False)


def _json(value: Any, *, sort_keys: bool) -> str:
    try:
        return json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise HistoryError(
            f"Only JSON values without NaN and infinity can be recorded: {error}. "
            f"Got {value!r:.120}."
        ) from error


def parse_json(text: str | bytes, where: str) -> Any:
    """Reads strict JSON, see `strict_json`.

    Args:
      text: one JSON value.
      where: opens the message, such as `FILE:LINE`.

    Raises:
      HistoryError: the text breaks a rule.
    """
    try:
        return strict_json.parse_json(text)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        reason = str(error).splitlines()[0]
        raise HistoryError(
            f"{where}: not one strict JSON value ({reason}); correct the line or export anew."
        ) from error


def spec_attribute(spec: StudySpec) -> dict[str, Any]:
    """Returns what a database keeps of a description: its JSON object with the format's version."""
    return {"schema": VERSION, **spec_to_json(spec)}


def check_study_name(name: str) -> None:
    """Raises `StudyError` unless `name` is safe as part of a file name and of a URL."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise StudyError(
            f"Study name {name!r:.160}: a name has 1 to 128 letters, digits, '.', '_' and '-', "
            "begins with a letter or digit and is not 'all' or 'none'; choose another --study."
        )


def default_study_name(task: Task, config: Mapping[str, Any]) -> str:
    """Names a study by its data set and a hash of the task and the configuration.

    Args:
      task: what is learned.
      config: everything that makes two runs two studies, as JSON: put space, optimizer,
        recipe and seed in it, and not the budget if a larger one shall continue the study.
    """
    named = {"task": format1.named_task(task), "config": format1.named_config(config)}
    text = canonical_json(named)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    words = re.sub(r"[^A-Za-z0-9]+", "_", task.dataset).strip("_")[-40:].strip("_")
    return f"{words or 'task'}-{digest}"


def evaluation_key(evaluation: Evaluation) -> str:
    """Returns the text that is equal for two evaluations of which one must be dropped."""
    return canonical_json(evaluation.identity)


def task_to_json(task: Task) -> dict[str, Any]:
    """Returns the JSON object of a task; its metric is whole, to be read without its code.

    Facts that nobody knows are left out.
    """
    classes = None if task.num_classes is None else int(task.num_classes)
    value = {**dataclasses.asdict(task), "num_classes": classes}
    if task.facts is None:
        del value["facts"]
    return value


def _read_task(value: Any, what: str, where: str) -> Task:
    fields.check_object(value, what, where)
    return Task(**fields.read({"facts": None, **value}, _TASK, where, what))


def spec_to_json(spec: StudySpec) -> dict[str, Any]:
    """Returns the JSON object that `spec_from_json` reads."""
    check_study_name(spec.name)
    check_space_name(spec.space)
    config = json.loads(canonical_json(dict(spec.config)))
    return {**vars(spec), "task": task_to_json(spec.task), "config": config}


def spec_from_json(value: Any, where: str, version: int = VERSION) -> StudySpec:
    """Inverts `spec_to_json`, also that of an earlier format.

    Raises:
      HistoryError: opens with `where` and names the field.
    """
    if version == 1:
        value = format1.upgrade_spec(value, where)
    try:
        spec = StudySpec(**fields.read(value, _SPEC, where, "study"))
        check_study_name(spec.name)
        check_space_name(spec.space)
        return spec
    except UserError as error:
        raise _placed(error, where) from error


def check_values(metric: Metric, evaluation: Evaluation) -> None:
    """Raises `HistoryError` unless value and curve are values of the metric."""
    for value in evaluation.curve:
        metric.check(value)
    if evaluation.value is not None:
        metric.check(evaluation.value)


def evaluation_to_json(space: Space, evaluation: Evaluation) -> dict[str, Any]:
    """Returns the JSON object that `evaluation_from_json` reads; floats keep every bit.

    The key is left out: who reads makes it from the genotype.
    """
    job, result = evaluation.job, evaluation.result
    limit = {} if job.limit_seconds is None else {"limit_seconds": float(job.limit_seconds)}
    return {
        "number": int(job.number),
        "genotype": space.to_json(job.genotype),
        "seed": int(job.seed),
        "purpose": job.purpose,
        "after": int(job.after),
        "predicted": None if job.predicted is None else float(job.predicted),
        "status": result.status,
        "value": None if result.value is None else float(result.value),
        "curve": [float(value) for value in result.curve],
        "costs": {name: float(cost) for name, cost in result.costs},
        "seconds": float(result.seconds),
        "failure": result.failure,
        "versions": dict(result.versions),
        "runtime": result.runtime,
        "recipe": evaluation.recipe,
        **limit,
    }


def evaluation_from_json(space: Space, spec: StudySpec, value: Any, where: str) -> Evaluation:
    """Inverts `evaluation_to_json`, also that of an earlier format.

    Args:
      space: reads the genotype.
      spec: of the study; its metric says which values there are.
      value: the parsed object.
      where: opens the message, such as `FILE:LINE`.

    Raises:
      HistoryError: a field is missing, unknown, of another type or out of range, or the
        genotype is not of this space.
    """
    if format1.is_evaluation(value):
        value = format1.upgrade_evaluation(value, spec, where)
    try:
        fields.check_object(value, "evaluation", where)
        read = fields.read({"limit_seconds": None, **value}, _EVALUATION, where, "evaluation")
        genotype = space.from_json(read["genotype"])
        job = {**{name: read[name] for name in _JOB}, "genotype": genotype}
        result = Result(**{name: read[name] for name in _RESULT})
        evaluation = Evaluation(Job(**job, key=space.key(genotype)), result, read["recipe"])
        check_values(spec.task.metric, evaluation)
        return evaluation
    except UserError as error:
        raise _placed(error, where) from error


def _placed(error: UserError, where: str) -> HistoryError:
    """Returns the error with its place in front, unless it stands there already."""
    text = str(error)
    return HistoryError(text if text.startswith(where) else f"{where}: {text}")
