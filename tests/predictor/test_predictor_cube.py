import numpy as np
import pytest

from xfernas_jax.predictor.base import Posterior, Surrogate, TaskHistory
from xfernas_jax.predictor.cube import CubePosterior, CubeSurrogate
from xfernas_jax.predictor.relevance import _evidence, expected_log_weights, fit_relevance
from xfernas_jax.space.grid import GridSpace

PLACES = tuple(i / 20 for i in range(21))
SPACE = GridSpace(
    "g", {"x": range(21), "y": range(21), "kind": ("a", "b")}, {"x": PLACES, "y": PLACES}
)


def history(count: int, seed: int, sign: float = 1.0) -> TaskHistory:
    """Returns scores in which x matters, the kind a little, and y not at all."""
    tokens = SPACE.sample_tokens(np.random.default_rng(seed), count)
    return TaskHistory("t", tokens, sign * truth(tokens))


def truth(tokens: np.ndarray) -> np.ndarray:
    found = SPACE.coordinates(tokens)
    return -np.square(found[:, 0] - 0.7) + 0.05 * found[:, 2]


def correlation(posterior: CubePosterior) -> float:
    tokens = SPACE.sample_tokens(np.random.default_rng(99), 300)
    return float(np.corrcoef(posterior.mean(tokens), truth(tokens))[0, 1])


def test_the_gradient_of_the_evidence_is_that_of_differences() -> None:
    rng = np.random.default_rng(0)
    x, scores, theta = rng.random((12, 2)), rng.normal(size=12), np.array([0.3, -0.5, -2.0])
    gaps = np.square(x.T[:, :, None] - x.T[:, None, :])
    _, gradient = _evidence(theta, gaps, scores)
    for i, step in enumerate(1e-5 * np.eye(3)):
        high, low = (_evidence(theta + sign * step, gaps, scores)[0] for sign in (1.0, -1.0))
        assert gradient[i] == pytest.approx((high - low) / 2e-5, rel=1e-4)


def test_relevance_finds_what_matters() -> None:
    its = history(80, 0)
    coordinates = SPACE.coordinates(its.tokens)
    scores = (its.scores - its.scores.mean()) / its.scores.std()
    x, y, _ = fit_relevance(coordinates, SPACE.columns, scores, expected_log_weights(3)).log_weights
    assert x > y + 1.0


def test_sources_tell_of_the_target_before_it_is_known_unless_they_disagree() -> None:
    surrogate = CubeSurrogate(SPACE, [history(60, 1), history(60, 2)])
    assert isinstance(surrogate, Surrogate)
    assert surrogate.trusts_sources
    posterior = surrogate.condition(history(0, 0))
    assert isinstance(posterior, Posterior)
    assert correlation(posterior) > 0.9
    noise = [
        TaskHistory("n", SPACE.sample_tokens(rng, 60), rng.normal(size=60))
        for rng in map(np.random.default_rng, (5, 6))
    ]
    assert not CubeSurrogate(SPACE, noise).trusts_sources


def test_a_source_that_says_the_opposite_is_seen_through() -> None:
    surrogate = CubeSurrogate(SPACE, [history(60, 1, -1.0), history(60, 2, -1.0)])
    assert correlation(surrogate.condition(history(25, 3))) > 0.8


def test_neither_order_nor_names_of_sources_matter_much() -> None:
    first, second = history(40, 1), history(40, 2)
    tokens = SPACE.sample_tokens(np.random.default_rng(7), 50)
    one, other = (
        CubeSurrogate(SPACE, sources).condition(history(10, 3)).mean(tokens)
        for sources in ([first, second], [second, first])
    )
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_improvement_is_largest_away_from_what_is_known_to_be_bad() -> None:
    posterior = CubeSurrogate(SPACE, []).condition(history(30, 3))
    tokens = SPACE.sample_tokens(np.random.default_rng(8), 300)
    gains = posterior.improvement(tokens)
    assert (gains >= 0.0).all()
    assert truth(tokens)[np.argsort(-gains)[:10]].mean() > np.quantile(truth(tokens), 0.75)
    assert (posterior.improvement(tokens, 0.5) <= gains + 1e-12).all()


def test_draws_and_ascents_are_of_the_space() -> None:
    posterior = CubeSurrogate(SPACE, [history(40, 1)]).condition(history(10, 3))
    rng = np.random.default_rng(0)
    tokens = SPACE.sample_tokens(rng, 30)
    assert posterior.sample(rng, 4, tokens).shape == (4, 30)
    climbed = posterior.ascend(rng, tokens[:3])
    assert SPACE.mask()[np.arange(3), climbed].all()
    assert posterior.mean(climbed).max() >= posterior.mean(tokens[:3]).max()
