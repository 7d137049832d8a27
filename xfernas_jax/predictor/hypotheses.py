"""What a target may be to its sources: a fixed set of hypotheses, and their prior weights.

y = c + s (slope u + N(0, universal²) u + m·N(0, own²) + GP(residual², kernel mixture)) + noise,
with a wide prior on c. u is the consensus of the sources' scores m.

Source: our own.
"""

import dataclasses

import numpy as np

from xfernas_jax.predictor.gp import Settings

NONE, OWN, POSITIVE, NEGATIVE = range(4)
"""Groups: sources tell nothing; single sources have weights of their own; u is right; reversed."""

_COUNTS = (24, 12, 44, 16)  # hypotheses of each group, with sources
_VAR_OFFSET = 25.0  # prior variance of c; the target's scores are standardised
_JITTER = 1e-6
_NUM_ALONE = 96  # without sources: all of group NONE


@dataclasses.dataclass(frozen=True, eq=False)
class Hypotheses:
    """Settings of the target's model; see the module.

    Attributes:
      group: `[H]` one of NONE, OWN, POSITIVE, NEGATIVE.
      scale: `[H]` s.
      slope: `[H]` prior mean of the weight of u.
      universal: `[H]` its standard deviation.
      own: `[H]` standard deviation of each source's own weight.
      residual: `[H]` standard deviation of the Gaussian process, in units of s.
      noise: `[H]` standard deviation of the observation noise, in units of s.
      mixture: `[H, K]` shares of the kernels, rows sum to 1.
    """

    group: np.ndarray
    scale: np.ndarray
    slope: np.ndarray
    universal: np.ndarray
    own: np.ndarray
    residual: np.ndarray
    noise: np.ndarray
    mixture: np.ndarray

    def settings(self) -> Settings:
        """Returns them for the process whose parts are 1, u u', m·m' and the K kernels."""
        square = np.square(self.scale)
        columns = [
            np.full((len(square), 1), _VAR_OFFSET),
            (square * np.square(self.universal))[:, None],
            (square * np.square(self.own))[:, None],
            (square * np.square(self.residual))[:, None] * self.mixture,
        ]
        noise = np.square(self.scale * self.noise) + _JITTER
        return Settings(np.concatenate(columns, axis=1), noise, self.scale * self.slope)

    def prior(self, relatedness: float) -> np.ndarray:
        """Returns weights `[H]`: a group's share is divided evenly among its members.

        Args:
          relatedness: in [0, 1], how well sources tell of one another. A few hundred noisy
            scores hide part of it: sources that serve each other perfectly show about 0.6.
        """
        r = min(max(1.5 * relatedness, 0.1), 0.9)
        shares = np.array([0.85 * (1.0 - r), 0.15 * (1.0 - r), 0.9 * r, 0.1 * r])
        counts = np.bincount(self.group, minlength=4)
        shares = np.where(counts > 0, shares, 0.0)
        return (shares / shares.sum() / np.maximum(counts, 1))[self.group]


def draw_hypotheses(num_kernels: int, with_sources: bool, num_blind: int = 0) -> Hypotheses:
    """Draws the fixed set: stratified in every setting, the same at every call.

    The ranges are wide; evidence does the rest.

    Args:
      num_kernels: K.
      with_sources: whether there are any.
      num_blind: of the kernels, the last, that know nothing of the sources' scores. Where there are
        any, sources that tell nothing have no part in the others.
    """
    counts = _COUNTS if with_sources else (_NUM_ALONE, 0, 0, 0)
    parts = [_draw_group(g, n, num_kernels) for g, n in enumerate(counts) if n]
    if with_sources and num_blind:
        mixture = parts[NONE][-1]
        mixture[:, : num_kernels - num_blind] = 0.0
        mixture /= mixture.sum(axis=1, keepdims=True)
    return Hypotheses(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _draw_group(group: int, count: int, num_kernels: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng([20, group])
    cube = _latin_hypercube(count, 6, rng)

    def log_uniform(column: int, low: float, high: float) -> np.ndarray:
        return low * (high / low) ** cube[:, column]

    alone = group == NONE
    sign = {POSITIVE: 1.0, NEGATIVE: -1.0}.get(group, 0.0)
    return (
        np.full(count, group),
        log_uniform(0, 0.5, 4.0),
        sign * (0.1 + 1.1 * cube[:, 1]),
        np.zeros(count) if alone else log_uniform(2, 0.05, 0.7),
        np.zeros(count) if alone else log_uniform(3, 0.03, 0.6),
        log_uniform(4, 0.5, 2.0) if alone else log_uniform(4, 0.15, 1.2),
        log_uniform(5, 0.04, 0.7),
        rng.dirichlet(np.ones(num_kernels), count),
    )


def _latin_hypercube(count: int, dimensions: int, rng: np.random.Generator) -> np.ndarray:
    """Draws `[count, dimensions]` of [0, 1): in each column one number in each of `count` strata.

    As `scipy.stats.qmc.LatinHypercube` draws them, to the bit; importing it takes .7 s.
    """
    (own,) = rng.spawn(1)
    within = own.uniform(size=(count, dimensions))
    strata = np.tile(np.arange(1, count + 1), (dimensions, 1))
    for row in strata:
        own.shuffle(row)
    return (strata.T - within) / count


def consensus_weights(scores: np.ndarray) -> np.ndarray:
    """Returns weights `[J]` of the sources in the universal score u.

    They are the leading eigenvector of the sources' second moments, with the sign of the
    majority: a source that contradicts the others gets a negative weight, one that is
    unrelated to them almost none.

    Args:
      scores: `[N, J]` the sources' scores of random architectures.
    """
    if not scores.shape[1]:
        return np.zeros(0)
    centred = scores - scores.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    leading = vectors[:, -1]
    leading = leading if leading.sum() >= 0.0 else -leading
    return leading / max(np.abs(leading).sum(), 1e-12)
