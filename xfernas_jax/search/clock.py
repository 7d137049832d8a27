"""The time that a search may take, and what is left of it."""

import dataclasses
import time
from collections.abc import Iterable, Sequence

from xfernas_jax.evaluate.base import Stop
from xfernas_jax.history.record import Evaluation

_LATEST, _MORE = 5, 1.2
_KEPT_SHARE = 0.03  # of the budget, after the last training


@dataclasses.dataclass(frozen=True)
class Clock:
    """A budget that runs, all phases together.

    What an earlier process recorded counts as the seconds of its evaluations, side by side where
    there were several workers; what a kill lost does not count.

    Attributes:
      budget_seconds: in all.
      search_seconds: after which no evaluation is begun, and those that run are stopped.
      started: `time.time()` at which nothing would have been spent.
      each_seconds: that an evaluation is expected to take, before one is known.
      fewest: evaluations, in place of none, for which the search may take more time.
      latest_seconds: until which it may; what a predictor needs first is not foreseen.
    """

    budget_seconds: float
    search_seconds: float
    started: float
    each_seconds: float = 0.0
    fewest: int = 0
    latest_seconds: float = 0.0

    def spent(self) -> float:
        """Returns the seconds since the search began."""
        return time.time() - self.started

    def left(self) -> float:
        """Returns the seconds of the whole budget that are left; at least 0."""
        return max(self.budget_seconds - self.spent(), 0.0)

    def left_to_train(self) -> float:
        """Returns the seconds that trainings may take; some are for the test part and files."""
        return max(self.left() - _KEPT_SHARE * self.budget_seconds, 0.0)

    def has_room(self, done: Sequence[Evaluation]) -> bool:
        """Tells whether another evaluation is expected to end in the search's time.

        It may take as long as the longest of the last few, and some more, since one that is stopped
        at the end says nothing of its architecture.
        """
        known = [evaluation.seconds for evaluation in done[-_LATEST:]]
        expected = _MORE * max(known) if known else self.each_seconds
        return self.spent() + expected <= self._end(len(done))

    def stopper(self, stop: Stop | None = None, num_before: int = 0) -> Stop:
        """Returns what stops an evaluation where the search's time is over, or `stop` says so.

        Args:
          stop: another rule.
          num_before: evaluations that were begun before this one.
        """
        return StopAt(self.started + self._end(num_before), stop)

    def _end(self, num_before: int) -> float:
        """Returns the seconds in which an evaluation after so many others has to end."""
        late = self.latest_seconds if num_before < self.fewest else 0.0
        return max(self.search_seconds, late)


@dataclasses.dataclass(frozen=True)
class StopAt:
    """A rule that ends a training at a moment; see `Stop`. It can be pickled.

    Attributes:
      moment: by `time.time()`.
      other: another rule that may end it earlier.
    """

    moment: float
    other: Stop | None = None

    def __call__(self, curve: Sequence[float]) -> bool:
        return time.time() >= self.moment or (self.other is not None and self.other(curve))


def start_clock(
    budget_seconds: float,
    search_seconds: float,
    recorded: Iterable[Evaluation] = (),
    num_workers: int = 1,
    started: float | None = None,
    each_seconds: float = 0.0,
) -> Clock:
    """Starts a clock from what a study has recorded already; see `Clock`.

    Args:
      budget_seconds: in all.
      search_seconds: of the search.
      recorded: by earlier processes.
      num_workers: that worked side by side.
      started: `time.time()` from which this process counts; now by default.
      each_seconds: expected of an evaluation.
    """
    spent = sum(evaluation.seconds for evaluation in recorded) / num_workers
    return Clock(
        budget_seconds,
        search_seconds,
        (time.time() if started is None else started) - spent,
        each_seconds,
    )
