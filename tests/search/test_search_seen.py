"""What a predictor is told of a target."""

import dataclasses

import numpy as np
import pytest

from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import ACCURACY, Metric
from xfernas_jax.history.record import Evaluation, Job, Result
from xfernas_jax.search.seen import Seen
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
CELLS = [SPACE.sample(np.random.default_rng(i)) for i in range(3)]
ERROR = Metric("error", "error", "%", 0.0, 1.0, maximize=False)


def seen(metric: Metric, values: tuple[float | None, ...], num_images: int | None) -> Seen:
    rows = []
    for i, value in enumerate(values):
        status = "failed" if value is None else "complete"
        job = Job(i, CELLS[i], SPACE.key(CELLS[i]), seed=i)
        rows.append(Evaluation(job, Result(status=status, value=value), "r"))
    return Seen(SPACE, Goal(metric=metric), tuple(rows), num_images=num_images)


def test_a_share_of_few_images_is_noisy_and_one_of_unknown_images_is_not() -> None:
    values = (0.5, 1.0)
    few, many, unknown = (seen(ACCURACY, values, n).history().noise for n in (100, 10_000, None))
    assert few == pytest.approx([0.25 / 100, (102 / 104) * (2 / 104) / 100])
    assert many[0] == pytest.approx(0.25 / 10_000)
    np.testing.assert_array_equal(unknown, 0.0)


def test_failures_have_the_noise_of_the_worst_and_errors_that_of_what_is_right() -> None:
    noise = seen(ACCURACY, (0.5, None), 100).history().noise
    assert noise[0] == noise[1]
    right, wrong = (seen(m, (v,), 100).history().noise for m, v in ((ACCURACY, 0.9), (ERROR, 0.1)))
    assert right == pytest.approx(wrong)


def test_a_metric_that_is_no_share_has_no_known_noise() -> None:
    loss = dataclasses.replace(ERROR, name="loss", high=None)
    np.testing.assert_array_equal(seen(loss, (0.5,), 100).history().noise, 0.0)
