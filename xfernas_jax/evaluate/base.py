"""The `Evaluator` protocol: what the search loop needs of a scored task."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from xfernas_jax.history.record import Evaluation, Purpose, Task
from xfernas_jax.space.base import Genotype, Space


@dataclasses.dataclass(frozen=True)
class Scored:
    """A finished evaluation and the variables that it trained.

    Attributes:
      evaluation: what is recorded.
      variables: `params` and `batch_stats` on the host; None where nothing was trained or the
        training failed or was stopped.
    """

    evaluation: Evaluation
    variables: Any = None


@runtime_checkable
class Evaluator(Protocol):
    """Scores architectures of one space on one task under one recipe."""

    @property
    def task(self) -> Task: ...

    @property
    def space(self) -> Space: ...

    @property
    def recipe(self) -> str:
        """The fingerprint of what changes the expected score."""
        ...

    def evaluate(
        self,
        genotype: Genotype,
        seed: int,
        purpose: Purpose = "search",
        on_epoch: Callable[[int, float], None] | None = None,
        stop: Callable[[Sequence[float]], bool] | None = None,
    ) -> Scored:
        """Trains (or looks up) and scores; a divergence is a failed evaluation, no error.

        Args:
          genotype: what to score.
          seed: of its training.
          purpose: that is recorded.
          on_epoch: called after every epoch with its number, from 1, and its accuracy.
          stop: asked after every epoch but the last with the accuracies so far; where it says
            yes, the evaluation is a stopped one. A benchmark without epochs does not ask.
        """
        ...

    def test_accuracy(self, genotype: Genotype, variables: Any) -> float | None:
        """Returns the accuracy on the test part, a fraction; read once, at the end.

        None where there is no test part; a search with scores does not ask.
        """
        ...
