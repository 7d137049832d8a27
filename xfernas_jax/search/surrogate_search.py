"""What all surrogate-guided optimizers share: candidates, batches, the first batch."""

import abc
import dataclasses
from collections.abc import Sequence

import numpy as np

from xfernas_jax.history.goal import Goal
from xfernas_jax.predictor.base import Posterior, Surrogate, TaskHistory
from xfernas_jax.predictor.explain import ExplainingSurrogate, TaskRelations
from xfernas_jax.search.candidates import choose, ranked, within
from xfernas_jax.search.seen import NewBatch, Seen, Suggestion
from xfernas_jax.space.base import Space

_NUM_SOURCE_CANDIDATES = 256  # source architectures, best by their sources, that may become starts
_NUM_PROBED = 256  # random architectures among which the probes of the first batch are drawn
_NUM_JOINT = 300  # candidates, best by the mean, over which score functions are drawn
_NUM_RANDOM = 2_000  # random architectures that a search with costs looks at, too
_NUM_CHILDREN = 20  # mutants of each parent
_TOP_SHARE = 0.1  # share of the candidates that may be among these


class SurrogateSearch(abc.ABC):
    """Suggests what a surrogate of the target's score expects to be good.

    A subclass says where candidates come from. Given source histories it is the transfer twin of
    itself: the same optimizer with a surrogate that has sources.

    Without sources, or with sources that look unrelated even to one another, the first
    `num_initial` architectures are random. With others the first
    batch comes from what the sources say: three fifths are the best candidates, the others
    probes, one random architecture from the upper and one from the lower half in turn, so that
    the target's first observations also tell whether the sources are right about it. Later, three
    fifths of a batch are the best by the mean, the rest the best of one drawn score function
    each (Thompson sampling).

    With limits on costs only candidates that the surrogate expects to keep them are ranked. With a
    Pareto goal each place of the batch has a ceiling of cost of its own. Either way random
    architectures and mutants of the starts join the candidates: those of ascent are costly ones.

    What failed stands in the fit as the worst; see `Seen.history`.
    """

    def __init__(
        self,
        space: Space,
        surrogate: Surrogate,
        sources: Sequence[TaskHistory] = (),
        num_initial: int = 10,
        num_starts: int = 10,
        task_numbers: tuple[float, ...] = (),
    ) -> None:
        """Takes what was learned before the target.

        Args:
          space: of the search.
          surrogate: has learned `sources`, or nothing.
          sources: the same histories; their architectures serve as starts.
          num_initial: random architectures before the first fit, without sources.
          num_starts: best target and best source architectures to start from, each.
          task_numbers: of the target; see `TaskHistory`.
        """
        tokens = [source.tokens for source in sources if len(source.tokens)]
        self._source_tokens = np.unique(np.concatenate(tokens), axis=0) if tokens else None
        self._space = space
        self._surrogate = surrogate
        self._num_initial = num_initial
        self._num_starts = num_starts
        self._task_numbers = task_numbers
        self._promising: dict[Goal, np.ndarray] = {}  # remembered; see `promising_sources`

    @property
    def trusts_sources(self) -> bool:
        """Whether what it suggests is worth following before the target is known."""
        return self._surrogate.trusts_sources

    @abc.abstractmethod
    def candidates(self, known: "Known", rng: np.random.Generator) -> np.ndarray:
        """Returns distinct tokens `[M, L]` to choose from; observed ones are dropped later."""

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> Sequence[Suggestion]:
        batch = seen.batch()
        target = seen.history(self._task_numbers)
        if self._is_start(seen, target):
            return batch.fill(rng, count)
        known = Known(seen.goal, self._surrogate.condition(target), target)
        pool = self._pool(known, rng)
        if len(target.scores):
            self._add_best_and_draws(known, rng, batch, count, pool)
        else:
            self._add_best_and_probes(known, rng, batch, count, pool)
        return batch.fill(rng, count)

    def estimates(self, seen: Seen) -> np.ndarray | None:
        target = seen.history(self._task_numbers)
        if not len(target.scores) or self._is_start(seen, target):
            return None
        return self._surrogate.condition(target).mean(seen.tokens(seen.complete))

    def draws(self, seen: Seen, rng: np.random.Generator, count: int) -> np.ndarray:
        posterior = self._surrogate.condition(seen.history(self._task_numbers))
        return posterior.sample(rng, count, seen.tokens(seen.complete))

    def relations(self, seen: Seen) -> TaskRelations | None:
        """Returns how target and sources relate by what was learned; None without sources."""
        if not isinstance(self._surrogate, ExplainingSurrogate):
            return None
        return self._surrogate.relations(seen.history(self._task_numbers))

    def _is_start(self, seen: Seen, target: TaskHistory) -> bool:
        """Whether it is too early to follow the surrogate."""
        count = len(seen.evaluations) + len(seen.pending)
        is_early = count < self._num_initial or not len(target.scores)
        return is_early and not self._surrogate.trusts_sources

    def _pool(self, known: "Known", rng: np.random.Generator) -> "_Pool":
        """Returns the candidates that are new and, as far as is foreseen, within the limits."""
        found = self._space.canonical_tokens(self.candidates(known, rng))
        if known.goal.costs:
            more = [
                found,
                self._space.sample_tokens(rng, _NUM_RANDOM),
                self._mutants(rng, self._starts(known)),
            ]
            found = np.unique(self._space.canonical_tokens(np.concatenate(more)), axis=0)
        tokens = known.unseen(found)
        costs = known.costs(tokens)
        inside = within(known.goal, costs)
        if inside.any():
            tokens, costs = tokens[inside], costs[inside]
        return _Pool(tokens, known.posterior.mean(tokens), costs)

    def _mutants(self, rng: np.random.Generator, parents: np.ndarray) -> np.ndarray:
        """Returns single mutations of `[P, L]` parents."""
        children = []
        for parent in parents:
            genotype = self._space.decode(parent.tolist())
            for _ in range(_NUM_CHILDREN):
                children.append(self._space.encode(self._space.mutate(genotype, rng)))
        return np.array(children, np.int32).reshape(-1, parents.shape[1])

    def _add_best_and_probes(
        self, known: "Known", rng: np.random.Generator, batch: NewBatch, count: int, pool: "_Pool"
    ) -> None:
        """Fills the first batch with sources."""
        num_probes = round(0.4 * count) if count > 1 else 0
        _add_best(known.goal, rng, batch, count - num_probes, pool, pool.mean)
        probes = self._space.sample_tokens(rng, _NUM_PROBED)
        probes = probes[within(known.goal, known.costs(probes))]
        scores = known.posterior.mean(probes)
        halves = np.array_split(np.argsort(-scores, kind="stable"), 2)
        for i in range(num_probes):
            order = rng.permutation(halves[i % 2])
            _add_in_order(batch, len(batch) + 1, probes, scores, order)

    def _add_best_and_draws(
        self, known: "Known", rng: np.random.Generator, batch: NewBatch, count: int, pool: "_Pool"
    ) -> None:
        """Fills a later batch: the best by the mean, then the best of some drawn functions."""
        num_draws = round(0.4 * count)
        _add_best(known.goal, rng, batch, count - num_draws, pool, pool.mean)
        size = min(max(round(_TOP_SHARE * len(pool.tokens)), 4 * count), _NUM_JOINT)
        top = pool.take(choose(known.goal, pool.mean, pool.costs, size))
        if num_draws and len(top.tokens):
            for scores in known.posterior.sample(rng, num_draws, top.tokens):
                _add_best(known.goal, rng, batch, len(batch) + 1, top, scores)

    def _starts(self, known: "Known") -> np.ndarray:
        """Returns the best architectures of the target and, by the posterior, of the sources."""
        target = known.target
        assert target.costs is not None
        parts = [target.tokens[choose(known.goal, target.scores, target.costs, self._num_starts)]]
        if self._source_tokens is not None:
            parts.append(known.best(self._promising_sources(known.goal), self._num_starts))
        return np.concatenate(parts)

    def _promising_sources(self, goal: Goal) -> np.ndarray:
        """The source architectures that the sources like best; the others are not scored again."""
        assert self._source_tokens is not None
        if goal not in self._promising:
            empty = np.zeros((0, self._source_tokens.shape[1]), np.int32)
            costs = np.zeros((0, len(goal.costs)))
            nothing = TaskHistory("none", empty, np.zeros(0), self._task_numbers, costs)
            known = Known(goal, self._surrogate.condition(nothing), nothing)
            self._promising[goal] = known.best(self._source_tokens, _NUM_SOURCE_CANDIDATES)
        return self._promising[goal]


@dataclasses.dataclass(frozen=True, eq=False)
class Known:
    """What a suggestion starts from.

    Attributes:
      goal: of the search.
      posterior: of the target, by all that was observed.
      target: that is observed.
    """

    goal: Goal
    posterior: Posterior
    target: TaskHistory

    def costs(self, tokens: np.ndarray) -> np.ndarray:
        """Returns predicted costs `[N, C]`; a surrogate is not asked where none matters."""
        if not self.goal.costs:
            return np.zeros((len(tokens), 0))
        return self.posterior.costs(tokens)

    def best(self, tokens: np.ndarray, count: int) -> np.ndarray:
        """Returns the `count` rows that the goal ranks first by what is predicted."""
        chosen = choose(self.goal, self.posterior.mean(tokens), self.costs(tokens), count)
        return tokens[chosen]

    def unseen(self, pool: np.ndarray) -> np.ndarray:
        """Leaves out the rows that were observed."""
        seen = {row.tobytes() for row in self.target.tokens}
        return pool[[row.tobytes() not in seen for row in pool]]


@dataclasses.dataclass(frozen=True, eq=False)
class _Pool:
    """Candidates: tokens `[N, L]`, predicted scores `[N]` and costs `[N, C]`."""

    tokens: np.ndarray
    mean: np.ndarray
    costs: np.ndarray

    def take(self, rows: np.ndarray) -> "_Pool":
        return _Pool(self.tokens[rows], self.mean[rows], self.costs[rows])


def _add_best(
    goal: Goal,
    rng: np.random.Generator,
    batch: NewBatch,
    size: int,
    pool: _Pool,
    scores: np.ndarray,
) -> None:
    """Adds the best until the batch has `size`; each place has the goal's order of its own."""
    for place in range(len(batch), size):
        order = ranked(goal, rng, scores, pool.costs)
        _add_in_order(batch, place + 1, pool.tokens, pool.mean, order)


def _add_in_order(
    batch: NewBatch, size: int, pool: np.ndarray, mean: np.ndarray, order: np.ndarray
) -> None:
    """Adds rows of the pool in this order until the batch has `size`."""
    for row in order:
        if len(batch) >= size:
            return
        batch.add_tokens(pool[row], float(mean[row]))
