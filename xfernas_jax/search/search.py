"""A search: explore, resume, confirm, test.

Each evaluation is recorded as soon as it is in, and what comes next follows from the record, so a
search that is killed and started again goes on; in rounds it ends with the bits of an unbroken one.
"""

import dataclasses
from collections.abc import Sequence

from xfernas_jax.history.record import Evaluation
from xfernas_jax.search.base import Optimizer, suggest
from xfernas_jax.search.desk import Desk, joined_name, key_seed
from xfernas_jax.search.early_stop import EarlyStop
from xfernas_jax.search.outcome import Outcome
from xfernas_jax.search.phases.average import finish_averaged
from xfernas_jax.search.phases.confirm import Confirmed, TestPart, choose_finalists, confirm, test
from xfernas_jax.search.phases.explore import explore
from xfernas_jax.search.phases.finish import Candidate, finish
from xfernas_jax.search.phases.resume import resume
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.seen import Seen, Suggestion


@dataclasses.dataclass(frozen=True)
class Search:
    """All that a search consists of.

    Attributes:
      optimizer: that proposes.
      desk: where jobs go and evaluations are recorded.
      plan: size and order.
      start: space, goal, and what earlier studies know of this very task under this recipe: the
        optimizer is shown it first, it is not evaluated again, and its best may be finalists.
      early_stop: ends trainings early, or None.
    """

    optimizer: Optimizer
    desk: Desk
    plan: SearchPlan
    start: Seen
    early_stop: EarlyStop | None = None

    def run(self) -> Outcome | None:
        """Searches until the budget is spent, confirms the best and reads the test part once.

        Returns:
          The outcome, or None when nothing was evaluated that may win, or every confirming training
          failed.
        """
        plan, goal = self.plan, self.start.goal
        done = explore(self.optimizer, self.desk, plan, self.start, self.early_stop)
        if self.early_stop is not None and plan.clock is None:
            everything = [*self.start.evaluations, *done]
            stop = self.early_stop.stopper(everything, plan.num_finalists)
            done = resume(self.desk, done, stop, goal, plan.num_finalists)
        seen = self.start.then(done)
        chosen = choose_finalists(self.optimizer, seen, plan.num_finalists, *self._known)
        if plan.finishes:
            return self._finished(done, chosen)
        if not chosen:
            return None
        if not plan.confirm_seeds:
            (best,) = goal.best(seen.evaluations, 1)
            assert best.value is not None
            return self._outcome(best, best.value, TestPart(), done, Confirmed((), ()))
        confirmed = confirm(self.desk, chosen, plan.confirm_seeds, goal.metric, seen.evaluations)
        return self._confirmed(confirmed, done, chosen)

    @property
    def _known(self) -> tuple[set[str], int]:
        """Keys of the networks that are known to do well, and how many of them may compete."""
        plan = self.plan
        standing = (plan.standing or plan.first) if plan.finishes else ()
        return {self.desk.space.key(each) for each in standing}, max(len(plan.standing), 1)

    def _finished(self, done: Sequence[Evaluation], chosen: Sequence[Evaluation]) -> Outcome | None:
        """Trains the finalists by the final recipe.

        Where nothing was compared it is a known network, or without one what is suggested first,
        which is not shown to be better and lost on two sets (`experiments/TIMED_NETWORKS.md`).
        """
        plan, goal, key = self.plan, self.start.goal, self.desk.space.key
        candidates = [Candidate(e.genotype, e.key, e.seed + 1, e) for e in chosen]
        if not candidates:
            first = [Suggestion(genotype) for genotype in plan.first]
            first = first or suggest(self.optimizer, self.start, plan.seed, 0, 1)
            keys = [(s.genotype, key(s.genotype)) for s in first[: plan.num_finalists]]
            candidates = [Candidate(g, k, key_seed(k, plan.seed) + 1) for g, k in keys]
        if not candidates:
            return None
        clock, several = plan.clock, plan.averaging
        if clock is None or several is None:
            finished = finish(self.desk, candidates, goal.metric, clock, plan.grow)
        else:
            shown = {candidate.key for candidate in candidates}
            keys = [(genotype, key(genotype)) for genotype in plan.standing]
            candidates += [
                Candidate(g, k, key_seed(k, plan.seed) + 1) for g, k in keys if k not in shown
            ]
            rest = goal.metric, clock, several, *self._known
            finished = finish_averaged(self.desk, candidates, *rest)
        return self._confirmed(finished, done, chosen)

    def _confirmed(
        self, confirmed: Confirmed, done: Sequence[Evaluation], chosen: Sequence[Evaluation]
    ) -> Outcome | None:
        winner, trained = confirmed.winner, confirmed.trained
        if winner is None or trained is None or winner.mean is None:
            return None
        # By the final recipe images may have another size: what the search trained is no such.
        is_final = not self.plan.finishes or trained.purpose == "final"
        reads_test = self.plan.reads_test and is_final
        tested = test(self.desk, confirmed) if reads_test else TestPart()
        self.desk.keep_only([trained, *chosen], joined_name(trained, len(confirmed.members) or 1))
        return self._outcome(trained, winner.mean, tested, done, confirmed)

    def _outcome(
        self,
        best: Evaluation,
        value: float,
        tested: TestPart,
        done: Sequence[Evaluation],
        confirmed: Confirmed,
    ) -> Outcome:
        goal, confirmations = self.start.goal, confirmed.evaluations
        num_members = len(confirmed.members) or 1
        return Outcome(
            genotype=best.genotype,
            value=value,
            test=tested.value,
            test_logits=tested.logits,
            incumbent_curve=goal.incumbents(done),
            num_evaluations=len(done),
            num_confirmations=len(confirmations),
            seconds=sum(e.seconds for e in (*done, *confirmations)),
            finalists=confirmed.finalists,
            epochs_trained=sum(len(e.curve) for e in done),
            epochs_saved=0 if self.early_stop is None else self.early_stop.saved(done),
            variables_name=joined_name(best, num_members)
            if self.desk.keeps and tested.value is not None
            else "",
            costs={name: num_members * cost for name, cost in best.costs.items()},
            member_values=tuple(e.value for e in confirmed.members if e.value is not None),
            front=tuple(goal.best(done, len(done))) if goal.pareto else (),
        )
