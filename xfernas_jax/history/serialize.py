"""Evaluations and studies as strict JSON, and the names and keys made from them."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from xfernas_jax import strict_json
from xfernas_jax.errors import HistoryError, StudyError, UserError
from xfernas_jax.history.record import Evaluation, Metric, Purpose, Status, StudySpec, Task
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import check_space_name

SpaceLookup = Callable[[str], Space]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RESERVED = frozenset({"all", "none"})  # values of --sources
_LARGEST_INT = 2**63 - 1  # of the databases
_SPEC_FIELDS = frozenset({"name", "kind", "task", "space", "recipe", "config"})
_TASK_FIELDS = frozenset({"dataset", "split", "num_classes"})
_NEWER_FIELDS: Mapping[str, Any] = {"number": 0, "costs": {}, "metric": "accuracy"}
_EVALUATION_FIELDS = frozenset(field.name for field in dataclasses.fields(Evaluation))


def canonical_json(value: Any) -> str:
    """Writes JSON that is equal for equal values: sorted keys, no blanks, no NaN.

    Raises:
      HistoryError: `value` holds something that JSON does not know, or NaN or infinity.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
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
    text = canonical_json({"task": dataclasses.asdict(task), "config": config})
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    words = re.sub(r"[^A-Za-z0-9]+", "_", task.dataset).strip("_")[-40:].strip("_")
    return f"{words or 'task'}-{digest}"


def evaluation_key(space: Space, evaluation: Evaluation) -> str:
    """Returns the text that is equal for two evaluations of which one must be dropped."""
    parts = [space.key(evaluation.genotype), evaluation.recipe, int(evaluation.seed)]
    return canonical_json([*parts, evaluation.purpose])


def task_to_json(task: Task) -> dict[str, Any]:
    """Returns the JSON object of a task."""
    return {"dataset": task.dataset, "split": task.split, "num_classes": int(task.num_classes)}


def spec_to_json(spec: StudySpec) -> dict[str, Any]:
    """Returns the JSON object that `spec_from_json` reads."""
    check_study_name(spec.name)
    check_space_name(spec.space)
    return {
        "name": spec.name,
        "kind": spec.kind,
        "task": task_to_json(spec.task),
        "space": spec.space,
        "recipe": spec.recipe,
        "config": json.loads(canonical_json(dict(spec.config))),
    }


def spec_from_json(value: Any, where: str) -> StudySpec:
    """Inverts `spec_to_json`; `HistoryError` opens with `where` and names the field."""
    _check_fields(value, _SPEC_FIELDS, where, "study")
    task = value["task"]
    _check_fields(task, _TASK_FIELDS, where, "task")
    kind = _one_of(("search", "collect"), value["kind"], "kind", where)
    if not isinstance(value["config"], dict):
        raise HistoryError(f"{where}: config is a JSON object. Got {value['config']!r:.60}.")
    try:
        check_study_name(_text(value, "name", where))
        check_space_name(_text(value, "space", where))
        return StudySpec(
            name=value["name"],
            kind=kind,
            task=Task(
                dataset=_text(task, "dataset", where),
                split=_text(task, "split", where),
                num_classes=_integer(task, "num_classes", where),
            ),
            space=value["space"],
            recipe=_text(value, "recipe", where),
            config=value["config"],
        )
    except UserError as error:
        raise _placed(error, where) from error


def evaluation_to_json(space: Space, evaluation: Evaluation) -> dict[str, Any]:
    """Returns the JSON object that `evaluation_from_json` reads; floats keep every bit."""
    accuracy, predicted = evaluation.valid_accuracy, evaluation.predicted
    return {
        "genotype": space.to_json(evaluation.genotype),
        "recipe": evaluation.recipe,
        "seed": int(evaluation.seed),
        "status": evaluation.status,
        "valid_accuracy": None if accuracy is None else float(accuracy),
        "curve": [float(value) for value in evaluation.curve],
        "num_params": int(evaluation.num_params),
        "seconds": float(evaluation.seconds),
        "purpose": evaluation.purpose,
        "round_index": int(evaluation.round_index),
        "number": int(evaluation.number),
        "predicted": None if predicted is None else float(predicted),
        "failure": evaluation.failure,
        "versions": dict(evaluation.versions),
        "costs": {name: float(cost) for name, cost in evaluation.costs},
        "metric": evaluation.metric,
    }


def evaluation_from_json(space: Space, value: Any, where: str) -> Evaluation:
    """Inverts `evaluation_to_json`.

    Args:
      space: reads the genotype.
      value: the parsed object.
      where: opens the message, such as `FILE:LINE`.

    Raises:
      HistoryError: a field is missing, unknown, of another type or out of range, or the
        genotype is not of this space.
    """
    if isinstance(value, dict):
        value = {**_NEWER_FIELDS, **value}  # records from before these fields have none
    _check_fields(value, _EVALUATION_FIELDS, where, "evaluation")
    genotype, curve = value["genotype"], value["curve"]
    if not isinstance(genotype, dict):
        raise HistoryError(f"{where}: genotype is a JSON object. Got {genotype!r:.60}.")
    if not isinstance(curve, list):
        raise HistoryError(f"{where}: curve is a list of accuracies. Got {curve!r:.60}.")
    try:
        return Evaluation(
            genotype=space.from_json(genotype),
            recipe=_text(value, "recipe", where),
            seed=_integer(value, "seed", where),
            status=_one_of(get_args(Status), value["status"], "status", where),
            valid_accuracy=_number_or_none(value, "valid_accuracy", where),
            curve=tuple(_number(item, "curve", where) for item in curve),
            num_params=_integer(value, "num_params", where),
            seconds=_number(value["seconds"], "seconds", where),
            purpose=_one_of(get_args(Purpose), value["purpose"], "purpose", where),
            round_index=_integer(value, "round_index", where),
            number=_integer(value, "number", where),
            predicted=_number_or_none(value, "predicted", where),
            failure=_string(value["failure"], "failure", where),
            versions=_versions(value["versions"], where),
            costs=_costs(value["costs"], where),
            metric=_one_of(get_args(Metric), value["metric"], "metric", where),
        )
    except UserError as error:
        raise _placed(error, where) from error


def _placed(error: UserError, where: str) -> HistoryError:
    """Returns the error with its place in front, unless it stands there already."""
    text = str(error)
    return HistoryError(text if text.startswith(where) else f"{where}: {text}")


def _check_fields(value: Any, fields: frozenset[str], where: str, what: str) -> None:
    if not isinstance(value, dict):
        raise HistoryError(f"{where}: {what} is a JSON object. Got {value!r:.60}.")
    missing, unknown = sorted(fields - value.keys()), sorted(value.keys() - fields)
    if missing or unknown:
        raise HistoryError(
            f"{where}: {what} has exactly the fields {', '.join(sorted(fields))}. "
            f"Missing: {missing}, unknown: {unknown!r:.120}."
        )


def _string(value: Any, field: str, where: str) -> str:
    if not isinstance(value, str):
        raise HistoryError(f"{where}: {field} is text. Got {value!r:.60}.")
    return value


def _text(value: Mapping[str, Any], field: str, where: str) -> str:
    text = _string(value[field], field, where)
    if not text.isprintable():  # would break the one line of a message, or the terminal
        raise HistoryError(f"{where}: {field} is printable text in one line. Got {text!r:.60}.")
    return text


def _one_of(known: tuple[Any, ...], value: Any, field: str, where: str) -> Any:
    if value not in known:
        raise HistoryError(f"{where}: {field} is one of {', '.join(known)}. Got {value!r:.60}.")
    return value


def _integer(value: Mapping[str, Any], field: str, where: str) -> int:
    number = value[field]
    if type(number) is not int or not 0 <= number <= _LARGEST_INT:
        raise HistoryError(f"{where}: {field} is an integer from 0 to 2^63-1. Got {number!r:.60}.")
    return number


def _number(number: Any, field: str, where: str) -> float:
    if type(number) not in (int, float) or abs(number) > 1e300:
        raise HistoryError(f"{where}: {field} is a number. Got {str(number)!r:.60}.")
    return float(number)


def _number_or_none(value: Mapping[str, Any], field: str, where: str) -> float | None:
    return None if value[field] is None else _number(value[field], field, where)


def _versions(value: Any, where: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise HistoryError(f"{where}: versions is an object of texts. Got {value!r:.60}.")
    return tuple((name, _string(text, "versions", where)) for name, text in value.items())


def _costs(value: Any, where: str) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, dict):
        raise HistoryError(f"{where}: costs is an object of numbers. Got {value!r:.60}.")
    return tuple((name, _number(cost, "costs", where)) for name, cost in value.items())
