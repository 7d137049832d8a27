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


def test_not_worse_needs_both_conditions() -> None:
    rng = np.random.default_rng(2)
    theirs = 4.0 + rng.normal(size=(5, 20))
    assert statistics.compare(theirs + 0.01 * rng.normal(size=(5, 20)), theirs).not_worse
    assert not statistics.compare(theirs + 0.5, theirs).not_worse  # small, but certain
    noise = 15.0 * rng.normal(size=(5, 20))
    worse = theirs + noise - noise.mean() + 2.0
    found = statistics.compare(worse, theirs)
    assert found.low < 0.0  # uncertain
    assert not found.not_worse  # but large


def test_a_pooled_deviation_is_that_within_groups() -> None:
    groups = [[1.0, 3.0], [10.0, 10.0, 13.0], [99.0]]
    # Squares around the means 2 and 11: 1 + 1 + 1 + 1 + 4, with 1 + 2 degrees of freedom.
    assert statistics.pooled_deviation(groups) == pytest.approx((8 / 3) ** 0.5)
    assert math.isnan(statistics.pooled_deviation([[1.0], [2.0]]))
