"""One Gaussian process under many settings at once, in closed form: NumPy, float64.

y(x) = slope b(x) + GP(0, Σ_p gain_p part_p) + noise, where b is a given function and the parts are
given covariances. Each setting has gains, a slope and a noise of its own; what is not known of them
is left to their evidence.

Source: the textbook formulas of Gaussian-process regression (Rasmussen & Williams 2006).
"""

import dataclasses

import numpy as np
from scipy.linalg import solve_triangular


@dataclasses.dataclass(frozen=True, eq=False)
class Settings:
    """H settings of one process with P parts.

    Attributes:
      gains: `[H, P]` variances, by which the parts are multiplied.
      noise: `[H]` variance of the observation noise.
      slopes: `[H]` of the prior mean.
    """

    gains: np.ndarray
    noise: np.ndarray
    slopes: np.ndarray

    def covariances(self, parts: np.ndarray) -> np.ndarray:
        """Returns `[H, N, M]` without noise, of parts `[P, N, M]`."""
        mixed = self.gains @ parts.reshape(len(parts), -1)
        return mixed.reshape(len(self.gains), *parts.shape[1:])


class GaussianProcess:
    """All settings after N observations; N may be 0.

    Attributes:
      settings: see there.
      squares: `[H]` squared length of the whitened observations less their prior mean.
      log_determinants: `[H]` of the Cholesky factors: half of those of the covariances.
    """

    def __init__(
        self,
        settings: Settings,
        parts: np.ndarray,
        base: np.ndarray,
        targets: np.ndarray,
        known_noise: np.ndarray | float = 0.0,
    ) -> None:
        """Factorises the covariance of every setting.

        Args:
          settings: H of them.
          parts: `[P, N, N]` between the observed.
          base: `[N]` b of the observed.
          targets: `[N]`.
          known_noise: `[N]` variances that every setting's noise is added to.
        """
        self.settings = settings
        covariances, diagonal = settings.covariances(parts), np.arange(len(targets))
        covariances[:, diagonal, diagonal] += settings.noise[:, None] + known_noise
        self._factors = np.linalg.cholesky(covariances)
        residuals = targets - settings.slopes[:, None] * base
        white = self._solve(residuals, transposed=False)
        self.squares = np.square(white).sum(1)
        self.log_determinants = np.log(np.diagonal(self._factors, axis1=1, axis2=2)).sum(1)
        self._alphas = self._solve(white, transposed=True)

    def weights(self, prior: np.ndarray) -> np.ndarray:
        """Returns posterior weights `[H]` of sum 1: prior weights times the evidence."""
        log_prior = np.log(np.maximum(prior, 1e-300))
        log_weights = log_prior - 0.5 * self.squares - self.log_determinants
        weights = np.exp(log_weights - log_weights.max())
        return weights / weights.sum()

    def coefficients(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Writes a mixture of posterior means as one function.

        Args:
          weights: `[H]` of the settings.

        Returns:
          A slope and `[P, N]`: mean(x) = slope b(x) + Σ_p part_p(x, observed)·coefficients_p.
        """
        gains = weights[:, None] * self.settings.gains
        return float(weights @ self.settings.slopes), gains.T @ self._alphas

    def covariance(self, which: int, cross: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Returns the posterior covariance `[M, M]` of M others under one setting, without noise.

        Args:
          which: index of the setting.
          cross: `[P, M, N]` parts between them and the observed.
          own: `[P, M, M]` parts between them.
        """
        gains = self.settings.gains[which]
        across = np.tensordot(gains, cross, axes=1)
        white = solve_triangular(self._factors[which], across.T, lower=True)
        return np.tensordot(gains, own, axes=1) - white.T @ white

    def variance(self, which: int, cross: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Returns the diagonal `[M]` of `covariance`; `own` are the diagonals `[P, M]`."""
        gains = self.settings.gains[which]
        across = np.tensordot(gains, cross, axes=1)
        white = solve_triangular(self._factors[which], across.T, lower=True)
        return np.maximum(gains @ own - np.square(white).sum(0), 0.0)

    def _solve(self, values: np.ndarray, transposed: bool) -> np.ndarray:
        """Divides `[H, N]` by the factors, or by their transposes."""
        solved = [
            solve_triangular(factor, row, lower=True, trans=int(transposed))
            for factor, row in zip(self._factors, values, strict=True)
        ]
        return np.stack(solved)


def draw(rng: np.random.Generator, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Draws `[M]` jointly; rounding may have made the covariance slightly indefinite."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return mean + root @ rng.standard_normal(len(mean))
