"""The page: facts, pictures, the table of all evaluations and the cost, as one HTML text."""

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from xfernas_jax.history.goal import costs_of
from xfernas_jax.history.record import Evaluation
from xfernas_jax.report.cost import source_counts
from xfernas_jax.report.figures import PIXELS_PER_INCH
from xfernas_jax.report.pictures import Picture, Section, cost_title
from xfernas_jax.report.study import PERCENT, StudyRecord, cost_names
from xfernas_jax.report.table import Table, Value
from xfernas_jax.space.base import Space

MARK = '<meta name="generator" content="xfernas_jax report">'
"""Stands near the top of each page that we wrote."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_SMALLEST = 70  # pixels on the page for an inch of a picture; its text then has ten
_LONGEST_GENOTYPE = 26  # characters, before it folds
_TWO_DECIMALS = frozenset({PERCENT.label, "predicted", "seconds"})


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a table on the page.

    Attributes:
      text: as shown.
      value: to sort by; None where it is not known.
    """

    text: str
    value: Value


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a table on the page."""

    name: str
    is_number: bool


def render_page(
    study: StudyRecord,
    space: Space,
    sections: Sequence[Section],
    images: Mapping[str, bytes],
    cost: Table,
) -> str:
    """Returns the page; every text of the record is escaped.

    Args:
      study: of the report.
      space: of the search.
      sections: of pictures.
      images: PNG of each picture, by its name.
      cost: see `cost_table`.
    """
    evaluations = evaluation_table(study, space)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("xfernas_jax.report", "template"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        study=study,
        policy=_POLICY,
        status=_status(study),
        headline=_headline(study),
        facts=_facts(study),
        recipe=_recipe_rows(study.spec.config.get("recipe")),
        sections=[
            {
                "title": section.title,
                "note": section.note,
                "pictures": [_image(p, images[p.name]) for p in section.pictures],
            }
            for section in sections
        ],
        columns=_columns(evaluations),
        rows=_rows(evaluations, study, space),
        fold=_LONGEST_GENOTYPE,
        cost_columns=("part", "trainings", "epochs", "device seconds"),
        cost_rows=[[_cost_text(value) for value in row] for row in cost.rows],
        cost_note=_cost_note(study, bool(source_counts(study.spec))),
    )


def evaluation_table(study: StudyRecord, space: Space) -> Table:
    """Returns all that is recorded of every evaluation, in order of recording.

    Values are in the study's unit, numbers count from 0 and rounds from 1, genotypes are JSON.
    """
    names = cost_names(study.evaluations)
    has_failures = any(e.failure for e in study.evaluations)
    rows = [
        (
            e.number,
            None if e.valid_accuracy is None else study.unit.shown(e.valid_accuracy),
            e.status,
            e.purpose,
            e.round_index + 1 if e.purpose != "confirm" else None,
            e.predicted,
            *(costs_of(e).get(name) for name in names),
            e.seconds,
            len(e.curve),
            json.dumps(space.to_json(e.genotype)),
            e.seed,
            *([e.failure] if has_failures else []),
        )
        for e in study.evaluations
    ]
    value = study.unit.label
    head = ("number", value, "status", "purpose", "round", "predicted")
    tail = ("seconds", "epochs", "genotype", "seed", *(["failure"] if has_failures else []))
    return Table((*head, *map(cost_title, names), *tail), tuple(rows))


def compact(space: Space, evaluation: Evaluation) -> str:
    """Returns a genotype as its tokens' symbols."""
    symbols = [space.vocabulary[token] for token in space.encode(evaluation.genotype)]
    return " ".join(symbol.removeprefix("input_") for symbol in symbols)


def _image(picture: Picture, png: bytes) -> dict[str, Any]:
    width = int.from_bytes(png[16:20], "big")  # of the header of every PNG
    return {
        "name": picture.name,
        "title": picture.title,
        "caption": picture.caption,
        "alt": picture.alt,
        "data": base64.b64encode(png).decode(),
        "width": width // 2,
        "height": int.from_bytes(png[20:24], "big") // 2,
        "smallest": round(_SMALLEST * width / PIXELS_PER_INCH),
    }


def _status(study: StudyRecord) -> str:
    count = len(study.searched)
    if study.result is None:
        return (
            f"This search is not finished: {count} evaluations are recorded, no winner is chosen "
            "and the test set has not been read. The command that began it goes on with it."
        )
    if count > study.result["num_evaluations"]:
        return (
            f"This search goes on: {count} evaluations are recorded; the result below is of the "
            f"first {study.result['num_evaluations']}."
        )
    return ""


def _headline(study: StudyRecord) -> list[tuple[str, str, str]]:
    """Returns what counts most, as (name, value, remark) triples."""
    unit, result = study.unit, study.result
    if result is None:
        values = [e.valid_accuracy or 0.0 for e in study.searched if study.admits(e)]
        shown = unit.text(max(values)) if values else "none yet"
        return [(f"best {unit.name} so far", shown, "one training each; not confirmed")]
    num_confirmed = _trainings_of_winner(study)
    plural = "s" if num_confirmed > 1 else ""
    mean = f"mean over {num_confirmed} confirming training{plural}"
    rows = [
        (
            unit.name,
            unit.text(result["best_valid_accuracy"]),
            mean if num_confirmed else "one evaluation; not confirmed",
        )
    ]
    if result.get("test_accuracy") is not None:  # a function of the user's has no test part
        rows.append(
            ("test accuracy", unit.text(result["test_accuracy"]), "one training, read once")
        )
    if result["num_params"]:
        rows.append(("parameters", f"{result['num_params']:,}", "trainable"))
    for name, value in result.get("costs", {}).items():
        if name != "params":
            rows.append((cost_title(name), f"{value:,.5g}", "for one image"))
    return rows


def _trainings_of_winner(study: StudyRecord) -> int:
    """Returns how many trainings of each finalist the search made."""
    found = study.spec.config.get("confirm_seeds")
    return found if type(found) is int else 1


def _facts(study: StudyRecord) -> list[tuple[str, str]]:
    spec, config = study.spec, study.spec.config
    task = spec.task
    rows = [
        ("study", spec.name),
        ("task", task.dataset + (f", {task.num_classes} classes" if task.num_classes else "")),
        ("split", task.split),
        ("search space", spec.space),
        ("optimizer", ", ".join(_optimizer_words(config))),
        ("seed", str(config.get("seed", "not recorded"))),
    ]
    if study.limits:
        limits = (f"{cost_title(name)} at most {x:,.6g}" for name, x in study.limits.items())
        rows.append(("limits", ", ".join(limits)))
    if study.traded:
        rows.append(("traded against accuracy", cost_title(study.traded)))
    result = study.result
    sources = "known when the search has finished"
    if result is not None:
        sources = ", ".join(map(str, result["sources"])) or "none"
    rows.append(("sources", sources))
    versions: dict[str, list[str]] = {}
    for evaluation in study.evaluations:
        for name, version in evaluation.versions:
            if version not in versions.setdefault(name, []):
                versions[name].append(version)
    shown = (f"{name} {' and '.join(found)}" for name, found in versions.items())
    rows.append(("versions", ", ".join(shown) or "not recorded"))
    return rows


def _optimizer_words(config: Mapping[str, Any]) -> list[str]:
    words = [str(config.get("optimizer", "not recorded"))]
    for key in ("surrogate", "encoder", "batch_size", "early_stop"):
        if key in config:
            words.append(f"{key.replace('_', ' ')} {config[key]}")
    return words


def _recipe_rows(recipe: Any) -> list[tuple[str, str]]:
    if not isinstance(recipe, Mapping):
        return []
    rows = []
    for part, values in recipe.items():
        if isinstance(values, Mapping):
            shown = ", ".join(f"{key} {_json_text(value)}" for key, value in values.items())
        else:
            shown = _json_text(values)
        rows.append((str(part), shown))
    return rows


def _json_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _columns(table: Table) -> list[Column]:
    texts = ("purpose", "status", "genotype", "failure")
    return [Column(name, name not in texts) for name in table.columns]


def _rows(table: Table, study: StudyRecord, space: Space) -> list[dict[str, Any]]:
    rows = []
    for row, evaluation in zip(table.rows, study.evaluations, strict=True):
        cells = []
        for name, value in zip(table.columns, row, strict=True):
            if name == "genotype":
                cells.append(Cell(compact(space, evaluation), value))
            elif name in _TWO_DECIMALS and value is not None:
                cells.append(Cell(f"{value:.2f}", value))
            else:
                cells.append(Cell(_shown(value), value))
        rows.append({"status": evaluation.status, "cells": cells})
    return rows


def _shown(value: Value) -> str:
    """Returns a value for people; nothing where it is not known."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def _cost_text(value: Value) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else _shown(value)


def _cost_note(study: StudyRecord, has_sources: bool) -> str:
    notes = [
        f"Device seconds are wall time, compilation included, times {study.devices} "
        f"device{'s' if study.devices > 1 else ''} of each evaluation."
    ]
    if study.result is None:
        notes.append(
            "How many devices trained one is recorded at the end; 1 is assumed until then."
        )
    elif study.result["epochs_saved"]:
        notes.append(f"Early stopping saved {study.result['epochs_saved']} epochs.")
    else:
        notes.append("No epoch was saved by early stopping.")
    if has_sources:
        notes.append(
            "Sources were paid for by earlier work and may serve many searches; their devices are "
            "not recorded, so they count as 1."
        )
    return " ".join(notes)
