# pyright: reportAttributeAccessIssue=false
import dataclasses

import numpy as np
import pytest

from xfernas_jax.errors import FlagError, HistoryError
from xfernas_jax.predictor import cache
from xfernas_jax.predictor.ascent import ascend
from xfernas_jax.predictor.base import ArchitectureNumbers, Posterior, Surrogate, TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.head import HeadSurrogate
from xfernas_jax.predictor.hypotheses import (
    NEGATIVE,
    NONE,
    POSITIVE,
    consensus_weights,
    draw_hypotheses,
)
from xfernas_jax.predictor.kernels import (
    KERNELS_OF_A_BLOCK,
    kernel_matrices,
    measure_scales,
)
from xfernas_jax.predictor.relatedness import relatedness, similarity
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
QUICK = PredictorConfig(num_members=2, source_steps=150)
EMPTY = TaskHistory("target", np.zeros((0, 6), np.int32), np.zeros(0))
RNG = np.random.default_rng(0)
EDGES = RNG.normal(size=(6, 6))


def history(num_rows: int, seed: int, sign: float = 1.0, shuffled: bool = False) -> TaskHistory:
    rng = np.random.default_rng(seed)
    tokens = SPACE.sample_tokens(rng, num_rows)
    scores = sign * EDGES[np.arange(6), tokens].sum(1) + 0.2 * rng.normal(size=num_rows)
    return TaskHistory("t", tokens, rng.permutation(scores) if shuffled else scores)


SOURCES = tuple(history(100, seed) for seed in range(3))
QUERY = history(100, 4)


@pytest.fixture(autouse=True)
def _forget_fits() -> None:
    cache.clear_memory()


def test_kernels_are_symmetric_and_positive_semi_definite() -> None:
    rng = np.random.default_rng(1)
    features = (rng.normal(size=(9, 4)), rng.normal(size=(9, 3)))
    for kernel in kernel_matrices(features, features, measure_scales(features)):
        np.testing.assert_allclose(kernel, kernel.T, atol=1e-12)
        assert np.linalg.eigvalsh(kernel).min() > -1e-9  # or the model would be none


def test_prior_shares_follow_relatedness() -> None:
    h = draw_hypotheses(2 * KERNELS_OF_A_BLOCK, with_sources=True)
    for measured, r in ((0.2, 0.3), (0.5, 0.75), (0.0, 0.1), (0.9, 0.9)):
        prior = h.prior(measured)
        assert prior.sum() == pytest.approx(1.0)
        assert prior[h.group == NONE].sum() == pytest.approx(0.85 * (1 - r))
        assert prior[h.group == POSITIVE].sum() == pytest.approx(0.9 * r)
    alone = draw_hypotheses(2 * KERNELS_OF_A_BLOCK, with_sources=False)
    assert set(alone.group) == {NONE}
    assert alone.prior(0.9).sum() == pytest.approx(1.0)


def test_a_contrary_source_gets_a_negative_weight_and_a_useless_one_almost_none() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=2000)
    good = [shared + 0.3 * rng.normal(size=2000) for _ in range(3)]
    weights = consensus_weights(np.stack([*good, -shared, 0.3 * rng.normal(size=2000)], axis=1))
    assert (weights[:3] > 0.2).all()
    assert weights[3] < -0.2
    assert abs(weights[4]) < 0.02
    assert consensus_weights(np.zeros((5, 0))).shape == (0,)


def test_relatedness_tells_related_sources_from_shuffled_ones() -> None:
    assert relatedness(SOURCES) > 0.7
    # Rank correlations of 100 unrelated rows: standard deviation 0.1.
    assert relatedness([history(100, s, shuffled=True) for s in range(4)]) < 0.3
    assert relatedness(SOURCES[:1]) == 0.5
    negated = [*SOURCES[:2], history(100, 2, sign=-1.0)]
    assert relatedness(negated) < relatedness(SOURCES)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(x)) for x in (first, second)]
    return float(np.corrcoef(ranks)[0, 1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sources", "low", "high"),
    [
        (SOURCES, 0.0, 0.2),
        (tuple(history(100, s, shuffled=True) for s in range(3)), 0.35, 1.0),
    ],
    ids=["good", "shuffled"],
)
def test_no_transfer_is_believed_where_the_sources_are_worthless(
    sources: tuple[TaskHistory, ...], low: float, high: float
) -> None:
    posterior = HeadSurrogate(SPACE, sources, QUICK).condition(history(25, 8))
    assert low <= posterior.no_transfer_probability <= high


@pytest.mark.slow
def test_reversed_sources_are_turned_around_by_the_target() -> None:
    reversed_ = tuple(history(100, seed, sign=-1.0) for seed in range(3))
    surrogate = HeadSurrogate(SPACE, reversed_, QUICK)
    before = rank_correlation(surrogate.condition(EMPTY).mean(QUERY.tokens), QUERY.scores)
    after = surrogate.condition(history(12, 8))
    assert before < -0.5
    assert rank_correlation(after.mean(QUERY.tokens), QUERY.scores) > 0.5
    negative = after._prior.hypotheses.group == NEGATIVE
    assert after._weights[negative].sum() > 0.3


@pytest.mark.slow
def test_transfer_ranks_better_than_no_transfer_with_few_observations() -> None:
    found = []
    for sources in (SOURCES, ()):
        surrogate = HeadSurrogate(SPACE, sources, QUICK)
        assert isinstance(surrogate, Surrogate)
        posterior = surrogate.condition(history(6, 8))
        assert isinstance(posterior, Posterior)
        found.append(rank_correlation(posterior.mean(QUERY.tokens), QUERY.scores))
    assert found[0] > 0.8
    assert found[0] > found[1] + 0.1


@pytest.mark.slow
def test_samples_scatter_around_the_prediction_less_where_it_was_observed() -> None:
    target = history(20, 8)
    posterior = HeadSurrogate(SPACE, SOURCES, QUICK).condition(target)
    tokens = np.concatenate([target.tokens, QUERY.tokens[:30]])
    draws = posterior.sample(np.random.default_rng(0), 300, tokens)
    assert draws.shape == (300, 50)
    spread = draws.std(0)
    # The mean of 300 draws has a standard error of spread / 17.3; five of them bound 50 rows.
    assert (np.abs(draws.mean(0) - posterior.mean(tokens)) < 5.0 * spread / 17.3 + 0.02).all()
    assert 0.0 < np.median(spread[:20]) < 0.8 * np.median(spread[20:])


def test_order_and_earlier_rounds_do_not_matter() -> None:
    target = history(15, 8)
    order = np.random.default_rng(1).permutation(15)
    surrogate = HeadSurrogate(SPACE, SOURCES, QUICK)
    first = surrogate.condition(target).mean(QUERY.tokens)
    surrogate.condition(history(30, 9))
    shuffled = TaskHistory("t", target.tokens[order], target.scores[order])
    np.testing.assert_array_equal(surrogate.condition(shuffled).mean(QUERY.tokens), first)


def test_ascent_climbs_and_growing_histories_compile_nothing_new() -> None:
    surrogate = HeadSurrogate(SPACE, SOURCES, QUICK)
    rng = np.random.default_rng(0)
    worst = QUERY.tokens[np.argsort(QUERY.scores)[:20]]
    sizes = []
    for num_rows in (1, 5, 20, 60, 100):
        posterior = surrogate.condition(history(num_rows, 8))
        reached = np.unique(posterior.ascend(rng, worst), axis=0)
        sizes.append(ascend._cache_size())
        assert SPACE.mask()[np.arange(6), reached].all()
    gain = posterior.mean(reached).mean() - posterior.mean(worst).mean()
    assert gain > 0.5
    assert len(set(sizes)) == 1


def test_only_sources_that_tell_of_one_another_are_trusted_at_the_start() -> None:
    shuffled = tuple(history(100, s, shuffled=True) for s in range(4))
    reversed_ = tuple(history(100, s, sign=-1.0) for s in range(3))
    for sources, trusted in (
        (SOURCES, True),
        (SOURCES[:1], True),
        (reversed_, True),
        ((), False),
        (shuffled, False),
    ):
        surrogate = HeadSurrogate(SPACE, sources, QUICK)
        assert isinstance(surrogate, Surrogate)
        assert surrogate.trusts_sources is trusted


def hidden_number(tokens: np.ndarray) -> np.ndarray:
    """Something that one-hot tokens hardly show: a hash of the sequence, and a constant."""
    value = (tokens.astype(np.int64) * np.array([7919, 104729, 1299709, 15485863, 31, 57])).sum(1)
    return np.stack([1e6 * np.sin(value), np.full(len(tokens), 3.0)], axis=1)


@pytest.mark.parametrize("sources", [(), SOURCES], ids=["alone", "with_sources"])
def test_numbers_of_architectures_are_learned(sources: tuple[TaskHistory, ...]) -> None:
    tokens = SPACE.sample_tokens(np.random.default_rng(3), 240)
    scores = hidden_number(tokens)[:, 0]
    target = TaskHistory("t", tokens[:40], scores[:40])
    found = []
    for numbers in (None, hidden_number):
        posterior = HeadSurrogate(SPACE, sources, QUICK, numbers).condition(target)
        found.append(rank_correlation(posterior.mean(tokens[40:]), scores[40:]))
        assert len(posterior.ascend(np.random.default_rng(0), tokens[:3]))
        assert np.isfinite(posterior.sample(np.random.default_rng(0), 2, tokens[:20])).all()
    assert found[1] > 0.8
    assert found[0] < 0.4


@pytest.mark.parametrize(
    "numbers",
    [lambda t: t[:, 0] * 1.0, lambda t: np.full((len(t), 1), np.nan), lambda t: t[:-1] * 1.0],
    ids=["one_axis", "nan", "too_few"],
)
def test_bad_numbers_of_architectures_are_an_error(numbers: ArchitectureNumbers) -> None:
    with pytest.raises(FlagError, match="--architecture_numbers"):
        HeadSurrogate(SPACE, (), QUICK, numbers).condition(EMPTY)


@pytest.mark.slow
def test_numbers_of_tasks_draw_the_first_prediction_to_the_like_source() -> None:
    numbers = [(0.0, 10.0), (0.1, 10.0), (5.0, 10.0)]
    rng = np.random.default_rng(0)
    tables = [rng.normal(size=(6, 6)) for _ in numbers]
    tokens = SPACE.sample_tokens(rng, 600)
    scores = [table[np.arange(6), tokens].sum(1) for table in tables]
    sources = [
        TaskHistory("t", tokens[:200], s[:200], n) for s, n in zip(scores, numbers, strict=True)
    ]
    surrogate = HeadSurrogate(SPACE, sources, QUICK)
    found = []
    for known in ((), (5.0, 10.0)):
        target = TaskHistory("target", EMPTY.tokens, EMPTY.scores, known)
        mean = surrogate.condition(target).mean(tokens[200:])
        found.append(rank_correlation(mean, scores[2][200:]))
    assert found[1] > found[0] + 0.1


def test_tasks_are_alike_by_their_numbers_where_all_have_them() -> None:
    def task(*numbers: float) -> TaskHistory:
        return TaskHistory("t", EMPTY.tokens, EMPTY.scores, numbers)

    found = similarity(task(1.0, 0.0), [task(1.0, 0.0), task(1.0, 4.0), task(9.0, 4.0)])
    assert found.mean() == pytest.approx(1.0)
    assert found[0] > found[1] > found[2]
    np.testing.assert_array_equal(similarity(task(1.0), [task(1.0), task()]), [1.0, 1.0])
    np.testing.assert_array_equal(similarity(task(), [task()]), [1.0])
    with pytest.raises(HistoryError, match="finite"):
        task(float("nan"))


def test_constant_targets_and_nothing_observed_are_allowed() -> None:
    surrogate = HeadSurrogate(SPACE, SOURCES, dataclasses.replace(QUICK, source_steps=20))
    for target in (EMPTY, TaskHistory("t", QUERY.tokens[:5], np.full(5, 0.1))):
        posterior = surrogate.condition(target)
        assert np.isfinite(posterior.mean(QUERY.tokens)).all()
        assert np.isfinite(posterior.sample(np.random.default_rng(0), 2, QUERY.tokens)).all()
        assert len(posterior.ascend(np.random.default_rng(0), QUERY.tokens[:3]))


@pytest.mark.parametrize("shuffled", [False, True])
def test_before_any_observation_the_consensus_ranks(shuffled: bool) -> None:
    sources = [history(100, seed, shuffled=shuffled and seed > 0) for seed in range(3)]
    surrogate = HeadSurrogate(SPACE, sources, dataclasses.replace(QUICK, source_steps=60))
    posterior = surrogate.condition(EMPTY)
    consensus = posterior._prior.model.scores(QUERY.tokens) @ posterior._prior.consensus
    assert rank_correlation(posterior.mean(QUERY.tokens), consensus) > 0.999


@pytest.mark.slow
def test_scores_of_few_images_move_the_mean_less_and_none_is_the_default() -> None:
    surrogate = HeadSurrogate(SPACE, SOURCES, QUICK)
    against = TaskHistory("target", QUERY.tokens[:8], -QUERY.scores[:8])
    rows = QUERY.tokens[:8]
    before = surrogate.condition(EMPTY).mean(rows)
    distances = []
    for variance in (0.0, 50.0):
        noisy = dataclasses.replace(against, noise=np.full(8, variance * against.scores.var()))
        mean = surrogate.condition(noisy).mean(rows)
        distances.append(1.0 - np.corrcoef(mean, before)[0, 1])
    assert distances[1] < distances[0] - 0.1
    plain = surrogate.condition(against).mean(rows)
    silent = dataclasses.replace(against, noise=np.zeros(8))
    np.testing.assert_array_equal(surrogate.condition(silent).mean(rows), plain)


@pytest.mark.parametrize("noise", [np.zeros(7), -np.ones(8), np.full(8, np.nan)])
def test_noise_that_is_no_variance_is_refused(noise: np.ndarray) -> None:
    with pytest.raises(HistoryError, match="noise \\[N\\], finite and not negative"):
        TaskHistory("target", QUERY.tokens[:8], QUERY.scores[:8], noise=noise)
