"""What last trainings of other tasks say of networks for a task of which nothing is known."""

import math

import numpy as np
import pytest

from xfernas_jax.search.recommend import LastValue, in_order, last_value, universal_log_errors


def task(shift: float, noise: float = 0.0, **errors: float) -> dict[str, LastValue]:
    return {name: LastValue(error + shift, noise) for name, error in errors.items()}


def test_a_network_that_is_best_on_all_tasks_is_best_however_hard_each_task_is() -> None:
    tasks = [task(shift, a=0.0, b=-0.2, c=0.1) for shift in (-4.0, 0.0, -1.0)]
    found = universal_log_errors(tasks)
    assert min(found, key=lambda key: found[key]) == "b"
    assert sum(found.values()) == pytest.approx(0.0, abs=1e-9)
    assert found["b"] == pytest.approx(-0.167, abs=0.02)  # of -.167 below the mean, a bit shrunk


def test_what_one_task_alone_knows_counts_for_less_than_what_all_say() -> None:
    tasks = [task(0.0, a=0.0, b=-0.2, c=0.1) for _ in range(4)]
    tasks[0] |= task(0.0, lucky=-0.22)
    found = universal_log_errors(tasks)
    assert found["b"] < found["lucky"] < found["a"]


def test_a_task_of_few_images_hardly_counts() -> None:
    said = task(0.0, a=0.0, b=-0.2)
    loud, quiet = task(0.0, 0.0, a=-0.3, b=0.0), task(0.0, 4.0, a=-0.3, b=0.0)
    assert (lambda found: found["a"] < found["b"])(universal_log_errors([said, loud]))
    assert (lambda found: found["b"] < found["a"])(universal_log_errors([said, quiet]))


def test_the_solution_is_that_of_the_model_as_it_is_written() -> None:
    """Against the conditional mean of a joint normal distribution, with wide task means."""
    rng = np.random.default_rng(0)
    keys, rows = "abcde", [(s, k) for s in range(3) for k in range(5) if (s + k) % 4]
    values = {row: (float(rng.normal()), float(rng.uniform(0.0, 0.1))) for row in rows}
    tasks = [{keys[k]: LastValue(*values[s, k]) for t, k in rows if t == s} for s in range(3)]
    of_task = np.array([[float(t == s) for s in range(3)] for t, _ in rows])
    of_key = np.array([[float(j == k) for k in range(5)] for _, j in rows])
    noise = np.diag([0.08**2 + values[row][1] for row in rows])
    both = 1e4 * of_task @ of_task.T + 0.15**2 * of_key @ of_key.T + noise
    observed = np.array([values[row][0] for row in rows])
    expected = 0.15**2 * of_key.T @ np.linalg.solve(both, observed)
    found = universal_log_errors(tasks)
    np.testing.assert_allclose([found[key] for key in keys], expected, atol=1e-4)


def test_a_value_is_the_logarithm_of_its_error_with_the_variance_of_a_share() -> None:
    value = last_value(0.75, 10_000, 0.0)
    assert value.log_error == pytest.approx(math.log(0.25), abs=1e-3)
    rng = np.random.default_rng(0)
    drawn = np.log(rng.binomial(10_000, 0.25, 20_000) / 10_000)
    assert value.variance == pytest.approx(drawn.var(), rel=0.05)
    guessed = last_value(0.75, 10_000, -0.3)
    assert guessed.log_error == pytest.approx(value.log_error - 0.3)
    assert guessed.variance == pytest.approx(value.variance + 0.3**2)
    perfect = last_value(1.0, 700, 0.0)
    assert math.isfinite(perfect.log_error)
    assert perfect.variance > 0.3  # it says little


def test_nothing_is_known_of_no_tasks() -> None:
    assert universal_log_errors([]) == {}


def test_what_has_too_few_epochs_comes_after_all_others() -> None:
    errors = {"starved": -0.3, "good": -0.2, "bad": 0.1, "worse": 0.2}
    epochs = {"starved": 19.0, "good": 20.0, "bad": 80.0, "worse": 5.0}
    assert in_order(errors, epochs, 20.0) == ["good", "bad", "starved", "worse"]
    assert in_order(errors, dict.fromkeys(errors, 3.0), 20.0)[0] == "starved"
