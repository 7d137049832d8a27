"""The `Evaluator` protocol: what a search needs of a scored task."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from xfernas_jax.history.record import Job, Result, Task
from xfernas_jax.space.base import Genotype, Space

OnEpoch = Callable[[int, float], None]
"""Is told of each finished epoch: its number from 1, and the metric's value."""

Stop = Callable[[Sequence[float]], bool]
"""Says from the values so far whether a training stops now; can be pickled."""


@dataclasses.dataclass(frozen=True)
class Scored:
    """A result and the variables that were trained for it.

    Attributes:
      result: what is recorded.
      variables: `params` and `batch_stats` on the host; None where nothing was trained, or the
        training did not complete.
    """

    result: Result
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
        """The fingerprint of what changes the expected value."""
        ...

    def evaluate(
        self, job: Job, on_epoch: OnEpoch | None = None, stop: Stop | None = None
    ) -> Scored:
        """Trains (or looks up) and scores; a divergence is a failed result, no error.

        Args:
          job: what to score.
          on_epoch: called after every epoch.
          stop: asked after every epoch but the last; where it says yes, the result is a stopped
            one. An evaluator without epochs does not ask.
        """
        ...

    def test(self, genotype: Genotype, variables: Any) -> float | None:
        """Returns the metric on the test part; read once, at the end. None where there is none."""
        ...


Part = Literal["valid", "test"]


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What a network says of a part's images.

    Attributes:
      value: of the task's metric; None where it is not finite.
      logits: `[N, classes]` float32, in the order of the part.
    """

    value: float | None
    logits: np.ndarray


@runtime_checkable
class Answering(Protocol):
    """An evaluator, or an executor of one, that tells what a network says of each image."""

    def answer(self, genotype: Genotype, variables: Any, part: Part) -> Answer | None:
        """Returns what trained variables say of a part; None where nobody can tell.

        Args:
          genotype: of the network, or of each where the variables are those of several.
          variables: `params` and `batch_stats`, or several of them by `nn.members.joined`.
          part: the test part is read once, at the end.
        """
        ...
