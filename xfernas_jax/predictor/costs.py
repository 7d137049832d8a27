"""What architectures cost: the network's output for it, fitted to the target in closed form.

log cost = A + S (offset + slope c(z) + GP(kernels on z and h) + noise), where c is the output that
the network learned from the sources. Settings of the noise, the slope and the process are weighed
by their evidence. Costs are far less noisy than scores and mostly sums over operations, so a few
observations fix them.

Source: our own.
"""

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.gp import GaussianProcess, Settings
from xfernas_jax.predictor.kernels import KERNELS_OF_A_BLOCK, Scales, kernel_matrices

_SLOPES = (0.0, 1.0)  # prior mean of the slope; its deviation is half of that
_RESIDUALS = (0.1, 0.5, 1.5)
_NOISES = (0.02, 0.1, 0.4)
_LINEAR, _SMOOTH = 0, 1  # kernels of a block
_VAR_OFFSET = 25.0
_MAX_OBSERVED = 256
_CHUNK = 8192


@dataclasses.dataclass(frozen=True, eq=False)
class CostFeatures:
    """Architectures as the cost model sees them.

    Attributes:
      outputs: `[N, C]` c, standardised log costs by the network.
      blocks: features `[N, P]` on which there are kernels.
    """

    outputs: np.ndarray
    blocks: tuple[np.ndarray, ...]

    def __getitem__(self, rows: np.ndarray) -> "CostFeatures":
        return CostFeatures(self.outputs[rows], tuple(block[rows] for block in self.blocks))


def log_costs(history: TaskHistory) -> np.ndarray:
    """Returns `[N, C]`; NaN where a cost is not known, or 0, which means the same."""
    assert history.costs is not None
    costs = history.costs
    return np.log(np.where(costs > 0.0, costs, np.nan))


def standardized_log_costs(history: TaskHistory) -> np.ndarray:
    """Returns `[N, C]` log costs in units of their spread over the history; NaN where unknown."""
    logs = log_costs(history)
    columns = []
    for column in logs.T:
        place = _place([column])
        columns.append(column if place is None else (column - place[0]) / place[1])
    return np.stack(columns, axis=1) if columns else logs


def _place(columns: Sequence[np.ndarray]) -> tuple[float, float] | None:
    """Returns mean and spread of log costs, averaged over tasks; None where none is known."""
    known = [column[np.isfinite(column)] for column in columns]
    known = [column for column in known if len(column)]
    if not known:
        return None
    spread = float(np.mean([column.std() for column in known]))
    return float(np.mean([column.mean() for column in known])), spread if spread > 1e-6 else 1.0


def _settings(slopes: Sequence[float]) -> Settings:
    """Returns the grid of settings; the parts are an offset, c and the kernel."""
    slope, residual, noise = np.array(list(itertools.product(slopes, _RESIDUALS, _NOISES))).T
    gains = [np.full(len(slope), _VAR_OFFSET), np.square(0.5 * slope), np.square(residual)]
    return Settings(np.stack(gains, axis=1), np.square(noise), slope)


class CostPredictor:
    """All costs of the target; see the module."""

    def __init__(
        self,
        featurize: Callable[[np.ndarray], CostFeatures],
        scales: Scales,
        sources: Sequence[TaskHistory],
        target: TaskHistory,
    ) -> None:
        """Fits one model to each cost.

        Args:
          featurize: from tokens `[N, L]`.
          scales: of its blocks.
          sources: that the network has learned.
          target: N observations.
        """
        self._featurize = featurize
        observed = featurize(target.tokens)
        self._models = [
            CostModel(column, sources, target, observed, scales)
            for column in range(observed.outputs.shape[1])
        ]

    def predict(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[M, C]`; see `Posterior.costs`."""
        parts = [np.zeros((0, len(self._models)))]
        for start in range(0, len(tokens), _CHUNK):
            features = self._featurize(tokens[start : start + _CHUNK])
            parts.append(np.stack([model.predict(features) for model in self._models], axis=1))
        return np.concatenate(parts)


class CostModel:
    """One cost of the target: given sources, what they say, corrected by what was observed."""

    def __init__(
        self,
        column: int,
        sources: Sequence[TaskHistory],
        target: TaskHistory,
        observed: CostFeatures,
        scales: Scales,
    ) -> None:
        """Fits all settings.

        Args:
          column: of the costs.
          sources: that the network has learned.
          target: N observations.
          observed: the features of these.
          scales: of the blocks.
        """
        of_sources = [log_costs(source)[:, column] for source in sources]
        values = log_costs(target)[:, column]
        self._column, self._scales = column, scales
        self._place = _place(of_sources) or _place([values])
        knows_sources = _place(of_sources) is not None
        rows = np.flatnonzero(np.isfinite(values))
        if len(rows) > _MAX_OBSERVED:
            rows = rows[np.linspace(0, len(rows) - 1, _MAX_OBSERVED).round().astype(int)]
        self._observed = observed[rows]
        mean, spread = self._place or (0.0, 1.0)
        process = GaussianProcess(
            _settings(_SLOPES if knows_sources else (0.0,)),
            self._parts(self._observed),
            self._observed.outputs[:, column],
            (values[rows] - mean) / spread,
        )
        weights = process.weights(np.ones(len(process.squares)))
        self._slope, self._coefficients = process.coefficients(weights)

    def predict(self, features: CostFeatures) -> np.ndarray:
        """Returns costs `[M]`, the median in the cost's own unit; NaN where nothing is known."""
        if self._place is None:
            return np.full(len(features.outputs), np.nan)
        learned = np.einsum("pmn,pn->m", self._parts(features), self._coefficients)
        mean, spread = self._place
        return np.exp(mean + spread * (self._slope * features.outputs[:, self._column] + learned))

    def _parts(self, features: CostFeatures) -> np.ndarray:
        """Returns `[3, M, N]` to the observed: 1, c c', and the kernel over all blocks."""
        both = kernel_matrices(features.blocks, self._observed.blocks, self._scales)
        both = both.reshape(len(features.blocks), KERNELS_OF_A_BLOCK, *both.shape[1:])
        kernel = both[:, [_LINEAR, _SMOOTH]].mean((0, 1))
        first, second = (x.outputs[:, self._column] for x in (features, self._observed))
        return np.stack([np.ones_like(kernel), np.outer(first, second), kernel])
