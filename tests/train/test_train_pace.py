"""A training whose length is revised while it runs."""

import pathlib
from contextlib import closing
from typing import Any

import jax
import numpy as np
import pytest
from toy_training import STEPS, make_trainer, toy_config, variables

from xfernas_jax.train.checkpoint import TrainingCheckpoints
from xfernas_jax.train.loop import Pace, TrainResult
from xfernas_jax.train.schedule import learning_rate_factor

EPOCHS = 6
CONFIG = toy_config(epochs=EPOCHS, average_decay=0.9, schedule="one_cycle", warmup=0.2)


def fit(pace: Pace | None, config: Any = CONFIG, **options: Any) -> TrainResult:
    trainer, part = make_trainer(config)
    return trainer.fit(variables(), part, 1, pace=pace, **options)


def seen(result: TrainResult) -> np.ndarray:
    """The progress of each step, in order."""
    stats = result.variables["batch_stats"]["seen"]
    return stats[-STEPS * len(result.curve) :]


@pytest.mark.parametrize("end", [3, 4, 8])
def test_the_rest_of_the_schedule_is_stretched_so_that_the_progress_ends_at_1(end: int) -> None:
    config = toy_config(epochs=EPOCHS)
    result = fit(lambda done, planned: end if done == 2 else planned, config)
    assert (len(result.curve), result.planned_epochs) == (end, end)
    before, rest = STEPS * 2, STEPS * (end - 2)
    first = np.arange(before) / (STEPS * EPOCHS)  # as planned
    third = 2 / EPOCHS + (1 - 2 / EPOCHS) * np.arange(rest) / rest  # then evenly to 1
    np.testing.assert_allclose(seen(result), np.concatenate([first, third]), rtol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"schedule": "one_cycle"}, {"warmup": 0.3}], ids=str)
def test_the_learning_rate_falls_to_0_at_progress_1(changes: dict[str, Any]) -> None:
    assert abs(float(learning_rate_factor(1.0, toy_config(epochs=EPOCHS, **changes)))) < 1e-7


def test_a_pace_that_keeps_the_plan_changes_no_bit() -> None:
    asked: list[tuple[int, int]] = []

    def pace(done: int, planned: int) -> int:
        asked.append((done, planned))
        return planned

    plain, paced = fit(None), fit(pace)
    assert asked == [(done, EPOCHS) for done in range(1, EPOCHS)]
    assert paced.curve == plain.curve
    assert paced.planned_epochs == plain.planned_epochs == EPOCHS
    jax.tree.map(np.testing.assert_array_equal, paced.variables, plain.variables)


def test_a_pace_may_change_its_mind_and_end_at_once() -> None:
    answers = {1: 3, 2: 9, 3: 3}
    result = fit(lambda done, _: answers[done])
    assert (len(result.curve), result.planned_epochs) == (3, 3)


def test_a_pace_that_ends_before_now_is_refused() -> None:
    with pytest.raises(ValueError, match=r"after the 2 epochs done or later\. Got 1"):
        fit(lambda done, planned: 1 if done == 2 else planned)


def test_a_stopped_training_that_goes_on_keeps_its_plan_and_its_bits(
    tmp_path: pathlib.Path,
) -> None:
    def pace(done: int, planned: int) -> int:
        return {1: 4, 3: 5}.get(done, planned)

    whole = fit(pace)
    with closing(TrainingCheckpoints(tmp_path, {})) as checkpoints:
        part = fit(pace, checkpointer=checkpoints, stop=lambda curve: len(curve) == 2)
    assert (len(part.curve), part.planned_epochs) == (2, 4)
    asked: list[tuple[int, int]] = []

    def later(done: int, planned: int) -> int:
        asked.append((done, planned))
        return pace(done, planned)

    with closing(TrainingCheckpoints(tmp_path, {})) as checkpoints:
        resumed = fit(later, checkpointer=checkpoints)
    assert asked == [(3, 4), (4, 5)]
    assert resumed.curve == whole.curve
    assert resumed.planned_epochs == whole.planned_epochs == 5
    jax.tree.map(np.testing.assert_array_equal, resumed.variables, whole.variables)


def test_revising_compiles_nothing() -> None:
    trainer, part = make_trainer(CONFIG)
    trainer.fit(variables(), part, 1)
    events: list[str] = []

    def note(event: str, duration_secs: float, **about: str | int) -> None:
        events.append(event)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        result = trainer.fit(variables(), part, 2, pace=lambda done, _: {1: 4, 2: 5}.get(done, 5))
        assert len(result.curve) == 5
        assert not events
        jax.jit(lambda x: x + 1.0)(1.0)
        assert events  # the listener hears compilations
    finally:
        jax.monitoring.unregister_event_duration_listener(note)
