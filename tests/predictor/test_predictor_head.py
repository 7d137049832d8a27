import dataclasses

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from xfernas_jax.errors import FlagError, HistoryError
from xfernas_jax.predictor import cache, evidence
from xfernas_jax.predictor.base import ArchitectureNumbers, Posterior, Surrogate, TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.head import HeadSurrogate, _ascend_head
from xfernas_jax.predictor.hypotheses import (
    NEGATIVE,
    NONE,
    POSITIVE,
    consensus_weights,
    draw_hypotheses,
)
from xfernas_jax.predictor.kernels import (
    KERNELS_OF_A_BLOCK,
    kernel_diagonals,
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


def data(num_rows: int, num_sources: int = 3) -> evidence.Observed:
    rng = np.random.default_rng(5)
    z = (rng.normal(size=(num_rows, 4)), rng.normal(size=(num_rows, 3)))
    scores = rng.normal(size=(num_rows, num_sources))
    kernels = kernel_matrices(z, z, measure_scales(z))
    return evidence.Observed(scores.mean(1), scores, kernels, rng.normal(size=num_rows))


def dense_covariance(h, i: int, d: evidence.Observed) -> np.ndarray:
    inner = (
        h.universal[i] ** 2 * np.outer(d.universal, d.universal)
        + h.own[i] ** 2 * d.scores @ d.scores.T
        + h.residual[i] ** 2 * sum(w * k for w, k in zip(h.mixture[i], d.kernels, strict=True))
    )
    return 25.0 + h.scale[i] ** 2 * inner


def test_weights_are_prior_times_the_gaussian_density() -> None:
    h, d = draw_hypotheses(2 * KERNELS_OF_A_BLOCK, with_sources=True), data(7)
    prior = h.prior(0.5)
    fitted = evidence.fit(h, prior, d)
    log_weight = []
    for i in range(len(prior)):
        cov = dense_covariance(h, i, d) + ((h.scale[i] * h.noise[i]) ** 2 + 1e-6) * np.eye(7)
        mean = h.scale[i] * h.slope[i] * d.universal
        log_weight.append(np.log(prior[i]) + multivariate_normal.logpdf(d.targets, mean, cov))
    expected = np.exp(np.array(log_weight) - max(log_weight))
    np.testing.assert_allclose(fitted.weights, expected / expected.sum(), rtol=1e-6)
    assert fitted.weights.sum() == pytest.approx(1.0)


def test_predictions_are_those_of_the_textbook_formula() -> None:
    h, whole = draw_hypotheses(2 * KERNELS_OF_A_BLOCK, with_sources=True), data(12)
    seen = evidence.Observed(
        whole.universal[:8], whole.scores[:8], whole.kernels[:, :8, :8], whole.targets[:8]
    )
    fitted = evidence.fit(h, h.prior(0.5), seen)
    consensus = np.full(3, 1.0 / 3.0)  # universal is the mean of the scores here
    for which in (0, 30, 50, 90):  # one of each group
        i = which
        cov = dense_covariance(h, i, whole)
        noisy = cov[:8, :8] + ((h.scale[i] * h.noise[i]) ** 2 + 1e-6) * np.eye(8)
        mean = h.scale[i] * h.slope[i] * whole.universal
        gain = np.linalg.solve(noisy, cov[:8, 8:]).T
        expected = mean[8:] + gain @ (seen.targets - mean[:8])
        one = np.zeros(len(fitted.weights))
        one[which] = 1.0
        constant, on_scores, on_kernels = evidence.coefficients(fitted, one, consensus, seen)
        cross = whole.kernels[:, 8:, :8]
        found = constant + whole.scores[8:] @ on_scores + np.einsum("kmn,kn->m", cross, on_kernels)
        np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
        across = evidence.cross_covariance(
            fitted, which, whole.universal[8:], whole.scores[8:], cross, seen
        )
        np.testing.assert_allclose(across, cov[8:, :8], rtol=1e-9)
        joint = evidence.joint_covariance(
            fitted, which, whole.universal[8:], whole.scores[8:], whole.kernels[:, 8:, 8:]
        )
        np.testing.assert_allclose(joint, cov[8:, 8:], rtol=1e-9)
        variance = evidence.prior_variance(
            fitted,
            which,
            whole.universal[8:],
            whole.scores[8:],
            np.diagonal(whole.kernels[:, 8:, 8:], axis1=1, axis2=2),
        )
        np.testing.assert_allclose(variance, np.diag(joint), rtol=1e-9)


def test_kernels_of_an_architecture_with_itself_are_the_diagonal() -> None:
    rng = np.random.default_rng(1)
    features = (rng.normal(size=(9, 4)), rng.normal(size=(9, 3)))
    scales = measure_scales(features)
    full = kernel_matrices(features, features, scales)
    diagonal = np.diagonal(full, axis1=1, axis2=2)
    np.testing.assert_allclose(kernel_diagonals(features, scales), diagonal, atol=1e-6)
    for kernel in full:  # positive semi-definite, or the model would be none
        assert np.linalg.eigvalsh(kernel).min() > -1e-9


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
    weights = after._fit.weights
    assert weights[after._fit.hypotheses.group == NEGATIVE].sum() > 0.3


@pytest.mark.slow
def test_transfer_ranks_better_than_no_transfer_with_few_observations() -> None:
    found = []
    for sources in (SOURCES, ()):
        surrogate = HeadSurrogate(SPACE, sources, QUICK)
        assert isinstance(surrogate, Surrogate)
        posterior = surrogate.condition(history(6, 8))
        assert isinstance(posterior, Posterior)
        mean, spread = posterior.mean(QUERY.tokens), posterior.spread(QUERY.tokens)
        assert (spread > 0.0).all()
        found.append(rank_correlation(mean, QUERY.scores))
    assert found[0] > 0.8
    assert found[0] > found[1] + 0.1


def test_samples_scatter_around_the_prediction() -> None:
    posterior = HeadSurrogate(SPACE, SOURCES, QUICK).condition(history(20, 8))
    tokens = QUERY.tokens[:30]
    mean, spread = posterior.mean(tokens), posterior.spread(tokens)
    draws = posterior.sample(np.random.default_rng(0), 600, tokens)
    assert draws.shape == (600, 30)
    # The mean of 600 draws has a standard error of spread / 24.5; five of them bound 30 rows.
    assert (np.abs(draws.mean(0) - mean) < 5.0 * draws.std(0) / 24.5 + 0.02).all()
    assert 0.5 < np.median(draws.std(0) / spread) < 2.0


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
        sizes.append(_ascend_head._cache_size())
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
        mean, spread = posterior.mean(QUERY.tokens), posterior.spread(QUERY.tokens)
        assert np.isfinite(mean).all()
        assert np.isfinite(spread).all()
        assert np.isfinite(posterior.sample(np.random.default_rng(0), 2, QUERY.tokens)).all()
        assert len(posterior.ascend(np.random.default_rng(0), QUERY.tokens[:3]))


@pytest.mark.parametrize("shuffled", [False, True])
def test_before_any_observation_the_consensus_ranks(shuffled: bool) -> None:
    sources = [history(100, seed, shuffled=shuffled and seed > 0) for seed in range(3)]
    surrogate = HeadSurrogate(SPACE, sources, dataclasses.replace(QUICK, source_steps=60))
    posterior = surrogate.condition(EMPTY)
    consensus = posterior._sources.features(QUERY.tokens).scores @ posterior._sources.consensus
    assert rank_correlation(posterior.mean(QUERY.tokens), consensus) > 0.999
