"""The finalists: every confirming training, and what choosing the best of several means does."""

import functools
import json
import math
import statistics
from typing import Any

from xfernas_jax.report.section import Format, Listing, Section, value_format
from xfernas_jax.report.sections.evaluations import tokens
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.report.table import Table, Value

TITLE = "Finalists"

_Finalist = tuple[dict[str, Any], list[float], float | None]
"""A genotype's JSON, the values of its trainings, and their mean."""


def section(study: SearchStudy) -> Section | None:
    """Lists the trainings of the finalists; None where none was confirmed."""
    finalists = _finalists(study)
    if not finalists:
        return None
    table = _table(study, finalists)
    formats: dict[str, Format] = dict.fromkeys(table.columns[2:], value_format(study.metric))
    formats["architecture"] = functools.partial(tokens, study.space)
    how = "by the final recipe" if study.has_final else "again with new seeds"
    note = (
        f"Each was trained {how}. Values are {study.value_label}; the spread is the "
        "standard deviation of one network's trainings."
    )
    members = study.member_values
    if members:
        alone = ", ".join(map(study.metric.text, members))
        note += (
            f" What won is the mean of the answers of {len(members)} trainings, which have {alone} "
            "alone."
        )
    listing = Listing("finalists", TITLE, table, formats, unknown="not known")
    return Section(TITLE, note=note, listing=listing, remark=_bias(study, finalists))


def _finalists(study: SearchStudy) -> list[_Finalist]:
    """Returns what the result names, or else what the confirming trainings so far say; best first.

    Those whose trainings all failed come last.
    """
    found = (study.result or {}).get("finalists")
    if found:
        rows: list[_Finalist] = [(row["genotype"], row["values"], row["mean"]) for row in found]
    else:
        rows = []
        for key, genotype in {e.key: e.genotype for e in study.confirmations}.items():
            values = study.confirmed(key)
            mean = statistics.fmean(values) if values else None
            rows.append((study.space.to_json(genotype), values, mean))

    def loss(row: _Finalist) -> float:
        return math.inf if row[2] is None else -study.metric.gain(row[2])

    return sorted(rows, key=loss)


def _table(study: SearchStudy, finalists: list[_Finalist]) -> Table:
    most = max(len(values) for _, values, _ in finalists)
    rows: list[tuple[Value, ...]] = []
    for rank, (genotype, values, mean) in enumerate(finalists, start=1):
        shown = [study.shown(float(value)) for value in values]
        rows.append(
            (
                f"No. {rank}",
                json.dumps(genotype),
                None if mean is None else study.shown(float(mean)),
                statistics.stdev(shown) if len(shown) > 1 else None,
                *shown,
                *[None] * (most - len(shown)),
            )
        )
    trainings = (f"training {i + 1}" for i in range(most))
    return Table(("finalist", "architecture", "mean", "spread", *trainings), tuple(rows))


def _bias(study: SearchStudy, finalists: list[_Finalist]) -> str:
    """Says in words what the best of several means is worth."""
    means = sum(mean is not None for _, _, mean in finalists)
    if means < 2:
        return ""
    text = (
        f"The best of {means} means is partly the luckiest, so on average it looks better than it "
        "is, an upward bias"
    )
    bias = (study.result or {}).get("selection_bias")
    if bias is None:
        is_single = all(len(values) < 2 for _, values, _ in finalists)
        why = "one training of each does not tell" if is_single else "is not recorded"
        return f"{text}; by how much {why}."
    return (
        f"{text}: by {study.metric.text(bias)} at most, which is what it comes to where all of "
        "them are equally good. A test value is free of it."
    )
