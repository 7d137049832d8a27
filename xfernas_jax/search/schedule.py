"""When an optimizer is asked, and what it may have seen by then."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

from xfernas_jax.history.record import Evaluation
from xfernas_jax.registry import Registry


@dataclasses.dataclass(frozen=True)
class Ask:
    """A question to the optimizer.

    Attributes:
      number: of the question; with the search's seed it fixes the random numbers.
      count: architectures to ask for.
      numbers: of the jobs that are missing of them; others are known already.
      seen: what the optimizer is shown, in this order.
    """

    number: int
    count: int
    numbers: tuple[int, ...]
    seen: tuple[Evaluation, ...]


@runtime_checkable
class Schedule(Protocol):
    """Decides when to ask; a pure function of what is done."""

    def ask(
        self,
        done: Sequence[Evaluation],
        running: Collection[int],
        asked: Collection[int],
        num_free: int,
    ) -> Ask | None:
        """Returns the next question, None where one has to wait or nothing is left.

        Args:
          done: evaluations of the search in order of recording.
          running: numbers of the jobs that run.
          asked: numbers that this process has asked for, whether or not there was an answer.
          num_free: workers without a job.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Rounds:
    """Asks for a batch and waits until all of it is in.

    The optimizer is shown whole rounds in the order of their suggestion, so a search with several
    workers gives the bits of one, and a killed search goes on as if it had never stopped.
    """

    budget: int
    batch_size: int

    def ask(
        self,
        done: Sequence[Evaluation],
        running: Collection[int],
        asked: Collection[int],
        num_free: int,
    ) -> Ask | None:
        if running:
            return None
        known = {evaluation.number for evaluation in done}.union(asked)
        missing = next((n for n in range(self.budget) if n not in known), None)
        if missing is None:
            return None
        first = missing - missing % self.batch_size
        numbers = range(first, min(first + self.batch_size, self.budget))
        seen = sorted((e for e in done if e.number < first), key=lambda e: e.number)
        return Ask(
            first // self.batch_size,
            self.batch_size,
            tuple(n for n in numbers if n not in known),
            tuple(seen),
        )


@dataclasses.dataclass(frozen=True)
class Async:
    """Asks for one architecture whenever a worker is free, with all that is in by then.

    No worker waits for another. Each number is asked for once, and no architecture twice; what is
    suggested depends on who finishes first, so two runs differ.
    """

    budget: int
    batch_size: int

    def ask(
        self,
        done: Sequence[Evaluation],
        running: Collection[int],
        asked: Collection[int],
        num_free: int,
    ) -> Ask | None:
        taken = {evaluation.number for evaluation in done}.union(running, asked)
        number = next((n for n in range(self.budget) if n not in taken), None)
        if number is None or num_free < 1:
            return None
        return Ask(number, 1, (number,), tuple(done))


SCHEDULES: Mapping[str, Callable[[int, int], Schedule]] = {"rounds": Rounds, "async": Async}


def make_schedule(name: str, budget: int, batch_size: int) -> Schedule:
    """Builds a schedule: one of `SCHEDULES`, or `module:NAME` of your own, called with both sizes.

    Raises:
      FlagError: there is no such schedule.
    """
    return Registry("schedule", "--schedule", SCHEDULES).find(name)(budget, batch_size)
