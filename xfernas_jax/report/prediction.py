"""What the optimizer expected and what came out, and how well the two agree in order.

A round is what was suggested knowing the same evaluations: predictions of one round have one unit,
those of two rounds have not, so values are ranked within a round alone.
"""

from collections.abc import Sequence
from typing import Any, cast

from scipy.stats import spearmanr

from xfernas_jax.report.study import SearchStudy
from xfernas_jax.report.table import Table, Value

MIN_PAIRS = 3  # of a round; below that a rank correlation is 1, -1 or nothing
ALL_ROUNDS = "all"


def predicted_and_measured(study: SearchStudy) -> Table:
    """Returns a row for each complete evaluation with a prediction; measured as it is shown.

    Evaluations have their numbers in the study, from 0; rounds count from 1.
    """
    rows: list[tuple[Value, ...]] = []
    for e in study.searched:
        if e.job.predicted is not None and e.value is not None:
            row = (e.number, study.round_of(e), e.job.predicted, study.shown(e.value))
            rows.append(row)
    return Table(("evaluation", "round", "predicted", "measured"), tuple(rows))


def rank_correlations(pairs: Table, maximize: bool = True) -> Table:
    """Returns Spearman's correlation of each round and of all; None where it is not defined.

    That of all rounds is the mean of those that are defined, a round of n pairs with weight n - 1:
    without any relation the correlation of n pairs has the variance 1 / (n - 1).

    Args:
      pairs: of `predicted_and_measured`.
      maximize: whether larger is better; a prediction is larger where it expects better.
    """
    rows: list[tuple[Value, ...]] = []
    total, weights, num_ranked = 0.0, 0, 0
    for number in sorted(set(pairs.column("round"))):
        part = pairs.only("round", number)
        size, correlation = len(part.rows), _spearman(part, 1.0 if maximize else -1.0)
        rows.append((number, size, correlation))
        if correlation is not None:
            total += (size - 1) * correlation
            weights, num_ranked = weights + size - 1, num_ranked + size
    rows.append((ALL_ROUNDS, num_ranked, total / weights if weights else None))
    return Table(("round", "evaluations", "rank_correlation"), tuple(rows))


def _spearman(pairs: Table, sign: float) -> float | None:
    predicted, measured = pairs.column("predicted"), pairs.column("measured")
    if len(predicted) < MIN_PAIRS or _is_constant(predicted) or _is_constant(measured):
        return None
    return sign * float(cast(Any, spearmanr(predicted, measured)).statistic)


def _is_constant(values: Sequence[float]) -> bool:
    return len(set(values)) < 2
