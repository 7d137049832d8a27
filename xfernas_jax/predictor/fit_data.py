"""The rows that an ensemble is fitted to: those of all tasks, padded."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.costs import standardized_log_costs
from xfernas_jax.predictor.padding import capacity
from xfernas_jax.predictor.scaling import rank_to_normal

TARGET = 0  # row of the target in every array over tasks
_MIN_SOURCE_ROWS, _MIN_TARGET_ROWS = 64, 128


class FitData(NamedTuple):
    """Labelled rows of all tasks, padded; no result depends on the padding.

    Attributes:
      tokens: `[N, L]` int32.
      scores: `[N]` standardised by task.
      first_row: `[T]` where each task's rows begin.
      num_rows: `[T]` how many it has; 0 marks padding.
      cumulative_share: `[T]` cumulative shares of the tasks in a labelled batch; all 0 where
        there are no labels.
      is_source: `[T]` 1.0 for sources.
      unlabelled: `[U, L]` random architectures.
      costs: `[N, C]` log costs, standardised by task; 0 where unknown.
      knows_cost: `[N, C]` 1.0 where known.
    """

    tokens: np.ndarray
    scores: np.ndarray
    first_row: np.ndarray
    num_rows: np.ndarray
    cumulative_share: np.ndarray
    is_source: np.ndarray
    unlabelled: np.ndarray
    costs: np.ndarray
    knows_cost: np.ndarray

    def to_bytes(self) -> list[bytes]:
        """Returns the content of every array."""
        return [np.ascontiguousarray(array).tobytes() for array in self]


def join_sources(
    sources: Sequence[TaskHistory], unlabelled: np.ndarray, num_tasks: int, num_costs: int
) -> FitData:
    """Returns the rows of the sources, and room for those of a target.

    Args:
      sources: J of them, at slots 1 to J; none is empty.
      unlabelled: `[U, L]`.
      num_tasks: T, above J.
      num_costs: C.
    """
    size = capacity(sum(len(source.scores) for source in sources), _MIN_SOURCE_ROWS)
    tokens = np.tile(unlabelled[:1], (size + _MIN_TARGET_ROWS, 1))
    scores = np.zeros(len(tokens), np.float32)
    costs = np.full((len(tokens), num_costs), np.nan)
    first_row, num_rows = np.zeros(num_tasks, np.int32), np.zeros(num_tasks, np.int32)
    row = 0
    for slot, source in enumerate(sources, start=1):
        first_row[slot], num_rows[slot] = row, len(source.scores)
        rows = slice(row, row + num_rows[slot])
        tokens[rows], scores[rows] = source.tokens, rank_to_normal(source.scores)
        costs[rows] = standardized_log_costs(source)
        row = rows.stop
    first_row[TARGET] = size
    is_source = (num_rows > 0).astype(np.float32)
    return FitData(
        tokens,
        scores,
        first_row,
        num_rows,
        _cumulative_share(is_source, None),
        is_source,
        unlabelled,
        np.nan_to_num(costs).astype(np.float32),
        np.isfinite(costs).astype(np.float32),
    )


def add_target(
    data: FitData, tokens: np.ndarray, scores: np.ndarray, target_share: float
) -> FitData:
    """Returns the rows of the sources with those of the target after them.

    Args:
      data: of `join_sources`.
      tokens: `[N, L]`, N at least 1.
      scores: `[N]` float32, standardised.
      target_share: of the labelled batch, if there are sources.
    """
    start, room = int(data.first_row[TARGET]), capacity(len(scores), _MIN_TARGET_ROWS)
    num_rows = data.num_rows.copy()
    num_rows[TARGET] = len(scores)

    def replace(rows: np.ndarray, new: np.ndarray, padding: np.ndarray | float) -> np.ndarray:
        rest = np.full((room - len(new), *rows.shape[1:]), padding, rows.dtype)
        return np.concatenate([rows[:start], new, rest])

    nothing = np.zeros((0, data.costs.shape[1]), np.float32)
    return data._replace(
        tokens=replace(data.tokens, tokens, data.unlabelled[0]),
        scores=replace(data.scores, scores, 0.0),
        num_rows=num_rows,
        cumulative_share=_cumulative_share(data.is_source, target_share),
        costs=replace(data.costs, nothing, 0.0),
        knows_cost=replace(data.knows_cost, nothing, 0.0),
    )


def _cumulative_share(is_source: np.ndarray, target_share: float | None) -> np.ndarray:
    """Returns `[T]`; the sources divide evenly what the target leaves (None: there is none)."""
    share = is_source.astype(np.float64) / max(float(is_source.sum()), 1.0)
    if target_share is not None:
        share *= 1.0 - target_share
        share[TARGET] = target_share if is_source.any() else 1.0
    return np.cumsum(share).astype(np.float32)
