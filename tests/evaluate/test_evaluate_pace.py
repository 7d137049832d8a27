"""How many epochs fit into the time of a training, with a simulated time."""

import types

import pytest

from xfernas_jax.evaluate.pace import TimePace


class Now:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        clock = types.SimpleNamespace(monotonic=lambda: self.seconds)
        monkeypatch.setattr("xfernas_jax.evaluate.pace.time", clock)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> Now:
    return Now(monkeypatch)


def trained(now: Now, pace: TimePace, seconds: list[float], done: int = 0, most: int = 50) -> int:
    """Trains epochs of these seconds, the last ones for good; returns the epochs at the end."""
    planned = most
    while done < planned:
        now.seconds += seconds.pop(0) if len(seconds) > 1 else seconds[0]
        done += 1
        if done < planned:
            planned = pace(done, planned)
    return done


def test_as_many_epochs_fit_as_the_mean_of_those_that_ran_says(now: Now) -> None:
    pace = TimePace(1100.0, 50)
    now.seconds += 8.0
    assert pace(1, 50) == 1 + 11  # 92 seconds are left
    now.seconds += 12.0
    assert pace(2, 12) == 2 + 8  # 80 seconds, 10 each


@pytest.mark.parametrize("each", [0.5, 3.0, 7.0, 11.0, 26.0])
def test_a_steady_training_uses_its_time_and_ends_in_it(now: Now, each: float) -> None:
    done = trained(now, TimePace(1100.0, 500), [each], most=500)
    assert 1100.0 - each < now.seconds <= 1100.0
    assert done == int(100.0 / each)


@pytest.mark.parametrize(("late", "epochs"), [(3.0, 10), (6.0, 9)])
def test_the_last_epoch_may_end_a_little_late_so_that_none_is_half_trained(
    now: Now, late: float, epochs: int
) -> None:
    pace = TimePace(1100.0, 10)
    for done in range(1, 9):
        now.seconds += 10.0
        assert pace(done, 10) == 10
    now.seconds += 10.0 + late
    assert pace(9, 10) == epochs


def test_a_training_that_becomes_slower_ends_in_time(now: Now) -> None:
    trained(now, TimePace(1100.0, 50), [2.0] * 10 + [4.0])
    assert now.seconds <= 1105.0


def test_no_training_has_more_epochs_than_its_recipe(now: Now) -> None:
    assert trained(now, TimePace(1e9, 50), [1.0]) == 50


def test_one_that_is_late_ends_with_the_epochs_that_it_has(now: Now) -> None:
    pace = TimePace(1010.0, 50)
    now.seconds += 40.0
    assert pace(1, 50) == 1


def test_a_resumed_training_judges_by_the_epochs_that_ran_here(now: Now) -> None:
    pace = TimePace(1100.0, 50)
    now.seconds += 10.0
    assert pace(31, 50) == 31 + 9  # thirty are from a checkpoint
    now.seconds += 20.0
    assert pace(32, 40) == 32 + 4  # 70 seconds are left, 15 each


def test_epochs_that_take_no_time_leave_the_recipe_as_it_is(now: Now) -> None:
    assert TimePace(1100.0, 50)(1, 50) == 50
