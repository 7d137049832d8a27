"""The `Benchmark` protocol: what the search loop needs of a scored task."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from xfernas_jax.history.record import Evaluation, Purpose, Task
from xfernas_jax.space.base import Genotype, Space


@dataclasses.dataclass(frozen=True)
class Scored:
    """A finished evaluation and the variables that it trained.

    Attributes:
      evaluation: what is recorded.
      variables: `params` and `batch_stats` on the host; None where nothing was trained or the
        training failed.
    """

    evaluation: Evaluation
    variables: Any = None


@runtime_checkable
class Benchmark(Protocol):
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
    ) -> Scored:
        """Trains (or looks up) and scores; a divergence is a failed evaluation, no error."""
        ...

    def test_accuracy(self, genotype: Genotype, variables: Any) -> float:
        """Returns the accuracy on the test part, a fraction; read once, at the end."""
        ...
