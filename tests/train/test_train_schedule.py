from typing import Any

import numpy as np
import optax
import pytest

from xfernas_jax.errors import RecipeError
from xfernas_jax.train.config import TrainConfig
from xfernas_jax.train.course import first_course, progress_at, revised
from xfernas_jax.train.schedule import kernels, learning_rate_factor

STEPS = 50


@pytest.mark.parametrize("period", [None, 25, 100])
def test_the_cosine_is_that_of_optax_by_steps(period: int | None) -> None:
    config = TrainConfig(epochs=10, schedule_epochs=period, learning_rate=0.3)
    steps = np.arange(10 * STEPS)
    found = [0.3 * learning_rate_factor(s / (10 * STEPS), config) for s in steps[::23]]
    expected = optax.cosine_decay_schedule(0.3, (period or 10) * STEPS)(steps[::23])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_a_warm_up_rises_to_the_whole_learning_rate_and_then_it_only_falls() -> None:
    for schedule in ("cosine", "one_cycle"):
        config = TrainConfig(schedule=schedule, warmup=0.25)
        factors = np.array([learning_rate_factor(p / 100, config) for p in range(101)])
        assert factors[0] == pytest.approx(0.04)
        assert factors[25] == pytest.approx(1.0)
        assert (np.diff(factors[:26]) > 0.0).all()
        assert (np.diff(factors[25:]) < 0.0).all()


def test_progress_is_exact_for_an_unrevised_course_and_stays_at_1_after_it() -> None:
    course = first_course(300)
    assert float(progress_at(course, 0)) == 0.0
    assert float(progress_at(course, 75)) == 0.25
    assert float(progress_at(course, 301)) == 1.0


def test_a_revision_goes_on_from_where_the_progress_is() -> None:
    course = revised(revised(first_course(100), 20, 60), 40, 200)
    # 20 of 100 is .2; half way from .2 to 1 at step 40 is .6; half way from .6 to 1 at 120 is .8.
    np.testing.assert_allclose(course, [40, 0.6, 200], rtol=1e-6)
    np.testing.assert_allclose(float(progress_at(course, 120)), 0.8, rtol=1e-6)


def test_kernels_are_what_has_two_dimensions_and_is_no_bias_or_scale() -> None:
    params = {
        "conv": {"kernel": np.zeros((3, 3, 2, 4)), "bias": np.zeros(4)},
        "norm": {"scale": np.zeros((2, 4)), "bias": np.zeros((2, 4))},  # as scanned cells have them
        "own": {"gamma": np.zeros(3), "embedding": np.zeros((2, 3))},
    }
    assert kernels(params) == {
        "conv": {"kernel": True, "bias": False},
        "norm": {"scale": False, "bias": False},
        "own": {"gamma": False, "embedding": True},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup": 1.0}, r"train.warmup lies in \[0, 1\)"),
        ({"average_decay": -0.1}, r"train.average_decay lies in \[0, 1\)"),
        ({"mixup": -0.1}, "train.mixup is not negative"),
        ({"schedule": "one_cycle", "schedule_epochs": 30}, "schedule_epochs=null before"),
        ({"optimizer": "adamw", "nesterov": True}, "are of train.optimizer=sgd"),
        ({"optimizer": "adamw", "decay_all": False}, "are of train.optimizer=sgd"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        TrainConfig(**changes)
