"""What sources have measured of the very architecture."""

import numpy as np
import pytest

from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.own_scores import Distances

TOKENS = np.arange(200, dtype=np.int32)[:, None]
NONE = np.zeros(0, int)


def sources(shared: float, num: int = 2) -> list[tuple[TaskHistory, np.ndarray, np.ndarray]]:
    """Histories whose distances have a part in common."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=200)
    rows = [shared * common + np.sqrt(1 - shared**2) * rng.normal(size=200) for _ in range(num)]
    return [(TaskHistory("t", TOKENS, np.zeros(200)), row, NONE) for row in rows]


def test_the_share_that_carries_over_is_what_sources_have_in_common() -> None:
    assert Distances(sources(0.0)).share < 0.25
    assert Distances(sources(0.7)).share == pytest.approx(0.49, abs=0.12)
    assert Distances(sources(1.0)).share > 0.9


def test_with_nothing_in_common_to_look_at_half_is_added_where_it_was_measured() -> None:
    found = Distances(sources(0.5, num=1))
    assert found.share == 0.5
    distances = sources(0.5, num=1)[0][1]
    got = found(np.array([[3], [500], [7]], np.int32))
    np.testing.assert_allclose(got, [[0.5 * distances[3]], [0.0], [0.5 * distances[7]]])


def test_rows_that_a_model_was_fitted_to_are_left_out() -> None:
    half = np.arange(100)
    fitted = [(task, row, half) for task, row, _ in sources(1.0)]
    found = Distances(fitted)
    added = found(TOKENS)
    assert not added[:100].any()
    assert added[100:].all()
    everything = [(task, row, np.arange(200)) for task, row, _ in sources(1.0)]
    assert Distances(everything).share == 0.5  # nothing tells
    assert not Distances(everything)(TOKENS).any()


def test_repeated_architectures_count_by_their_mean() -> None:
    tokens = np.array([[1], [1], [2]], np.int32)
    history = TaskHistory("t", tokens, np.zeros(3))
    found = Distances([(history, np.array([1.0, 3.0, 5.0]), NONE)])
    np.testing.assert_allclose(found(np.array([[1]], np.int32)), [[1.0]])


def test_without_sources_there_is_nothing_to_add() -> None:
    assert Distances([])(TOKENS).shape == (200, 0)
