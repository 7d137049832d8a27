import math

import numpy as np
import pytest

from experiments import statistics


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        low, high = statistics.interval(rng.exponential(size=(5, 20)))
        covered += low <= 1.0 <= high
    # 95 expected for normal values, somewhat fewer here; below 85 by chance: under 1 in 1,000.
    assert covered >= 85


def test_resampling_keeps_the_weight_of_every_target() -> None:
    values = np.repeat([[0.0], [10.0]], 8, axis=1)
    means = statistics.resampled_means(values, np.random.default_rng(0))
    np.testing.assert_array_equal(means, 5.0)


def test_paired_differences_ignore_what_twins_share() -> None:
    rng = np.random.default_rng(1)
    shared = 100.0 * rng.normal(size=(3, 20))
    noise = 0.1 * rng.normal(size=(3, 20))
    found = statistics.compare(shared - 1.0 + noise, shared)
    assert found.difference == pytest.approx(-1.0, abs=0.1)
    assert found.low < found.difference < found.high < 0.0
    assert found.p_value <= 1e-3
    assert statistics.compare(shared, shared).p_value == 1.0


def test_holm_is_the_step_down_rule() -> None:
    # Sorted .01 .02 .04: times 3, 2, 1 and never falling.
    found = statistics.holm({"a": 0.04, "b": 0.01, "c": 0.02})
    assert found == pytest.approx({"a": 0.04, "b": 0.03, "c": 0.04})
    assert statistics.holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_non_inferior_is_what_lies_wholly_below_the_margin() -> None:
    rng = np.random.default_rng(2)
    theirs = 4.0 + rng.normal(size=(5, 20))
    noise = 0.01 * rng.normal(size=(5, 20))
    assert statistics.compare(theirs + noise, theirs).non_inferior
    assert statistics.compare(theirs + 0.5 + noise, theirs).non_inferior  # 12.5 %: surely worse,
    assert not statistics.compare(theirs + 0.7 + noise, theirs).non_inferior  # but by little
    assert not statistics.compare(theirs + 0.5 + noise, theirs, margin=0.1).non_inferior


@pytest.mark.parametrize("mean", [0.0, 0.5])
def test_what_is_too_uncertain_is_not_shown_to_be_no_worse(mean: float) -> None:
    # That the interval reaches below 0 and the mean is small, the rule once took for a yes.
    rng = np.random.default_rng(2)
    theirs = 4.0 + rng.normal(size=(5, 20))
    noise = 15.0 * rng.normal(size=(5, 20))
    found = statistics.compare(theirs + noise - noise.mean() + mean, theirs)
    assert found.low < 0.0
    assert found.difference < 0.25 * theirs.mean()
    assert not found.non_inferior


def test_a_margin_is_of_the_size_of_a_negative_mean() -> None:
    theirs = np.full((2, 10), -4.0)
    assert statistics.compare(theirs + 0.5, theirs).non_inferior
    assert not statistics.compare(theirs + 0.7, theirs).non_inferior


def test_a_pooled_deviation_is_that_within_groups() -> None:
    groups = [[1.0, 3.0], [10.0, 10.0, 13.0], [99.0]]
    # Squares around the means 2 and 11: 1 + 1 + 1 + 1 + 4, with 1 + 2 degrees of freedom.
    assert statistics.pooled_deviation(groups) == pytest.approx((8 / 3) ** 0.5)
    assert math.isnan(statistics.pooled_deviation([[1.0], [2.0]]))
