"""What the optimizer predicted against what was measured, and how well they agree in order."""

import functools

from xfernas_jax.report import figures, prediction
from xfernas_jax.report.section import Picture, Section
from xfernas_jax.report.study import SearchStudy

TITLE = "Predicted against measured"


def section(study: SearchStudy) -> Section:
    """Draws predictions, and their rank correlation in each round."""
    pairs = prediction.predicted_and_measured(study)
    if not pairs.rows:
        return Section(TITLE, note="No complete evaluation has a prediction of the optimizer.")
    ranks = prediction.rank_correlations(pairs, study.metric.maximize)
    overall = ranks.only("round", prediction.ALL_ROUNDS).rows[0]
    shown = "not defined" if overall[2] is None else f"{overall[2]:.2f}"
    left_out = len(study.searched) - len(pairs.rows)
    first = Picture(
        "predicted_measured",
        "By evaluation",
        "What the optimizer expected when it suggested an architecture, in standard deviations of "
        f"what it knew then, against what was measured. {len(pairs.rows)} evaluations; {left_out} "
        "without a prediction or a value are left out.",
        f"{len(pairs.rows)} points; rank correlation {shown}.",
        pairs,
        functools.partial(figures.draw_prediction, pairs, f"measured {study.value_label}"),
    )
    second = Picture(
        "rank_correlation",
        "Agreement in order",
        "How well the order of the guesses agrees with that of the results (Spearman's rank "
        "correlation): 1 for the same order, 0 for none, -1 for the reverse. Bars are for each "
        "round, for what one round predicts has another unit than the next; the dashed line is "
        "their mean, a round of n evaluations counting n - 1 times. With few evaluations in a "
        "round a bar says little; below "
        f"{prediction.MIN_PAIRS}, or where all are equal, there is none.",
        f"Rank correlations of {len(ranks.rows) - 1} rounds; mean {shown}.",
        ranks,
        functools.partial(figures.draw_rank_correlations, ranks),
    )
    note = (
        "Before each training the search guesses how good the network will be, from the earlier "
        "tasks and from what it has seen of this one. Here is how right the guesses were."
    )
    return Section(TITLE, (first, second), note)
