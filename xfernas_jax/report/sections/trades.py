"""The metric against each recorded cost, with the Pareto set."""

import functools

from xfernas_jax.history.record import Evaluation
from xfernas_jax.report import figures
from xfernas_jax.report.section import Picture, Section, cost_title, file_name
from xfernas_jax.report.study import SearchStudy, cost_names, pareto_set
from xfernas_jax.report.table import Table, Value

_COST_LABELS = {
    "params": "trainable parameters",
    "flops": "floating-point operations for one image",
    "latency_ms": "milliseconds for one image",
}


def section(study: SearchStudy) -> Section:
    """Draws a picture for each cost that a complete evaluation has."""
    complete = [e for e in study.searched if e.value is not None]
    pictures = tuple(_picture(study, complete, name) for name in cost_names(complete))
    note = "" if pictures else "No complete evaluation has a recorded cost."
    return Section(f"{_capital(study.value_name)} against cost", pictures, note)


def _picture(study: SearchStudy, complete: list[Evaluation], name: str) -> Picture:
    table = _table(study, complete, name)
    label, limit = _COST_LABELS.get(name, name), study.limits.get(name)
    caption = (
        f"{_capital(study.value_name)} of the search against {label}. Diamonds are the "
        "networks worth having, the Pareto set: no other one is at most as costly and better."
    )
    if limit is not None:
        caption += f" The dashed line is the search's limit, {limit:,.6g}."
    return Picture(
        f"{file_name(study.metric.name)}_{file_name(name)}",
        f"Against {cost_title(name)}",
        caption,
        f"{len(table.rows)} architectures, {sum(table.column('in_pareto_set'))} of them in the "
        "Pareto set.",
        table,
        functools.partial(figures.draw_trade, table, label, study.value_label, limit),
    )


def _table(study: SearchStudy, complete: list[Evaluation], name: str) -> Table:
    """Returns a row for each complete evaluation of a known cost."""
    points = [(e, e.costs[name], e.value) for e in complete if name in e.costs]
    known = [(e, cost, value) for e, cost, value in points if value is not None]
    admitted = [(e, cost, study.metric.gain(v)) for e, cost, v in known if study.goal.may_win(e)]
    inside = pareto_set([cost for _, cost, _ in admitted], [gain for _, _, gain in admitted])
    front = {e.number for (e, _, _), is_in in zip(admitted, inside, strict=True) if is_in}
    rows: list[tuple[Value, ...]] = [
        (e.number, cost, study.shown(value), e.number in front, study.goal.may_win(e))
        for e, cost, value in known
    ]
    return Table(("evaluation", name, "value", "in_pareto_set", "admitted"), tuple(rows))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
