"""What the optimizer expected and what came out, and how well the two agree in order."""

from collections.abc import Sequence
from typing import Any, cast

from scipy.stats import spearmanr

from xfernas_jax.report.study import StudyRecord
from xfernas_jax.report.table import Table, Value

MIN_PAIRS = 3  # below that a rank correlation is 1, -1 or nothing
ALL_ROUNDS = "all"


def predicted_and_measured(study: StudyRecord) -> Table:
    """Returns a row for each complete evaluation with a prediction; values in the study's unit.

    Evaluations have their numbers in the study, from 0; rounds count from 1.
    """
    rows: list[tuple[Value, ...]] = []
    for e in study.searched:
        if e.predicted is not None and e.valid_accuracy is not None:
            value = study.unit.shown(e.valid_accuracy)
            rows.append((e.number, e.round_index + 1, e.predicted, value))
    return Table(("evaluation", "round", "predicted", "measured"), tuple(rows))


def rank_correlations(pairs: Table) -> Table:
    """Returns Spearman's correlation of each round and of all; None where it is not defined."""
    rows: list[tuple[Value, ...]] = []
    for number in sorted(set(pairs.column("round"))):
        part = pairs.only("round", number)
        rows.append((number, len(part.rows), _spearman(part)))
    rows.append((ALL_ROUNDS, len(pairs.rows), _spearman(pairs)))
    return Table(("round", "evaluations", "rank_correlation"), tuple(rows))


def _spearman(pairs: Table) -> float | None:
    predicted, measured = pairs.column("predicted"), pairs.column("measured")
    if len(predicted) < MIN_PAIRS or _is_constant(predicted) or _is_constant(measured):
        return None
    return float(cast(Any, spearmanr(predicted, measured)).statistic)


def _is_constant(values: Sequence[float]) -> bool:
    return len(set(values)) < 2
