import numpy as np
import pytest
from report_cases import finished_study, make_evaluation, make_spec
from scipy.stats import spearmanr

from xfernas_jax.report.prediction import predicted_and_measured, rank_correlations
from xfernas_jax.report.study import StudyRecord


def study_of(pairs: list[tuple[float | None, float]]) -> StudyRecord:
    evaluations = [make_evaluation(i, v, predicted=p) for i, (p, v) in enumerate(pairs)]
    return StudyRecord(make_spec(), tuple(evaluations))


def test_only_complete_evaluations_with_a_prediction_are_pairs() -> None:
    pairs = predicted_and_measured(finished_study())
    assert pairs.column("evaluation") == [0, 1, 2, 4, 6, 7]  # 3 failed, 5 was stopped
    assert pairs.rows[0] == (0, 1, 0.0, 50.0)
    assert predicted_and_measured(study_of([(None, 0.5)])).rows == ()


def test_a_rank_correlation_is_that_of_the_formula() -> None:
    pairs = [(1.0, 0.1), (2.0, 0.3), (3.0, 0.2), (4.0, 0.4)]
    found = rank_correlations(predicted_and_measured(study_of(pairs)))
    # rank differences 0, 1, 1, 0: 1 - 6 * 2 / (4 * (16 - 1)) = 0.8
    assert found.column("rank_correlation") == pytest.approx([0.8, 0.8])
    assert found.column("round") == [1, "all"]


def test_each_round_and_all_are_scipys() -> None:
    rng = np.random.default_rng(0)
    predicted, measured = rng.normal(size=12), rng.random(12).round(1)
    pairs = [(float(p), float(v)) for p, v in zip(predicted, measured, strict=True)]
    found = rank_correlations(predicted_and_measured(study_of(pairs)))
    parts = [slice(0, 4), slice(4, 8), slice(8, 12), slice(None)]
    wanted = [spearmanr(predicted[part], measured[part]).statistic for part in parts]
    assert found.column("rank_correlation") == pytest.approx(wanted)
    assert found.column("evaluations") == [4, 4, 4, 12]


def test_few_or_equal_values_have_no_rank_correlation() -> None:
    few = rank_correlations(predicted_and_measured(study_of([(1.0, 0.1), (2.0, 0.2)])))
    assert few.column("rank_correlation") == [None, None]
    equal = rank_correlations(
        predicted_and_measured(study_of([(1.0, 0.5), (2.0, 0.5), (3.0, 0.5)]))
    )
    assert equal.column("rank_correlation") == [None, None]
