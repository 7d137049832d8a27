"""The target's model in closed form: each hypothesis is a Gaussian process, weighted by evidence.

y = c + s (slope u + N(0, universal²) u + m·N(0, own²) + GP(residual², kernel mixture)) + noise,
with a wide prior on c. u is the consensus of the sources' scores m. All in NumPy, float64.

Source: our own; the textbook formulas of Gaussian-process regression (Rasmussen & Williams 2006).
"""

import dataclasses

import numpy as np
from scipy.linalg import solve_triangular

from xfernas_jax.predictor.hypotheses import Hypotheses

_VAR_OFFSET = 25.0  # prior variance of c; the target's scores are standardised
_JITTER = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Observed:
    """Architectures as the head sees them, with their kernel matrices.

    Attributes:
      universal: `[N]` u.
      scores: `[N, J]` m.
      kernels: `[K, N, N]` between the observed architectures.
      targets: `[N]` standardised target scores.
    """

    universal: np.ndarray
    scores: np.ndarray
    kernels: np.ndarray
    targets: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """Hypotheses after the observations.

    Attributes:
      hypotheses: all of them.
      weights: `[H]` posterior weights; sum to 1.
      factors: `[H, N, N]` lower Cholesky factors of their covariances.
      alphas: `[H, N]` covariance⁻¹ (targets - prior mean).
    """

    hypotheses: Hypotheses
    weights: np.ndarray
    factors: np.ndarray
    alphas: np.ndarray


def fit(hypotheses: Hypotheses, prior: np.ndarray, data: Observed) -> Fit:
    """Weighs every hypothesis by its prior and the evidence of the observations.

    Args:
      hypotheses: H of them.
      prior: `[H]`.
      data: N observations; N may be 0.
    """
    count = len(data.targets)
    cov = _covariance(hypotheses, data.universal, data.scores, data.kernels)
    noise = np.square(hypotheses.scale * hypotheses.noise) + _JITTER
    cov[:, np.arange(count), np.arange(count)] += noise[:, None]
    residual = data.targets[None] - _prior_mean(hypotheses, data.universal)
    factors = np.linalg.cholesky(cov)
    whitened = np.stack(
        [solve_triangular(f, r, lower=True) for f, r in zip(factors, residual, strict=True)]
    )
    log_det = np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(1)
    log_weight = np.log(np.maximum(prior, 1e-300)) - 0.5 * np.square(whitened).sum(1) - log_det
    weights = np.exp(log_weight - log_weight.max())
    weights /= weights.sum()
    alphas = np.stack(
        [
            solve_triangular(f, w, lower=True, trans=1)
            for f, w in zip(factors, whitened, strict=True)
        ]
    )
    return Fit(hypotheses, weights, factors, alphas)


def coefficients(
    fitted: Fit, weights: np.ndarray, consensus: np.ndarray, data: Observed
) -> tuple[float, np.ndarray, np.ndarray]:
    """Writes a mixture of posterior means as one function of an architecture.

    Args:
      fitted: see `fit`.
      weights: `[H]` of the hypotheses.
      consensus: `[J]` weights of the sources in u.
      data: the observations of the fit.

    Returns:
      Constant, `[J]` coefficients of m and `[K, N]` coefficients of the kernels to the
      observations: mean(x) = constant + m(x)·a + Σ_k kernel_k(x, observed)·b_k.
    """
    h = fitted.hypotheses
    s2 = np.square(h.scale)
    universal = h.scale * h.slope + s2 * np.square(h.universal) * (fitted.alphas @ data.universal)
    own = (s2 * np.square(h.own))[:, None] * (fitted.alphas @ data.scores)  # [H, J]
    constant = float(weights @ (_VAR_OFFSET * fitted.alphas.sum(1)))
    on_scores = (weights @ universal) * consensus + weights @ own
    gain = weights * s2 * np.square(h.residual)
    on_kernels = (gain[:, None] * h.mixture).T @ fitted.alphas  # [K, N]
    return constant, on_scores, on_kernels


def cross_covariance(
    fitted: Fit,
    which: int,
    universal: np.ndarray,
    scores: np.ndarray,
    cross: np.ndarray,
    data: Observed,
) -> np.ndarray:
    """Returns the covariance `[M, N]` of M architectures with the observed ones.

    Args:
      fitted: see `fit`.
      which: index of the hypothesis.
      universal: `[M]` u of the architectures.
      scores: `[M, J]` m.
      cross: `[K, M, N]` kernels.
      data: the observations of the fit.
    """
    h = _select(fitted.hypotheses, which)
    linear = (
        np.square(h.universal[0]) * np.outer(universal, data.universal)
        + np.square(h.own[0]) * scores @ data.scores.T
        + np.square(h.residual[0]) * np.tensordot(h.mixture[0], cross, axes=1)
    )
    return _VAR_OFFSET + np.square(h.scale[0]) * linear


def joint_covariance(
    fitted: Fit, which: int, universal: np.ndarray, scores: np.ndarray, kernels: np.ndarray
) -> np.ndarray:
    """Returns the prior covariance `[M, M]` of M architectures under one hypothesis."""
    h = _select(fitted.hypotheses, which)
    return _covariance(h, universal, scores, kernels)[0]


def prior_variance(
    fitted: Fit, which: int, universal: np.ndarray, scores: np.ndarray, diagonals: np.ndarray
) -> np.ndarray:
    """Returns the prior variances `[M]`; `diagonals` are `[K, M]` kernels of each with itself."""
    h = _select(fitted.hypotheses, which)
    inner = (
        np.square(h.universal[0] * universal)
        + np.square(h.own[0]) * np.square(scores).sum(1)
        + np.square(h.residual[0]) * (h.mixture[0] @ diagonals)
    )
    return _VAR_OFFSET + np.square(h.scale[0]) * inner


def _select(hypotheses: Hypotheses, which: int) -> Hypotheses:
    """Returns one hypothesis, as arrays of length 1."""
    fields = dataclasses.fields(hypotheses)
    return Hypotheses(*(getattr(hypotheses, f.name)[which : which + 1] for f in fields))


def _prior_mean(h: Hypotheses, universal: np.ndarray) -> np.ndarray:
    return (h.scale * h.slope)[:, None] * universal[None]


def _covariance(
    h: Hypotheses, universal: np.ndarray, scores: np.ndarray, kernels: np.ndarray
) -> np.ndarray:
    """Returns `[H, N, N]` without noise."""
    size = len(universal)
    parts = np.concatenate(
        [
            np.outer(universal, universal)[None],
            (scores @ scores.T)[None],
            kernels,
        ]
    ).reshape(2 + len(kernels), size * size)
    gains = np.concatenate(
        [
            np.square(h.universal)[:, None],
            np.square(h.own)[:, None],
            np.square(h.residual)[:, None] * h.mixture,
        ],
        axis=1,
    )
    cov = (np.square(h.scale)[:, None] * gains) @ parts
    return cov.reshape(len(gains), size, size) + _VAR_OFFSET
