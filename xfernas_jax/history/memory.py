"""A study's record in memory: for loops of the user's own, experiments and tests."""

from collections.abc import Iterable, Mapping
from typing import Any

from xfernas_jax.history.record import Evaluation, current


class MemoryRecord:
    """See `Record`; nothing outlives the object."""

    def __init__(self, evaluations: Iterable[Evaluation] = ()) -> None:
        """Begins with evaluations that are recorded already."""
        self._evaluations: list[Evaluation] = []
        self._identities: set[tuple[str | int, ...]] = set()
        self._result: dict[str, Any] | None = None
        for evaluation in evaluations:
            self.append(evaluation)

    def evaluations(self) -> tuple[Evaluation, ...]:
        return current(self._evaluations)

    def append(self, evaluation: Evaluation) -> None:
        if evaluation.identity not in self._identities:
            self._identities.add(evaluation.identity)
            self._evaluations.append(evaluation)

    def set_result(self, result: Mapping[str, Any]) -> None:
        self._result = dict(result)

    def result(self) -> dict[str, Any] | None:
        return self._result
