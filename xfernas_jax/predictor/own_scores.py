"""What a source has measured of the very architecture, beside what a smooth model says of it."""

from collections.abc import Sequence

import numpy as np

from xfernas_jax.predictor.base import TaskHistory

_MOST_ROWS = 10_000  # of a source, its best, whose distances are kept
_FIRST_GUESS, _ITS_ROWS = 0.5, 10.0  # of the share that carries over, and how many rows it is worth


class Distances:
    """Distances of the sources' scores from their smooth models, as far as they carry over.

    Part of a distance is of the architecture and would show on another task too, part is the noise
    of one training, or of one task. The share that carries over is the slope of a source's
    distance on the mean of the others', over the architectures that several have measured. Rows
    that a smooth model was fitted to are left out: it has weighed what they say.

    Source: our own.

    Attributes:
      share: in [0, 1], by which distances are multiplied.
    """

    def __init__(self, sources: Sequence[tuple[TaskHistory, np.ndarray, np.ndarray]]) -> None:
        """Takes the distances.

        Args:
          sources: J histories, each with `[N]` distances of its rows, and which of them its model
            was fitted to.
        """
        self._found = [_by_tokens(*source) for source in sources]
        self.share = _carried(self._found)

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N, J]`: what is to be added to the smooth models; 0 where none has measured."""
        keys = [row.tobytes() for row in np.asarray(tokens, np.int32)]
        columns = [[its.get(key, 0.0) for key in keys] for its in self._found]
        return self.share * np.array(columns, np.float64).reshape(len(columns), len(keys)).T


def _by_tokens(task: TaskHistory, distances: np.ndarray, fitted: np.ndarray) -> dict[bytes, float]:
    """Returns the mean distance of each of the best architectures that were not fitted."""
    known = {row.tobytes() for row in np.asarray(task.tokens[fitted], np.int32)}
    found: dict[bytes, list[float]] = {}
    for row in np.argsort(-task.scores, kind="stable")[:_MOST_ROWS].tolist():
        key = np.asarray(task.tokens[row], np.int32).tobytes()
        if key not in known:
            found.setdefault(key, []).append(float(distances[row]))
    return {key: float(np.mean(values)) for key, values in found.items()}


def _carried(found: Sequence[dict[bytes, float]]) -> float:
    pairs = []
    for j, its in enumerate(found):
        others = [other for i, other in enumerate(found) if i != j]
        for key, distance in its.items():
            same = [other[key] for other in others if key in other]
            if same:
                pairs.append((distance, float(np.mean(same))))
    own, mean_of_others = np.array(pairs).reshape(-1, 2).T
    square = float(mean_of_others @ mean_of_others)
    weight = _ITS_ROWS * (square / len(pairs) if pairs else 1.0)
    slope = (float(own @ mean_of_others) + weight * _FIRST_GUESS) / max(square + weight, 1e-12)
    return min(max(slope, 0.0), 1.0)
