"""What a surrogate has learned of its tasks, for people: which are alike, which sources count."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from xfernas_jax.errors import HistoryError
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.scaling import average_ranks


@dataclasses.dataclass(frozen=True)
class TaskRelations:
    """How a target and its J sources relate, by what was learned.

    Attributes:
      names: of T = 1 + J tasks, the target first.
      similarity: `[T, T]` rank correlation of the scores that are predicted under two tasks, over
        random architectures; in [-1, 1], symmetric.
      source_weights: `[J]` by how much the target's prediction rises, in standard deviations of
        the target's scores, when a source's score rises by one standard deviation of its own. Of
        sources that agree, one may carry the weight of all.
      no_transfer_probability: that the sources tell nothing, in [0, 1]; None where the surrogate
        does not weigh this.
    """

    names: tuple[str, ...]
    similarity: tuple[tuple[float, ...], ...]
    source_weights: tuple[float, ...]
    no_transfer_probability: float | None = None

    def __post_init__(self) -> None:
        size, probability = len(self.names), self.no_transfer_probability
        shapes = [len(self.similarity), 1 + len(self.source_weights), *map(len, self.similarity)]
        values = [*(x for row in self.similarity for x in row), *self.source_weights]
        if (
            size < 2
            or set(shapes) != {size}
            or not all(math.isfinite(value) for value in values)
            or not all(abs(value) <= 1.0 + 1e-6 for row in self.similarity for value in row)
            or (probability is not None and not 0.0 <= probability <= 1.0)
        ):
            raise HistoryError(
                "Relations of T tasks are T names, T x T correlations and T - 1 finite weights. "
                f"Got {self!r:.160}."
            )

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON object that `from_json` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "TaskRelations":
        """Reads `to_json`'s object; `HistoryError` for any other."""
        fields = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(value, Mapping) or sorted(value) != sorted(fields):
            raise HistoryError(f"Relations are an object of {', '.join(fields)}.")
        names, rows = value["names"], value["similarity"]
        weights, probability = value["source_weights"], value["no_transfer_probability"]
        if (
            not _is_list_of(names, (str,))
            or not _is_list_of(rows, (list,))
            or not all(_is_list_of(row, (int, float)) for row in rows)
            or not _is_list_of(weights, (int, float))
            or type(probability) not in (int, float, type(None))
        ):
            raise HistoryError("Relations hold lists of names and numbers.")
        return cls(
            tuple(names),
            tuple(tuple(map(float, row)) for row in rows),
            tuple(map(float, weights)),
            None if probability is None else float(probability),
        )


@runtime_checkable
class ExplainingSurrogate(Protocol):
    """A surrogate that can say what it has learned of its tasks."""

    def relations(self, target: TaskHistory) -> TaskRelations | None:
        """Returns how the tasks relate after the target's observations; None without sources."""
        ...


def relate(
    target: str,
    sources: Sequence[str],
    target_scores: np.ndarray,
    source_scores: np.ndarray,
    coefficients: np.ndarray,
    no_transfer_probability: float | None = None,
) -> TaskRelations:
    """Describes tasks by predictions of the same N architectures.

    Args:
      target: its name.
      sources: their names; the answer has them in alphabetical order.
      target_scores: `[N]`, standardised.
      source_scores: `[N, J]`.
      coefficients: `[J]` of the sources' scores in the target's.
      no_transfer_probability: see `TaskRelations`.
    """
    order = sorted(range(len(sources)), key=lambda j: sources[j])
    scores = np.column_stack([target_scores, np.asarray(source_scores)[:, order]])
    weights = np.asarray(coefficients)[order] * scores[:, 1:].std(0)
    return TaskRelations(
        (target, *(sources[j] for j in order)),
        tuple(tuple(row) for row in _rank_correlations(scores).tolist()),
        tuple(weights.tolist()),
        no_transfer_probability,
    )


def mix_of_sources(embeddings: np.ndarray, target: int, is_source: np.ndarray) -> np.ndarray:
    """Returns weights `[J]`, of sum 1, with which the sources' embeddings give the target's.

    A score is linear in its task's embedding, so these are also the weights of the sources'
    scores in the target's; of the part of its embedding that no mix reaches they tell nothing.

    Args:
      embeddings: `[E, T, K]` of E members; the weights are their means.
      target: its row.
      is_source: `[T]`, above 0 for sources.
    """
    sources = np.asarray(embeddings, np.float64)[:, is_source > 0.0]
    centre = sources.mean(1)
    own = np.asarray(embeddings, np.float64)[:, target] - centre
    basis = np.swapaxes(sources - centre[:, None], 1, 2)  # [E, K, J]
    return 1.0 / sources.shape[1] + np.einsum("ejk,ek->ej", np.linalg.pinv(basis), own).mean(0)


def _rank_correlations(scores: np.ndarray) -> np.ndarray:
    """Returns Spearman's correlations `[T, T]` of columns; 0 beside a constant one."""
    ranks = np.stack([average_ranks(column) for column in scores.T], axis=1)
    ranks -= ranks.mean(0)
    norms = np.sqrt(np.square(ranks).sum(0))
    unit = ranks / np.where(norms > 0.0, norms, 1.0)
    found = np.clip(unit.T @ unit, -1.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def _is_list_of(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, list) and all(type(item) in kinds for item in value)
