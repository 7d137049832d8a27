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
from xfernas_jax.history.record import Evaluation, Job, Purpose, Result, Status, StudySpec, Task
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import check_space_name

VERSION = 2  # of what is written; 1 is read as well

SpaceLookup = Callable[[str], Space]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RESERVED = frozenset({"all", "none"})  # values of --sources
_SPEC_FIELDS = frozenset(field.name for field in dataclasses.fields(StudySpec))
_TASK_FIELDS = frozenset(field.name for field in dataclasses.fields(Task))
_METRIC_FIELDS = frozenset(field.name for field in dataclasses.fields(Metric))
_EVALUATION_FIELDS = frozenset(
    {"recipe"} | {field.name for kind in (Job, Result) for field in dataclasses.fields(kind)}
) - {"key"}


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
    """Returns the JSON object of a task; its metric is whole, to be read without its code."""
    classes = None if task.num_classes is None else int(task.num_classes)
    return {**dataclasses.asdict(task), "num_classes": classes}


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
        "version": spec.version,
    }


def spec_from_json(value: Any, where: str, version: int = VERSION) -> StudySpec:
    """Inverts `spec_to_json`, also that of an earlier format.

    Raises:
      HistoryError: opens with `where` and names the field.
    """
    if version == 1:
        value = format1.upgrade_spec(value, where)
    fields.check_fields(value, _SPEC_FIELDS, where, "study")
    kind = fields.one_of(("search", "collect"), value["kind"], "kind", where)
    fields.check_object(value["config"], "config", where)
    try:
        check_study_name(fields.line(value, "name", where))
        check_space_name(fields.line(value, "space", where))
        return StudySpec(
            name=value["name"],
            kind=kind,
            task=_task_from_json(value["task"], where),
            space=value["space"],
            recipe=fields.line(value, "recipe", where),
            config=value["config"],
            version=fields.line(value, "version", where),
        )
    except UserError as error:
        raise _placed(error, where) from error


def _task_from_json(task: Any, where: str) -> Task:
    fields.check_fields(task, _TASK_FIELDS, where, "task")
    metric, has_classes = task["metric"], task["num_classes"] is not None
    fields.check_fields(metric, _METRIC_FIELDS, where, "metric")
    return Task(
        dataset=fields.line(task, "dataset", where),
        split=fields.line(task, "split", where),
        num_classes=fields.integer(task, "num_classes", where) if has_classes else None,
        metric=Metric(
            name=fields.line(metric, "name", where),
            label=fields.line(metric, "label", where),
            unit=fields.line(metric, "unit", where),
            low=fields.number_or_none(metric, "low", where),
            high=fields.number_or_none(metric, "high", where),
            maximize=fields.boolean(metric, "maximize", where),
        ),
    )


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
    fields.check_fields(value, _EVALUATION_FIELDS, where, "evaluation")
    try:
        evaluation = Evaluation(
            job=_job_from_json(space, value, where),
            result=_result_from_json(value, where),
            recipe=fields.line(value, "recipe", where),
        )
        check_values(spec.task.metric, evaluation)
        return evaluation
    except UserError as error:
        raise _placed(error, where) from error


def _job_from_json(space: Space, value: Mapping[str, Any], where: str) -> Job:
    fields.check_object(value["genotype"], "genotype", where)
    genotype = space.from_json(value["genotype"])
    return Job(
        number=fields.integer(value, "number", where),
        genotype=genotype,
        key=space.key(genotype),
        seed=fields.integer(value, "seed", where),
        purpose=fields.one_of(get_args(Purpose), value["purpose"], "purpose", where),
        after=fields.integer(value, "after", where),
        predicted=fields.number_or_none(value, "predicted", where),
    )


def _result_from_json(value: Mapping[str, Any], where: str) -> Result:
    curve = value["curve"]
    if not isinstance(curve, list):
        raise HistoryError(f"{where}: curve is a list of numbers. Got {curve!r:.60}.")
    return Result(
        status=fields.one_of(get_args(Status), value["status"], "status", where),
        value=fields.number_or_none(value, "value", where),
        curve=tuple(fields.number(item, "curve", where) for item in curve),
        costs=fields.numbers(value["costs"], "costs", where),
        seconds=fields.number(value["seconds"], "seconds", where),
        failure=fields.string(value["failure"], "failure", where),
        versions=fields.texts(value["versions"], "versions", where),
        runtime=fields.string(value["runtime"], "runtime", where),
    )


def _placed(error: UserError, where: str) -> HistoryError:
    """Returns the error with its place in front, unless it stands there already."""
    text = str(error)
    return HistoryError(text if text.startswith(where) else f"{where}: {text}")
