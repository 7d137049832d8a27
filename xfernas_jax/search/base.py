"""The interface of every optimizer, and the one place that asks it."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from xfernas_jax.search.seen import Seen, Suggestion

_CYCLE, _NUM_BEST = 5, 3


@runtime_checkable
class Optimizer(Protocol):
    """Proposes architectures; a pure function of what is seen and of the random numbers."""

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> Sequence[Suggestion]:
        """Returns up to `count` architectures that are distinct, not seen and not pending.

        Fewer than `count`, possibly none, means that the space has (or seems to have) no more.
        Equality is that of `Space.key`. Optimizers keep no state between calls: what took long may
        be remembered, but must not change an answer.
        """
        ...


@runtime_checkable
class Estimator(Protocol):
    """An optimizer that also says how good the architectures are that were evaluated."""

    def estimates(self, seen: Seen) -> np.ndarray | None:
        """Returns `[N]` posterior means of the gains of `seen.complete`, in a unit of its own.

        Unlike the values they are not blown up by the noise of single trainings. None where
        nothing was learned yet.
        """
        ...


@runtime_checkable
class Drawing(Estimator, Protocol):
    """An estimator that also knows how sure it is."""

    def draws(self, seen: Seen, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws `[count, N]` plausible gains, each row of all N of `seen.complete` together.

        Asked only where `estimates` answers.
        """
        ...


def suggest(
    optimizer: Optimizer, seen: Seen, seed: int | Sequence[int], number: int, count: int
) -> list[Suggestion]:
    """Asks an optimizer: for a batch, or for one architecture at a time.

    A batch of one would always be what looks best. So of five numbers in a row three take that, and
    two the last of a batch of five, which explores.

    Args:
      optimizer: to ask.
      seen: by now.
      seed: of the search; one number or several.
      number: of the request in its search, from 0; with the seed it fixes the random numbers.
      count: architectures wanted.
    """
    entropy = [seed] if isinstance(seed, int) else list(seed)
    rng = np.random.default_rng([*entropy, number])
    if count == 1 and number % _CYCLE >= _NUM_BEST:
        return list(optimizer.suggest(seen, rng, _CYCLE))[-1:]
    return list(optimizer.suggest(seen, rng, count))
