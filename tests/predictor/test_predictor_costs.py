"""The predictor's second output: what architectures cost."""

import numpy as np
import pytest

from xfernas_jax.errors import HistoryError
from xfernas_jax.predictor import cache
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.head import HeadSurrogate
from xfernas_jax.predictor.joint import JointSurrogate
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
QUICK = PredictorConfig(num_members=2, source_steps=150, target_steps=10)
PRICES = np.array([0.0, 0.1, 0.4, 3.0, 9.0, 0.2])  # by token


def true_costs(tokens: np.ndarray, unit: float) -> np.ndarray:
    """Two costs: additive, and one with a product between edges."""
    first = 2.0 + PRICES[tokens].sum(1)
    second = 1.0 + PRICES[tokens[:, 0]] * (1.0 + PRICES[tokens[:, 5]]) + PRICES[tokens].sum(1)
    return unit * np.stack([first, second], axis=1)


def history(count: int, seed: int, unit: float) -> TaskHistory:
    rng = np.random.default_rng(seed)
    tokens = SPACE.sample_tokens(rng, count)
    return TaskHistory("t", tokens, rng.normal(size=count), costs=true_costs(tokens, unit))


SOURCES = (history(80, 1, 1.0), history(80, 2, 30.0))
TARGET = history(6, 3, 0.01)
QUERY = history(200, 4, 0.01)


@pytest.fixture(autouse=True)
def _forget_fits() -> None:
    cache.clear_memory()


def error(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns the mean |log ratio| of each cost."""
    return np.abs(np.log(predicted / true)).mean(0)


def centred_error(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    logs = np.log(predicted / true)
    return np.abs(logs - logs.mean(0)).mean(0)


@pytest.mark.parametrize("kind", [HeadSurrogate, JointSurrogate])
def test_a_few_observations_give_the_unit_and_sources_the_rest(kind: type) -> None:
    assert QUERY.costs is not None
    spread = np.log(QUERY.costs).std(0)
    with_sources = kind(SPACE, SOURCES, QUICK).condition(TARGET).costs(QUERY.tokens)
    alone = kind(SPACE, (), QUICK).condition(TARGET).costs(QUERY.tokens)
    assert (error(with_sources, QUERY.costs) < 0.35 * spread).all()
    assert (error(with_sources, QUERY.costs) < 0.6 * error(alone, QUERY.costs)).all()


def test_before_any_observation_sources_rank_and_without_them_nothing_is_known() -> None:
    none = TaskHistory("t", np.zeros((0, 6), np.int32), np.zeros(0), costs=np.zeros((0, 2)))
    assert QUERY.costs is not None
    found = HeadSurrogate(SPACE, SOURCES, QUICK).condition(none).costs(QUERY.tokens)
    assert (centred_error(found, QUERY.costs) < 0.5 * np.log(QUERY.costs).std(0)).all()
    alone = HeadSurrogate(SPACE, (), QUICK).condition(none).costs(QUERY.tokens)
    assert np.isnan(alone).all()
    assert alone.shape == (200, 2)


def test_many_observations_without_sources_fix_costs() -> None:
    many = history(80, 5, 0.01)
    found = HeadSurrogate(SPACE, (), QUICK).condition(many).costs(QUERY.tokens)
    assert QUERY.costs is not None
    assert (error(found, QUERY.costs) < 0.4 * np.log(QUERY.costs).std(0)).all()


def test_unknown_costs_and_zeros_are_left_out() -> None:
    assert TARGET.costs is not None
    gaps = TARGET.costs.copy()
    gaps[0, 1], gaps[1, 1] = np.nan, 0.0
    rows = np.arange(6) > 1
    fewer = TaskHistory("t", TARGET.tokens[rows], TARGET.scores[rows], costs=TARGET.costs[rows])
    surrogate = HeadSurrogate(SPACE, SOURCES, QUICK)
    target = TaskHistory("t", TARGET.tokens, TARGET.scores, costs=gaps)
    found, expected = (surrogate.condition(t).costs(QUERY.tokens)[:, 1] for t in (target, fewer))
    np.testing.assert_allclose(found, expected)


def test_costs_do_not_change_the_scores_of_a_fit_without_them() -> None:
    plain = [TaskHistory("t", s.tokens, s.scores) for s in SOURCES]
    target = TaskHistory("t", TARGET.tokens, TARGET.scores)
    posterior = HeadSurrogate(SPACE, plain, QUICK).condition(target)
    assert posterior.costs(QUERY.tokens).shape == (200, 0)
    costly = HeadSurrogate(SPACE, (), QUICK).condition(TARGET).mean(QUERY.tokens)
    cheap = HeadSurrogate(SPACE, (), QUICK).condition(target).mean(QUERY.tokens)
    np.testing.assert_array_equal(costly, cheap)


def test_tasks_with_other_costs_are_refused() -> None:
    other = TaskHistory("o", TARGET.tokens, TARGET.scores, costs=np.ones((6, 1)))
    with pytest.raises(HistoryError, match="costs"):
        JointSurrogate(SPACE, [SOURCES[0], other], QUICK)
    with pytest.raises(HistoryError, match="costs"):
        HeadSurrogate(SPACE, SOURCES, QUICK).condition(other)
    with pytest.raises(HistoryError, match="costs"):
        TaskHistory("o", TARGET.tokens, TARGET.scores, costs=np.full((6, 1), np.inf))
