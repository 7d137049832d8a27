"""All evaluations: a line for each training, to sort and to filter."""

import functools
import json

from xfernas_jax.report.section import Format, Listing, Section, cost_title, value_format
from xfernas_jax.report.study import SearchStudy, cost_names
from xfernas_jax.report.table import Table, Value
from xfernas_jax.space.base import Space

_NOTE = (
    "Numbers are those that `run.py export --evaluation` takes, for the purpose search. A heading "
    "sorts by its column, once more reverses. Each line is one training; the test set was read for "
    "none of them."
)
NAME = "evaluations"
"""Of the table, which the page can sort and filter."""


def section(study: SearchStudy) -> Section:
    """Lists all that is recorded of every evaluation."""
    formats: dict[str, Format] = {
        "predicted": "{:.2f}".format,
        "seconds": "{:.2f}".format,
        "genotype": functools.partial(tokens, study.space),
        study.value_label: value_format(study.metric),
    }
    listing = Listing(NAME, "All evaluations", evaluation_table(study), formats)
    return Section("All evaluations", note=_NOTE, listing=listing)


def evaluation_table(study: SearchStudy) -> Table:
    """Returns all that is recorded of every evaluation, in order of recording.

    Values are as they are shown, numbers count from 0 and rounds from 1, genotypes are JSON.
    """
    names = cost_names(study.evaluations)
    has_failures = any(e.result.failure for e in study.evaluations)
    rows = [
        (
            e.number,
            None if e.value is None else study.shown(e.value),
            e.status,
            e.purpose,
            study.round_of(e),
            e.job.predicted,
            *(e.costs.get(name) for name in names),
            e.seconds,
            len(e.curve),
            json.dumps(study.space.to_json(e.genotype)),
            e.seed,
            *([e.result.failure] if has_failures else []),
        )
        for e in study.evaluations
    ]
    head = ("number", study.value_label, "status", "purpose", "round", "predicted")
    tail = ("seconds", "epochs", "genotype", "seed", *(["failure"] if has_failures else []))
    return Table((*head, *map(cost_title, names), *tail), tuple(rows))


def tokens(space: Space, value: Value) -> str:
    """Returns a genotype, given as JSON text, as its tokens' symbols."""
    genotype = space.from_json(json.loads(str(value)))
    symbols = [space.vocabulary[token] for token in space.encode(genotype)]
    return " ".join(symbol.removeprefix("input_") for symbol in symbols)
