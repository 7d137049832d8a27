# pyright: reportReturnType=false
"""The one Gaussian process, against dense textbook formulas."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from xfernas_jax.predictor.gp import GaussianProcess, Settings, draw
from xfernas_jax.predictor.hypotheses import draw_hypotheses
from xfernas_jax.predictor.kernels import KERNELS_OF_A_BLOCK

RNG = np.random.default_rng(5)
NUM_SEEN, NUM_ALL, NUM_PARTS = 8, 12, 3
ROOTS = RNG.normal(size=(NUM_PARTS, NUM_ALL, 5))
PARTS = ROOTS @ np.swapaxes(ROOTS, 1, 2)  # [P, 12, 12]
BASE, TARGETS = RNG.normal(size=NUM_ALL), RNG.normal(size=NUM_SEEN)
SETTINGS = Settings(
    RNG.uniform(0.1, 2.0, (6, NUM_PARTS)), RNG.uniform(0.01, 0.5, 6), RNG.normal(size=6)
)
SEEN = slice(NUM_SEEN)


def process(settings: Settings = SETTINGS, num_seen: int = NUM_SEEN) -> GaussianProcess:
    parts = PARTS[: settings.gains.shape[1], :num_seen, :num_seen]
    return GaussianProcess(settings, parts, BASE[:num_seen], TARGETS[:num_seen])


def dense(which: int) -> np.ndarray:
    """Returns the covariance of all under one setting, without noise."""
    return sum(g * part for g, part in zip(SETTINGS.gains[which], PARTS, strict=True))


def noisy(which: int) -> np.ndarray:
    return dense(which)[SEEN, SEEN] + SETTINGS.noise[which] * np.eye(NUM_SEEN)


def test_weights_are_prior_times_the_gaussian_density() -> None:
    prior = RNG.dirichlet(np.ones(6))
    densities = [
        multivariate_normal.pdf(TARGETS, SETTINGS.slopes[i] * BASE[SEEN], noisy(i))
        for i in range(6)
    ]
    expected = prior * densities / (prior @ densities)
    np.testing.assert_allclose(process().weights(prior), expected, rtol=1e-8)


def test_a_mean_is_the_textbook_formula_and_mixtures_are_linear() -> None:
    fitted, cross, means = process(), PARTS[:, NUM_SEEN:, SEEN], []
    for i in range(6):
        prior_mean = SETTINGS.slopes[i] * BASE
        gain = np.linalg.solve(noisy(i), dense(i)[SEEN, NUM_SEEN:]).T
        means.append(prior_mean[NUM_SEEN:] + gain @ (TARGETS - prior_mean[SEEN]))
    for weights in (*np.eye(6), RNG.dirichlet(np.ones(6))):
        slope, coefficients = fitted.coefficients(weights)
        found = slope * BASE[NUM_SEEN:] + np.einsum("pmn,pn->m", cross, coefficients)
        np.testing.assert_allclose(found, weights @ means, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("which", range(6))
def test_a_posterior_covariance_is_the_textbook_formula(which: int) -> None:
    whole = dense(which)
    across = whole[NUM_SEEN:, SEEN]
    expected = whole[NUM_SEEN:, NUM_SEEN:] - across @ np.linalg.solve(noisy(which), across.T)
    cross, own = PARTS[:, NUM_SEEN:, SEEN], PARTS[:, NUM_SEEN:, NUM_SEEN:]
    np.testing.assert_allclose(process().covariance(which, cross, own), expected, atol=1e-8)


def test_draws_have_the_mean_and_the_covariance() -> None:
    covariance, mean = dense(0)[:3, :3], np.array([1.0, -2.0, 3.0])
    rng = np.random.default_rng(0)
    draws = np.stack([draw(rng, mean, covariance) for _ in range(4000)])
    # Standard errors are below spread / 63 and, of a covariance, variance / 45; five of them.
    spread = np.sqrt(np.diag(covariance))
    assert (np.abs(draws.mean(0) - mean) < spread / 12).all()
    assert (np.abs(np.cov(draws.T) - covariance) < np.outer(spread, spread) / 9).all()


def test_without_observations_the_prior_stays() -> None:
    fitted, prior = process(num_seen=0), RNG.dirichlet(np.ones(6))
    np.testing.assert_allclose(fitted.weights(prior), prior)
    slope, coefficients = fitted.coefficients(prior)
    assert slope == pytest.approx(prior @ SETTINGS.slopes)
    assert coefficients.shape == (NUM_PARTS, 0)
    own = PARTS[:, :4, :4]
    np.testing.assert_allclose(fitted.covariance(2, own[..., :0], own), dense(2)[:4, :4])


def test_hypotheses_are_settings_of_the_process() -> None:
    h = draw_hypotheses(2 * KERNELS_OF_A_BLOCK, with_sources=True)
    settings = h.settings()
    for i in (0, 30, 50, 90):  # one of each group
        s = h.scale[i] ** 2
        parts = [s * h.universal[i] ** 2, s * h.own[i] ** 2]
        mixed = s * h.residual[i] ** 2 * h.mixture[i]
        np.testing.assert_allclose(settings.gains[i], [25.0, *parts, *mixed])
        assert settings.slopes[i] == pytest.approx(h.scale[i] * h.slope[i])
        assert settings.noise[i] == pytest.approx((h.scale[i] * h.noise[i]) ** 2 + 1e-6)


def test_known_noise_adds_to_that_of_every_setting() -> None:
    more = RNG.uniform(0.1, 1.0, NUM_SEEN)
    fitted = GaussianProcess(SETTINGS, PARTS[:, SEEN, SEEN], BASE[SEEN], TARGETS, known_noise=more)
    prior = np.full(6, 1 / 6)
    densities = [
        multivariate_normal.pdf(TARGETS, SETTINGS.slopes[i] * BASE[SEEN], noisy(i) + np.diag(more))
        for i in range(6)
    ]
    np.testing.assert_allclose(fitted.weights(prior), densities / np.sum(densities), rtol=1e-8)
