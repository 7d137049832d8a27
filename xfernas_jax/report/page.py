"""The page: what the search is and found, then its sections, as one HTML text."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from xfernas_jax.options import word
from xfernas_jax.report.figures import PIXELS_PER_INCH
from xfernas_jax.report.section import Listing, Section, cost_title
from xfernas_jax.report.sections.evaluations import NAME as FILTERED
from xfernas_jax.report.study import SearchStudy

MARK = '<meta name="generator" content="xfernas_jax report">'
"""Stands near the top of each page that we wrote."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_SMALLEST = 70  # pixels on the page for an inch of a picture; its text then has ten
_LONGEST_GENOTYPE = 26  # characters, before it folds


def render_page(
    study: SearchStudy, sections: Sequence[Section], images: Mapping[str, bytes]
) -> str:
    """Returns the page; every text of the record is escaped.

    Args:
      study: of the report.
      sections: in order.
      images: PNG of each picture, by its name.
    """
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
        recipe=[
            *_recipe_rows(study.spec.config.get("recipe")),
            *_recipe_rows(study.spec.config.get("final_recipe"), "final "),
        ],
        sections=sections,
        images={name: _image(png) for name, png in images.items()},
        shown=_listing,
        fold=_LONGEST_GENOTYPE,
        filtered=FILTERED,
    )


def _image(png: bytes) -> dict[str, Any]:
    width = int.from_bytes(png[16:20], "big")  # of the header of every PNG
    return {
        "data": base64.b64encode(png).decode(),
        "width": width // 2,
        "height": int.from_bytes(png[20:24], "big") // 2,
        "smallest": round(_SMALLEST * width / PIXELS_PER_INCH),
    }


def _listing(listing: Listing) -> dict[str, Any]:
    """Returns a table with its texts; the values are there to sort by, the status to filter by."""
    table = listing.table
    columns = [
        {
            "name": name.replace("_", " "),
            "is_number": not any(isinstance(value, str | bool) for value in table.column(name)),
        }
        for name in table.columns
    ]
    rows = [
        [
            {"text": listing.text(name, value), "value": value}
            for name, value in zip(table.columns, row, strict=True)
        ]
        for row in table.rows
    ]
    statuses = table.column("status") if "status" in table.columns else [""] * len(rows)
    return {
        "name": listing.name,
        "title": listing.title,
        "columns": columns,
        "rows": [{"status": s, "cells": row} for s, row in zip(statuses, rows, strict=True)],
    }


def _status(study: SearchStudy) -> str:
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


def _headline(study: SearchStudy) -> list[tuple[str, str, str]]:
    """Returns what counts most, as (name, value, remark) triples."""
    metric, result = study.metric, study.result
    if result is None:
        best = study.goal.incumbents(study.searched)[-1:] or (None,)
        shown = "none yet" if best[0] is None else metric.text(best[0])
        return [(f"best {study.value_name} so far", shown, "one training each; not confirmed")]
    seeds = study.spec.config.get("confirm_seeds")  # trainings of each finalist
    num_confirmed = seeds if type(seeds) is int else 1
    plural = "s" if num_confirmed > 1 else ""
    mean = f"mean over {num_confirmed} confirming training{plural}"
    remark = mean if num_confirmed else "one evaluation; not confirmed"
    num_members = len(study.member_values)
    what = f"mean of the answers of {num_members} trainings" if num_members else "one training"
    if study.has_final:
        remark = f"{what} by the final recipe"
    rows = [(study.value_name, metric.text(result["best_value"]), remark)]
    if result["test_value"] is not None:  # a function of the user's has no test part
        test = (f"test {metric.label}", metric.text(result["test_value"]))
        part, remark = result.get("test_part"), f"{what}, read once"
        if part is not None and part["low"] is not None:
            low, high = metric.number(part["low"]), metric.text(part["high"])
            remark = f"{low} to {high} on other images of the kind (95 %); {remark}"
        rows.append((*test, remark))
    if result["num_params"] is not None:
        rows.append(("parameters", f"{result['num_params']:,}", "trainable"))
    for name, value in result["costs"].items():
        if name != "params":
            rows.append((cost_title(name), _cost_text(value), "for one image"))
    return rows


def _cost_text(value: float) -> str:
    """Returns a cost as people read it: 18.1 million, not 1.81e+07."""
    for size, unit in ((1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:,.5g}"


def _facts(study: SearchStudy) -> list[tuple[str, str]]:
    spec, config = study.spec, study.spec.config
    task = spec.task
    direction = "larger" if study.metric.maximize else "smaller"
    rows = [
        ("study", spec.name),
        ("task", task.dataset + (f", {task.num_classes} classes" if task.num_classes else "")),
        *_data_rows(study),
        ("split", task.split),
        ("metric", f"{study.value_label}; {direction} is better"),
        ("search space", spec.space),
        ("optimizer", ", ".join(_optimizer_words(config))),
        ("seed", str(config.get("seed", "not recorded"))),
    ]
    if study.limits:
        limits = (f"{cost_title(name)} at most {x:,.6g}" for name, x in study.limits.items())
        rows.append(("limits", ", ".join(limits)))
    if study.goal.pareto:
        rows.append((f"traded against {study.metric.label}", cost_title(study.goal.pareto)))
    sources = "known when the search has finished"
    if study.result is not None:
        sources = ", ".join(map(str, study.result["sources"])) or "none"
    rows.append(("sources", sources))
    rows.append(("begun by", f"xfernas_jax {spec.version or '0.1'}"))
    rows.append(("versions", _versions(study)))
    return rows


def _data_rows(study: SearchStudy) -> list[tuple[str, str]]:
    """Returns what is known of the images, and the sizes at which networks saw them."""
    facts, rows = study.spec.task.facts, []
    if facts is not None:
        colour = "colour" if facts.is_colour else "grey"
        shown = f"{facts.num_images:,} training images, {facts.side} pixels a side, {colour}"
        if facts.imbalance > 1.0:
            shown += f"; the largest class has {facts.imbalance:.3g} times as many as the smallest"
        rows.append(("images", shown))
    sizes = [
        f"{size} pixels in {title} trainings"
        for title, name in (("short", "recipe"), ("full", "final_recipe"))
        if (size := _image_size(study.spec.config.get(name))) is not None
    ]
    if sizes:
        rows.append(("seen at", ", ".join(sizes)))
    return rows


def _image_size(recipe: Any) -> int | None:
    data = recipe.get("data") if isinstance(recipe, Mapping) else None
    size = data.get("image_size") if isinstance(data, Mapping) else None
    return size if type(size) is int else None


def _versions(study: SearchStudy) -> str:
    versions: dict[str, list[str]] = {}
    for evaluation in study.evaluations:
        for name, version in evaluation.result.versions:
            if version not in versions.setdefault(name, []):
                versions[name].append(version)
    shown = (f"{name} {' and '.join(found)}" for name, found in versions.items())
    return ", ".join(shown) or "not recorded"


def _optimizer_words(config: Mapping[str, Any]) -> list[str]:
    words = [str(config.get("optimizer", "not recorded"))]
    for key in ("surrogate", "encoder", "batch_size", "early_stop"):
        if key in config:
            words.append(f"{key.replace('_', ' ')} {config[key]}")
    return words


def _recipe_rows(recipe: Any, prefix: str = "") -> list[tuple[str, str]]:
    if not isinstance(recipe, Mapping):
        return []
    rows = []
    for part, values in recipe.items():
        if isinstance(values, Mapping):
            shown = ", ".join(f"{key} {word(value)}" for key, value in values.items())
        else:
            shown = word(values)
        rows.append((f"{prefix}{part}", shown))
    return rows
