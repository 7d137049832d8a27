"""The `Executor` protocol: takes jobs and gives back results."""

from typing import Any, Protocol, runtime_checkable

from xfernas_jax.evaluate.base import Scored, Stop
from xfernas_jax.history.record import Job
from xfernas_jax.space.base import Genotype, Space


@runtime_checkable
class Watcher(Protocol):
    """Is told how running jobs come along, in the thread that waits for them."""

    def started(self, job: Job) -> None:
        """Is called when a job begins, again when it begins anew in another worker."""
        ...

    def epoch(self, job: Job, epoch: int, value: float) -> None:
        """Is called after each epoch (from 1) of a job, where its place tells it."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Runs jobs, several at once where it has the devices; one thread uses it.

    A controller submits what its optimizer suggests and takes results as they come. Workers only
    evaluate: nothing here suggests or records. What breaks (memory, a lost worker, an exception of
    the user's code) is a result of status "broken". Call `close` at the end; `contextlib.closing`
    does.
    """

    @property
    def space(self) -> Space:
        """The space of the genotypes."""
        ...

    @property
    def num_workers(self) -> int:
        """How many jobs run at once."""
        ...

    def submit(self, job: Job, stop: Stop | None = None) -> None:
        """Takes a job; it starts when a worker is free. `stop`: see `Evaluator.evaluate`."""
        ...

    def next_finished(self, watcher: Watcher) -> tuple[Job, Scored]:
        """Waits for the next job that finishes, in whatever order they do.

        Raises:
          ValueError: nothing is submitted that was not returned yet.
          UserError: the evaluation met a user's mistake, or workers die without a task.
        """
        ...

    def test(self, genotype: Genotype, variables: Any) -> float | None:
        """Returns the metric on the test part; None where there is none."""
        ...

    def close(self) -> None:
        """Ends what still runs; the object is of no use afterwards."""
        ...
