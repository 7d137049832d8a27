"""Finishing with several trainings of one network, whose logits are averaged.

Trainings of a network under several seeds make different mistakes. So the mean of a few short ones
is better than a long one of the same seconds in all (`experiments/MEMBERS.md`), where picking one
of several by few validation images is luck. It takes as many times longer to predict.
"""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from xfernas_jax.evaluate.base import Answering
from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import Evaluation
from xfernas_jax.nn.members import joined
from xfernas_jax.search.averaging import Averaging
from xfernas_jax.search.clock import Clock
from xfernas_jax.search.desk import Desk, joined_name
from xfernas_jax.search.phases.confirm import Confirmed
from xfernas_jax.search.phases.finish import (
    Candidate,
    competing,
    final_job,
    finalist,
    unfinished,
)

FEWEST_TO_COMPETE = 4
"""Trainings like the first for which there has to be time where two networks have one each."""

Member = tuple[Evaluation, Any]
"""A training that completed, with its variables."""


def finish_averaged(
    desk: Desk,
    candidates: Sequence[Candidate],
    metric: Metric,
    clock: Clock,
    averaging: Averaging,
    known: Collection[str] = (),
    most_known: int = 1,
) -> Confirmed:
    """Trains the best candidate by the final recipe, under as many seeds as there is time for.

    The first training gets its share of the time that is left; what it really took says how many
    are to follow, which share the rest. Less than half of its time is left unused. The next
    candidate is trained only where the first training of one does not complete; where none does,
    the best evaluation of the search is handed over as it is. Where the validation part finds the
    mean worse than its members are on average, the best single one is handed over.

    Where there is time for `FEWEST_TO_COMPETE` trainings of what is known to do well, candidates
    that compete with it have one each, as far as that is half of those that fit, and the best by
    the validation part has all that follow. So what short trainings prefer has to win by a full one
    too (`experiments/RIVALS.md`).

    Args:
      desk: where jobs go.
      candidates: the best first; not empty.
      metric: of the task.
      clock: that runs.
      averaging: what may be averaged.
      known: keys of networks that are known to do well.
      most_known: of these that compete.
    """
    rivals = competing(candidates, known, most_known)
    if averaging.count(rivals[0].genotype, clock.left_to_train()) >= FEWEST_TO_COMPETE:
        candidates = rivals
    recorded = {(e.key, e.seed): e for e in desk.recorded("final")}
    trainings: list[Evaluation] = []
    best: tuple[float, Candidate, Evaluation, Any] | None = None
    num_rivals, share = 1, 0.0
    for candidate in candidates:
        if best is None:
            seconds = clock.left_to_train()
            share = seconds / averaging.count(candidate.genotype, seconds)
        elif (candidate.key, candidate.seed) not in recorded and (
            len(trainings) >= num_rivals or not candidate.competes
        ):
            break
        limit = min(share, clock.left_to_train())
        training, variables = _trained(desk, candidate, len(trainings), limit, recorded)
        trainings.append(training)
        if training.value is None:
            continue
        if best is None:
            num_rivals = _num_rivals(candidates, training, clock)
        gain = metric.gain(training.value)
        if best is None or gain > best[0]:
            best = gain, candidate, training, variables
    if best is None:
        return unfinished(candidates[0].searched, tuple(trainings))
    _, candidate, training, variables = best
    others = [each for each in trainings if each is not training]
    finalists = tuple(map(finalist, (*others, training)))
    single = Confirmed(finalists, tuple(trainings), finalists[-1], training, variables)
    if variables is None or not isinstance(desk.executor, Answering):
        return single
    further = _further(desk, candidate, training, len(trainings), clock, averaging, recorded)
    if not further:
        return single
    return _averaged(desk, single, [(training, variables), *further], metric)


def _num_rivals(candidates: Sequence[Candidate], first: Evaluation, clock: Clock) -> int:
    """Returns how many candidates have a training each: half of those that fit, at most."""
    competing = sum(candidate.competes for candidate in candidates)
    count = 1 + round(clock.left_to_train() / first.seconds) if first.seconds else 1
    return max(min(competing, 2 * count // FEWEST_TO_COMPETE), 1)


def _trained(
    desk: Desk,
    candidate: Candidate,
    number: int,
    limit: float,
    recorded: dict[tuple[str, int], Evaluation],
) -> tuple[Evaluation, Any]:
    """Returns a candidate's training with its variables, which may be an earlier process's."""
    known = recorded.get((candidate.key, candidate.seed))
    if known is not None and (known.status != "broken" or desk.waits_for_other_options(known)):
        return known, desk.kept(known)
    desk.submit(final_job(number, candidate, limit))
    training, variables = desk.next()
    desk.keep(training, variables)
    desk.append(training)
    return training, variables


def _further(
    desk: Desk,
    candidate: Candidate,
    first: Evaluation,
    num_before: int,
    clock: Clock,
    averaging: Averaging,
    recorded: dict[tuple[str, int], Evaluation],
) -> list[Member]:
    """Returns the further trainings that completed."""
    found: list[Member] = []
    for place in range(1, averaging.most):
        costs = {name: (len(found) + 2) * cost for name, cost in first.costs.items()}
        if not averaging.admits(costs):
            break
        again = dataclasses.replace(candidate, seed=first.seed + place)
        left = clock.left_to_train()
        count = min(round(left / first.seconds), averaging.most - place) if first.seconds else 0
        if not count and (again.key, again.seed) not in recorded:
            break
        number = num_before + place - 1
        training, variables = _trained(desk, again, number, left / max(count, 1), recorded)
        if training.value is not None and variables is not None:
            found.append((training, variables))
    return found


def _averaged(
    desk: Desk, single: Confirmed, members: Sequence[Member], metric: Metric
) -> Confirmed:
    """Returns the mean of several trainings as what won, or the best of them."""
    trainings, every = zip(*members, strict=True)
    values = [training.value for training in trainings if training.value is not None]
    first, mean = trainings[0], joined(every)
    answer = desk.executor.answer(first.genotype, mean, "valid")  # type: ignore[attr-defined]
    confirmed = dataclasses.replace(single, evaluations=(*single.evaluations, *trainings[1:]))
    gains = [metric.gain(value) for value in values]
    if answer is None or answer.value is None or metric.gain(answer.value) < np.mean(gains):
        best = int(np.argmax(gains))
        trained, variables = members[best]
        return _with(confirmed, values[best], trained=trained, variables=variables)
    desk.keep_named(joined_name(first, len(members)), mean)
    return _with(confirmed, answer.value, variables=mean, members=tuple(trainings))


def _with(confirmed: Confirmed, value: float, **changes: Any) -> Confirmed:
    """Returns the same with another value of what won, which is the last of the finalists."""
    assert confirmed.winner is not None
    winner = dataclasses.replace(confirmed.winner, values=(value,), mean=value)
    finalists = (*confirmed.finalists[:-1], winner)
    return dataclasses.replace(confirmed, finalists=finalists, winner=winner, **changes)
