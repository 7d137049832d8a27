"""The interface of every optimizer, and what they share: what is known, and random filling."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from xfernas_jax.errors import GenotypeError
from xfernas_jax.history.goal import Goal, cost_rows
from xfernas_jax.history.record import Evaluation
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.candidates import KnownCosts
from xfernas_jax.space.base import Genotype, Space

_TRIES_PER_GENOTYPE = 200
_MAX_REFUSED = 1_000  # architectures over a limit after which a batch is as full as it gets
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
      goal: of the search.
      evaluations: all of them.
    """

    def __init__(
        self, space: Space, goal: Goal | None = None, known_costs: KnownCosts | None = None
    ) -> None:
        """Begins with none.

        Args:
          space: of the search.
          goal: by default accuracy alone.
          known_costs: what it names is not suggested where it exceeds a limit.
        """
        self.space = space
        self.goal = Goal() if goal is None else goal
        self._known_costs = known_costs if self.goal.limits else None
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
        costs = cost_rows(self.goal.costs, evaluations)
        return TaskHistory("target", tokens, np.array(scores), numbers, costs)

    def batch(self, pending: Sequence[Genotype]) -> "NewBatch":
        """Returns an empty batch that refuses what is seen or pending."""
        taken = self._keys | {self.space.key(g) for g in pending}
        return NewBatch(self.space, taken, self.goal, self._known_costs)


class NewBatch:
    """A growing batch of genotypes that are new: neither taken before nor in it already.

    Attributes:
      suggestions: accepted so far.
    """

    def __init__(
        self,
        space: Space,
        taken: Iterable[str],
        goal: Goal | None = None,
        known_costs: KnownCosts | None = None,
    ) -> None:
        self.suggestions: list[Suggestion] = []
        self._goal, self._known_costs = goal, known_costs
        self._num_refused = 0
        self._space = space
        self._taken = set(taken)

    def __len__(self) -> int:
        return len(self.suggestions)

    def add(self, suggestion: Suggestion) -> bool:
        """Adds a suggestion unless it is known or over a limit; returns whether it was added."""
        key = self._space.key(suggestion.genotype)
        if key in self._taken or self._is_exhausted:
            return False
        self._taken.add(key)
        if self._exceeds(suggestion.genotype):
            self._num_refused += 1
            return False
        self.suggestions.append(suggestion)
        return True

    def _exceeds(self, genotype: Genotype) -> bool:
        if self._goal is None or self._known_costs is None:
            return False
        return not self._goal.admits(self._known_costs(genotype))

    @property
    def _is_exhausted(self) -> bool:
        """Whether so many were over a limit that looking on would take too long."""
        return self._num_refused >= _MAX_REFUSED

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

        The number of draws is bounded, and so is that of architectures over a limit (1,000). What
        they do not find is looked for among all sequences of a small space (up to 30,000) and
        otherwise left out, so the batch may stay smaller.

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
            if len(self) >= count or self._is_exhausted:
                return
            self.add_tokens(everything[row])
