"""How much each parameter of a grid matters to a task: a Gaussian process fitted by evidence.

y = GP(0, v (k + noise)), k the Matérn 5/2 kernel of the distance r, r² = Σ_p weight_p gap_p², where
gap_p² is the squared distance in parameter p. v is profiled out.

Source: the textbook formulas of Gaussian-process regression (Rasmussen & Williams 2006).
"""

import dataclasses

import numpy as np
from scipy.linalg import cho_factor, cho_solve

_SPREAD = 1.5  # standard deviation of log weights around what is expected
_NOISE, _NOISE_SPREAD = 0.05, 1.5  # of the noise's variance, in units of v
_PRIOR_ROWS = 2.0  # rows of variance 1 that v is drawn towards
_MAX_STEPS = 40
_LIMIT = 7.0  # of a log weight's distance from what is expected
_ROOT = 5.0**0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Relevance:
    """What was fitted.

    Attributes:
      log_weights: `[P]`.
      noise: variance in units of v.
    """

    log_weights: np.ndarray
    noise: float


def matern(square: np.ndarray) -> np.ndarray:
    """Returns the Matérn 5/2 kernel of squared distances, which are not negative."""
    r = _ROOT * np.sqrt(square)
    return (1.0 + r + r * r / 3.0) * np.exp(-r)


def square_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns `[N, M]` of `[N, D]` and `[M, D]`."""
    lengths = np.square(first).sum(1)[:, None] + np.square(second).sum(1)[None]
    return np.maximum(lengths - 2.0 * first @ second.T, 0.0)


def expected_log_weights(num_parameters: int) -> np.ndarray:
    """Returns `[P]` where nothing is known: two random points are about one length apart."""
    return np.full(num_parameters, np.log(4.0 / num_parameters))


def fit_relevance(
    coordinates: np.ndarray, columns: np.ndarray, scores: np.ndarray, expected: np.ndarray
) -> Relevance:
    """Finds the weights of most evidence, times a prior.

    Args:
      coordinates: `[N, D]`, N may be 0.
      columns: `[D]` the parameter of each column.
      scores: `[N]`, standardised.
      expected: `[P]` centre of the log weights' prior.
    """
    num_parameters = len(expected)
    start = np.append(expected, np.log(_NOISE))
    if len(scores) < 2 or not np.ptp(scores):
        return Relevance(expected, _NOISE)
    from scipy.optimize import minimize  # loads in .2 s, which other searches need not wait for

    gaps = np.stack([
        square_distances(coordinates[:, columns == p], coordinates[:, columns == p])
        for p in range(num_parameters)
    ])  # fmt: skip
    spreads = np.append(np.full(num_parameters, _SPREAD), _NOISE_SPREAD)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        away = (theta - start) / spreads
        value, gradient = _evidence(theta, gaps, scores)
        return value + 0.5 * float(away @ away), gradient + away / spreads

    bounds = [(centre - _LIMIT, centre + _LIMIT) for centre in start]
    options = {"maxiter": _MAX_STEPS}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    return Relevance(found[:-1], float(np.exp(found[-1])))


def _evidence(theta: np.ndarray, gaps: np.ndarray, scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Returns the negative log evidence and its gradient by log weights and log noise."""
    weights, noise, count = np.exp(theta[:-1]), np.exp(theta[-1]), len(scores)
    r = np.sqrt(np.tensordot(weights, gaps, axes=1))
    decay = np.exp(-_ROOT * r)
    matrix = (1.0 + _ROOT * r + 5.0 / 3.0 * r * r) * decay
    factor = cho_factor(matrix + (noise + 1e-8) * np.eye(count), lower=True)
    alpha, inverse = cho_solve(factor, scores), cho_solve(factor, np.eye(count))
    rows, square = count + _PRIOR_ROWS, float(scores @ alpha) + _PRIOR_ROWS
    value = 0.5 * rows * np.log(square) + np.log(np.diag(factor[0])).sum()
    by_matrix = 0.5 * inverse - 0.5 * rows / square * np.outer(alpha, alpha)
    by_square = by_matrix * (-5.0 / 6.0) * (1.0 + _ROOT * r) * decay
    by_weights = np.tensordot(gaps, by_square, axes=2) * weights
    return float(value), np.append(by_weights, noise * np.trace(by_matrix))
