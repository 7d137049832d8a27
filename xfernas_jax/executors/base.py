"""The `Executor` protocol: takes evaluations to do and gives back finished ones."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

from xfernas_jax.evaluate.base import Scored
from xfernas_jax.history.record import Purpose
from xfernas_jax.space.base import Genotype, Space


@dataclasses.dataclass(frozen=True)
class Job:
    """An evaluation to do; a value that can be pickled.

    Attributes:
      number: among the evaluations of its purpose in a study, from 0.
      genotype: the architecture.
      seed: of its training.
      purpose: what it is for.
      stop: when its training ends early; see `Evaluator.evaluate`.
    """

    number: int
    genotype: Genotype
    seed: int
    purpose: Purpose = "search"
    stop: Callable[[Sequence[float]], bool] | None = None


@runtime_checkable
class Watcher(Protocol):
    """Is told how running evaluations come along, in the thread that waits for them."""

    def started(self, job: Job) -> None:
        """Is called when an evaluation begins, again when it begins anew in another worker."""
        ...

    def epoch(self, job: Job, epoch: int, valid_accuracy: float) -> None:
        """Is called after each epoch (from 1) of an evaluation, where its place tells it."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Runs evaluations, several at once where it has the devices; one thread uses it.

    A controller submits what its optimizer suggests and takes results as they come. Workers only
    train: nothing here suggests or records. Call `close` at the end; `contextlib.closing` does.
    """

    @property
    def space(self) -> Space:
        """The space of the genotypes."""
        ...

    @property
    def num_workers(self) -> int:
        """How many evaluations run at once."""
        ...

    def submit(self, job: Job) -> None:
        """Takes an evaluation; it starts when a worker is free."""
        ...

    def next_finished(self, watcher: Watcher) -> tuple[Job, Scored]:
        """Waits for the next evaluation that finishes, in whatever order they do.

        Raises:
          ValueError: nothing is submitted that was not returned yet.
          UserError: the evaluation met a user's mistake.
          WorkerError: its worker died again and again.
        """
        ...

    def test_accuracy(self, genotype: Genotype, variables: Any) -> float | None:
        """Returns the accuracy on the test part, a fraction; None where there is none."""
        ...

    def close(self) -> None:
        """Ends what still runs; the object is of no use afterwards."""
        ...
