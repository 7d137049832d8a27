"""How far a validation value can be told from luck."""

import numpy as np
import pytest
from report_cases import make_evaluation, make_spec, study_of

from xfernas_jax.report.comparison import OWN, by_evaluations
from xfernas_jax.report.noise import Noise, noise_of


def ends(noise: Noise, value: float) -> tuple[float, float]:
    found = noise.interval(value)
    assert found is not None
    return found


RESULT = {"num_valid": 100, "best_genotype": None}


def test_an_interval_of_a_share_is_wilsons() -> None:
    low, high = ends(Noise(100), 0.5)
    # (.5 + z^2/200 -+ z sqrt(.25/100 + z^2/40000)) / (1 + z^2/100), z = 1.959964
    assert (low, high) == pytest.approx((0.403832, 0.596168), abs=1e-6)
    low, high = ends(Noise(20), 1.0)
    assert (low, high) == pytest.approx((0.838875, 1.0), abs=1e-6)


def test_shares_lie_inside_as_often_as_it_says() -> None:
    rng, truth = np.random.default_rng(0), 0.8
    values = rng.binomial(300, truth, 2_000) / 300
    found = [ends(Noise(300), float(value)) for value in values]
    inside = np.mean([low <= truth <= high for low, high in found])
    assert 0.935 < inside < 0.965


def test_a_seed_that_scatters_widens_it() -> None:
    assert Noise(None, 0.1).interval(0.5) == pytest.approx(
        (0.5 - 0.1959964, 0.5 + 0.1959964), abs=1e-6
    )
    low, high = ends(Noise(100, 0.1), 0.5)
    assert high - low == pytest.approx(2 * np.hypot(0.096168, 0.195996), abs=1e-5)
    assert Noise().interval(0.5) is None
    assert Noise(100, 0.1).words() == "a share of 100 images and another seed"


def test_repeated_trainings_tell_the_seeds_deviation() -> None:
    again = [make_evaluation(0, value, purpose="confirm") for value in (0.5, 0.7)]
    other = [make_evaluation(1, 0.4, purpose="confirm")]
    study = study_of(make_evaluation(0, 0.6), *again, *other)
    noise = noise_of(study)
    assert noise.num_images is None
    assert noise.seed_deviation == pytest.approx(np.sqrt(0.02))
    alone = study_of(make_evaluation(0, 0.6), *other, result=RESULT)
    assert noise_of(alone) == Noise(100)


def test_without_any_number_the_curve_has_no_band() -> None:
    study = study_of(make_evaluation(0, 0.6), spec=make_spec(confirm_seeds=0))
    (row,) = by_evaluations(study, []).only("series", OWN).rows
    assert row[3:] == (60.0, 60.0, 60.0)
