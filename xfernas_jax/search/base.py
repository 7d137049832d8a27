"""The interface of every optimizer, and what they share: what is known, and random filling."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from xfernas_jax.errors import GenotypeError
from xfernas_jax.history.record import Evaluation
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.space.base import Genotype, Space

_TRIES_PER_GENOTYPE = 200
_MAX_ENUMERATED = 30_000  # a space up to this many sequences is searched to the last one


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """An architecture to evaluate.

    Attributes:
      genotype: of the optimizer's space.
      predicted: expected score in the optimizer's own unit; None where it does not predict.
    """

    genotype: Genotype
    predicted: float | None = None


@runtime_checkable
class SearchOptimizer(Protocol):
    """Proposes genotypes (`suggest`) and learns from results (`observe`).

    Only `observe` changes the state, so resuming is `observe(history)` on a new instance. The
    search loop derives `rng` from (seed, round): no seed of the search lives here.
    """

    def suggest(
        self, rng: np.random.Generator, count: int, pending: Sequence[Genotype] = ()
    ) -> Sequence[Suggestion]:
        """Returns up to `count` genotypes that are distinct, not observed and not pending.

        Fewer than `count`, possibly none, means that the space has (or seems to have) no more:
        a search stops there. Equality is that of `Space.key`.
        """
        ...

    def observe(self, evaluations: Sequence[Evaluation]) -> None:
        """Adds results, failed and stopped ones too, in the order of their recording."""
        ...


class Observations:
    """What an optimizer has observed, in order.

    Attributes:
      space: of the search.
      evaluations: all of them.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.evaluations: list[Evaluation] = []
        self._keys: set[str] = set()

    def add(self, evaluations: Iterable[Evaluation]) -> None:
        """Adds results; failed and stopped ones count as seen and are not proposed again."""
        for evaluation in evaluations:
            self.evaluations.append(evaluation)
            self._keys.add(self.space.key(evaluation.genotype))

    def complete(self) -> list[Evaluation]:
        """Returns the evaluations that have an accuracy."""
        return [e for e in self.evaluations if e.valid_accuracy is not None]

    def history(self, numbers: tuple[float, ...] = ()) -> TaskHistory:
        """Returns what a predictor learns from; nothing while all evaluations have failed.

        A failed evaluation has the worst accuracy seen: a predictor that never hears of failures
        would propose their neighbours again and again. A stopped one is left out: what it had
        reached is no final accuracy, and a guess from its rank when it stopped was measured to
        help no more than nothing. `numbers` are the task's.
        """
        complete = [e.valid_accuracy for e in self.complete()]
        worst = min((a for a in complete if a is not None), default=0.0)
        evaluations = [e for e in self.evaluations if complete and e.status != "stopped"]
        scores = [worst if e.valid_accuracy is None else e.valid_accuracy for e in evaluations]
        tokens = [self.space.encode(e.genotype) for e in evaluations]
        shape = (len(tokens), len(self.space.choices))
        tokens = np.reshape(tokens, shape).astype(np.int32)
        return TaskHistory("target", tokens, np.array(scores), numbers)

    def batch(self, pending: Sequence[Genotype]) -> "NewBatch":
        """Returns an empty batch that refuses what is seen or pending."""
        return NewBatch(self.space, self._keys | {self.space.key(g) for g in pending})


class NewBatch:
    """A growing batch of genotypes that are new: neither taken before nor in it already.

    Attributes:
      suggestions: accepted so far.
    """

    def __init__(self, space: Space, taken: Iterable[str]) -> None:
        self.suggestions: list[Suggestion] = []
        self._space = space
        self._taken = set(taken)

    def __len__(self) -> int:
        return len(self.suggestions)

    def add(self, suggestion: Suggestion) -> bool:
        """Adds a suggestion unless it is known; returns whether it was added."""
        key = self._space.key(suggestion.genotype)
        if key in self._taken:
            return False
        self._taken.add(key)
        self.suggestions.append(suggestion)
        return True

    def add_tokens(self, tokens: np.ndarray, predicted: float | None = None) -> bool:
        """Adds decoded tokens `[L]`; False also where they are no genotype."""
        try:
            genotype = self._space.decode([int(token) for token in tokens])
        except GenotypeError:
            return False
        return self.add(Suggestion(genotype, predicted))

    def fill(
        self,
        rng: np.random.Generator,
        count: int,
        draw: Callable[[np.random.Generator], Genotype] | None = None,
    ) -> list[Suggestion]:
        """Adds draws until the batch has `count`, and returns it.

        The number of draws is bounded. What they do not find is looked for among all sequences
        of a small space (up to 30,000) and otherwise left out, so the batch may stay smaller.

        Args:
          rng: consumed.
          count: wanted size of the batch.
          draw: proposes a genotype; without it, and where it finds nothing new, `Space.sample`.
        """
        for proposal in (draw, self._space.sample):
            tries = _TRIES_PER_GENOTYPE * max(count - len(self), 0)
            while proposal is not None and len(self) < count and tries > 0:
                self.add(Suggestion(proposal(rng)))
                tries -= 1
        if len(self) < count:
            self._enumerate(rng, count)
        return self.suggestions

    def _enumerate(self, rng: np.random.Generator, count: int) -> None:
        everything = self._space.all_tokens(_MAX_ENUMERATED)
        if everything is None:
            return
        for row in rng.permutation(len(everything)):
            if len(self) >= count:
                return
            self.add_tokens(everything[row])
