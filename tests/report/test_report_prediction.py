# pyright: reportAttributeAccessIssue=false
from collections.abc import Sequence

import numpy as np
import pytest
from report_cases import finished_study, make_evaluation, study_of
from scipy.stats import spearmanr

from xfernas_jax.report.prediction import predicted_and_measured, rank_correlations
from xfernas_jax.report.table import Table


def paired(pairs: Sequence[tuple[float | None, float]]) -> Table:
    evaluations = [make_evaluation(i, v, predicted=p) for i, (p, v) in enumerate(pairs)]
    return predicted_and_measured(study_of(*evaluations))


def test_only_complete_evaluations_with_a_prediction_are_pairs() -> None:
    pairs = predicted_and_measured(finished_study())
    assert pairs.column("evaluation") == [0, 1, 2, 4, 6, 7]  # 3 failed, 5 was stopped
    assert pairs.rows[0] == (0, 1, 0.0, 50.0)
    assert paired([(None, 0.5)]).rows == ()


def test_a_rank_correlation_is_that_of_the_formula() -> None:
    pairs = [(1.0, 0.1), (2.0, 0.3), (3.0, 0.2), (4.0, 0.4)]
    found = rank_correlations(paired(pairs))
    # rank differences 0, 1, 1, 0: 1 - 6 * 2 / (4 * (16 - 1)) = 0.8
    assert found.column("rank_correlation") == pytest.approx([0.8, 0.8])
    assert found.column("round") == [1, "all"]


def test_each_round_is_scipys_and_all_are_their_weighted_mean() -> None:
    rng = np.random.default_rng(0)
    predicted, measured = rng.normal(size=11), rng.random(11).round(1)
    pairs = [(float(p), float(v)) for p, v in zip(predicted, measured, strict=True)]
    found = rank_correlations(paired(pairs))
    parts = [slice(0, 4), slice(4, 8), slice(8, 11)]
    wanted = [float(spearmanr(predicted[part], measured[part]).statistic) for part in parts]
    mean = (3 * wanted[0] + 3 * wanted[1] + 2 * wanted[2]) / 8
    assert found.column("rank_correlation") == pytest.approx([*wanted, mean])
    assert found.column("evaluations") == [4, 4, 3, 11]


def test_predictions_of_two_rounds_are_not_compared() -> None:
    # Each round is in order, but the unit of the second has moved: ranked together they give -0.52.
    pairs = [(10.0 + i, 0.1 + i / 100) for i in range(4)] + [
        (1.0 + i, 0.5 + i / 100) for i in range(4)
    ]
    assert rank_correlations(paired(pairs)).column("rank_correlation") == [1.0, 1.0, 1.0]


def test_a_round_of_two_counts_for_nothing() -> None:
    pairs = [(1.0, 0.1), (2.0, 0.2), (3.0, 0.3), (4.0, 0.4), (2.0, 0.1), (1.0, 0.2)]
    found = rank_correlations(paired(pairs))
    assert found.column("rank_correlation") == [1.0, None, 1.0]
    assert found.column("evaluations") == [4, 2, 4]


def test_where_smaller_is_better_the_order_is_right_when_values_fall() -> None:
    pairs = paired([(1.0, 0.3), (2.0, 0.2), (3.0, 0.1)])
    assert rank_correlations(pairs, maximize=False).column("rank_correlation") == [1.0, 1.0]


def test_few_or_equal_values_have_no_rank_correlation() -> None:
    few = rank_correlations(paired([(1.0, 0.1), (2.0, 0.2)]))
    assert few.column("rank_correlation") == [None, None]
    equal = rank_correlations(paired([(1.0, 0.5), (2.0, 0.5), (3.0, 0.5)]))
    assert equal.column("rank_correlation") == [None, None]
