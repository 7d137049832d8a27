"""What every optimizer must keep."""

import numpy as np

from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import SCORE
from xfernas_jax.history.record import Evaluation, Job, Result
from xfernas_jax.search.base import Optimizer, suggest
from xfernas_jax.search.seen import Seen
from xfernas_jax.space.base import Genotype, Space


class OptimizerContract:
    """Inherit it, set `space` and write `make`.

    Attributes:
      space: to search in, of at least 40 networks.
      counts: of the batches that are asked for.
    """

    space: Space
    counts: tuple[int, ...] = (4, 4, 1, 1, 1, 1)

    def make(self) -> Optimizer:
        """Returns a new optimizer."""
        raise NotImplementedError

    def score(self, genotype: Genotype) -> float | None:
        """Returns what an architecture is worth; None where it fails. Tests may have their own."""
        tokens = self.space.encode(genotype)
        return None if sum(tokens) % 7 == 0 else float(np.sin(tokens).sum())

    def start(self) -> Seen:
        """Returns what is known before the first question; tests may have goals of their own."""
        return Seen(self.space, Goal(metric=SCORE))

    def evaluated(self, genotype: Genotype, number: int) -> Evaluation:
        """Returns the evaluation of an architecture."""
        value = self.score(genotype)
        result = Result("failed", failure="-") if value is None else Result("complete", value)
        return Evaluation(Job(number, genotype, self.space.key(genotype), number), result, "r")

    def search(self, optimizer: Optimizer, seen: Seen, first: int = 0) -> list[Evaluation]:
        """Asks for all batches from `first` on, each after the results of those before."""
        found: list[Evaluation] = []
        for number, count in list(enumerate(self.counts))[first:]:
            batch = suggest(optimizer, seen.then(found), 3, number, count)
            found += [self.evaluated(s.genotype, len(found)) for s in batch]
        return found

    def test_it_is_an_optimizer(self) -> None:
        assert isinstance(self.make(), Optimizer)

    def test_suggestions_are_new_and_of_the_space(self) -> None:
        found = self.search(self.make(), self.start())
        keys = [self.space.key(self.space.decode(self.space.encode(e.genotype))) for e in found]
        assert len(set(keys)) == len(keys) == sum(self.counts)

    def test_what_runs_is_not_suggested_again(self) -> None:
        optimizer, seen = self.make(), self.start()
        first = [s.genotype for s in suggest(optimizer, seen, 3, 0, 4)]
        second = suggest(optimizer, seen.then((), first), 3, 0, 4)
        running = {self.space.key(genotype) for genotype in first}
        assert not running & {self.space.key(s.genotype) for s in second}

    def test_answers_follow_from_what_is_seen_alone(self) -> None:
        """So a search that is started again goes on as if it had never stopped."""
        used = self.make()
        whole = self.search(used, self.start())
        assert self.search(used, self.start()) == whole
        count = sum(self.counts[:2])
        half = self.start().then(whole[:count])
        rest = self.search(self.make(), half, first=2)
        assert [e.genotype for e in rest] == [e.genotype for e in whole[count:]]

    def test_other_random_numbers_give_other_suggestions(self) -> None:
        optimizer, seen = self.make(), self.start()
        runs = [tuple(s.genotype for s in suggest(optimizer, seen, i, 0, 4)) for i in range(5)]
        assert len(set(runs)) > 1
