"""What an optimizer may look at, and the batch of new architectures that it makes of it."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from xfernas_jax.errors import GenotypeError
from xfernas_jax.history.goal import Goal, cost_rows
from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import Evaluation
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.space.base import Genotype, Space

KnownCosts = Callable[[Genotype], Mapping[str, float]]
"""Costs of an architecture that are known before it is evaluated, such as its parameters."""

Outlook = Callable[[Genotype, float, Metric], float]
"""From a value of a short training to what it promises of a last one that has not enough time."""

_TRIES_PER_GENOTYPE = 200
_MAX_REFUSED = 1_000  # architectures over a limit after which a batch is as full as it gets
_MAX_ENUMERATED = 30_000  # a space up to this many sequences is searched to the last one


@dataclasses.dataclass(frozen=True)
class Suggestion:
    """An architecture to evaluate.

    Attributes:
      genotype: of the space.
      predicted: expected score in the optimizer's own unit; None where it does not predict.
    """

    genotype: Genotype
    predicted: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """A search at one moment; a value, from which an optimizer's suggestion follows.

    Attributes:
      space: of the search.
      goal: what may win; it holds the metric.
      evaluations: results, failed and stopped ones too, in the order in which they are shown.
      pending: architectures that are being evaluated.
      known_costs: what it names is not suggested where it exceeds a limit.
      outlook: what values count for; None for what they are.
      num_images: that a value is of, where it is a share of them; None where nothing is known.
    """

    space: Space
    goal: Goal = dataclasses.field(default_factory=Goal)
    evaluations: tuple[Evaluation, ...] = ()
    pending: tuple[Genotype, ...] = ()
    known_costs: KnownCosts | None = None
    outlook: Outlook | None = None
    num_images: int | None = None
    _rows: dict[Any, tuple[int, ...]] = dataclasses.field(default_factory=dict, repr=False)

    def then(self, evaluations: Iterable[Evaluation], pending: Iterable[Genotype] = ()) -> "Seen":
        """Returns what is seen once more evaluations are in; what was encoded is kept."""
        every = (*self.evaluations, *evaluations)
        return dataclasses.replace(self, evaluations=every, pending=tuple(pending))

    @functools.cached_property
    def complete(self) -> list[Evaluation]:
        """The evaluations that have a value."""
        return [e for e in self.evaluations if e.value is not None]

    def gain(self, evaluation: Evaluation) -> float:
        """Returns how good a complete evaluation is: larger is better, whatever the metric."""
        value, metric = evaluation.value, self.goal.metric
        assert value is not None
        if self.outlook is not None:
            value = self.outlook(evaluation.genotype, value, metric)
        return metric.gain(value)

    def tokens(self, evaluations: Iterable[Evaluation]) -> np.ndarray:
        """Returns `[N, L]` int32."""
        rows = []
        for genotype in (e.genotype for e in evaluations):
            if genotype not in self._rows:
                self._rows[genotype] = self.space.encode(genotype)
            rows.append(self._rows[genotype])
        table = np.reshape(rows, (len(rows), len(self.space.choices))).astype(np.int32)
        return self.space.canonical_tokens(table)

    def history(self, numbers: tuple[float, ...] = ()) -> TaskHistory:
        """Returns what a predictor learns from; nothing while there is no value.

        What failed or broke has the worst gain seen: a predictor that never hears of failures would
        propose their neighbours again and again. A stopped one is left out: what it had reached is
        no final value, and a guess from its rank when it stopped was measured to help no more than
        nothing. `numbers` are the task's.
        """
        gains = [self.gain(e) for e in self.complete]
        shown = [e for e in self.evaluations if gains and e.status != "stopped"]
        worst = min(gains, default=None)
        scores = [worst if e.value is None else self.gain(e) for e in shown]
        costs = cost_rows(self.goal.costs, shown)
        values = np.array(scores, np.float64)
        noise = np.array([self._noise(value) for value in values.tolist()])
        return TaskHistory("target", self.tokens(shown), values, numbers, costs, noise)

    def _noise(self, gain: float) -> float:
        """Returns the variance of a value that is a share p of n images: p (1 - p) / n.

        p is drawn towards a half by two images of each kind, so that this is never 0 (Agresti &
        Coull, 1998). Metrics from 0 to 1 that are no plain shares scatter by about as much or more.
        """
        metric, count = self.goal.metric, self.num_images
        if count is None or (metric.low, metric.high) != (0.0, 1.0):
            return 0.0
        share = (count * metric.value(gain) + 2.0) / (count + 4.0)
        return max(share * (1.0 - share), 0.0) / count

    def batch(self) -> "NewBatch":
        """Returns an empty batch that refuses what is seen or pending."""
        taken = {e.key for e in self.evaluations} | {self.space.key(g) for g in self.pending}
        return NewBatch(self, taken)


class NewBatch:
    """A growing batch of genotypes that are new: neither taken before nor in it already.

    Attributes:
      suggestions: accepted so far.
    """

    def __init__(self, seen: Seen, taken: Iterable[str]) -> None:
        """Begins with nothing; `taken` are keys of architectures to refuse."""
        self.suggestions: list[Suggestion] = []
        self._goal, self._space = seen.goal, seen.space
        self._known_costs = seen.known_costs if seen.goal.limits else None
        self._taken = set(taken)
        self._num_refused = 0

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
        known = self._known_costs
        return known is not None and not self._goal.admits(known(genotype))

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
