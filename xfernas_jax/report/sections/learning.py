"""How the last trainings went, epoch by epoch."""

import functools

from xfernas_jax.report import answers
from xfernas_jax.report.section import Picture, Section
from xfernas_jax.report.study import SearchStudy
from xfernas_jax.report.table import Table, Value

TITLE = "How the last trainings went"
_MOST_DRAWN = 6


def section(study: SearchStudy) -> Section | None:
    """Draws the learning curves of the finalists' trainings; None where there is none."""
    known = {
        study.space.key(study.space.from_json(row["genotype"])): f"No. {rank}"
        for rank, row in enumerate((study.result or {}).get("finalists", []), start=1)
    }
    trainings = [e for e in study.confirmations if len(e.curve) > 1]
    if not trainings:
        return None
    keys = [training.key for training in trainings]
    rows: list[tuple[Value, ...]] = []
    for number, training in enumerate(trainings[:_MOST_DRAWN], start=1):
        words = study.space.describe(training.genotype) or known.get(training.key, "a finalist")
        which = f" seed {training.seed}," if keys.count(training.key) > 1 else ""
        name = f"{number}:{which} {words}"
        rows += [(name, i, study.shown(x)) for i, x in enumerate(training.curve, start=1)]
    table = Table(("training", "epoch", "value"), tuple(rows))
    hidden = len(trainings) - _MOST_DRAWN
    more = f" {hidden} more trainings are not drawn." if hidden > 0 else ""
    picture = Picture(
        "learning_curves",
        f"{study.value_name.capitalize()} after each epoch",
        "A curve that still rises at its end would gain by more time; one that was flat for long "
        f"would not.{more}",
        f"Learning curves of {len(trainings)} trainings; the last value of the first is "
        f"{study.metric.text(trainings[0].curve[-1])}.",
        table,
        functools.partial(answers.draw_curves, table, study.value_label),
    )
    return Section(TITLE, (picture,))
