"""Finishing: the best are trained by the final recipe, in the time that is left."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import Evaluation, Job
from xfernas_jax.search.clock import Clock
from xfernas_jax.search.desk import Desk
from xfernas_jax.search.outcome import Finalist
from xfernas_jax.search.phases.confirm import Confirmed
from xfernas_jax.space.base import Genotype, Space


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An architecture that may be handed over.

    Attributes:
      genotype: the architecture.
      key: of it.
      seed: of its final training.
      searched: its evaluation in the search; None where it had none.
      competes: whether it is worth a full training although another one has had its own.
    """

    genotype: Genotype
    key: str
    seed: int
    searched: Evaluation | None = None
    competes: bool = False


def competing(
    candidates: Sequence[Candidate], known: Collection[str], most: int
) -> list[Candidate]:
    """Returns the candidates, first those that compete for the time.

    These are the best that is known to do well, what short trainings surely prefer to it, if
    anything, and the next best that are known.

    Args:
      candidates: the best first.
      known: keys of networks that are known to do well.
      most: of these that compete.
    """
    standing = [candidate for candidate in candidates if candidate.key in known][:most]
    preferred = [candidate for candidate in candidates[:1] if candidate.key not in known]
    first = [*standing[:1], *preferred, *standing[1:]] if standing else []
    keys = {candidate.key for candidate in first}
    others = [candidate for candidate in candidates if candidate.key not in keys]
    return [*(dataclasses.replace(each, competes=True) for each in first), *others]


_LEAST_SHARE = 0.5  # of the longest training's time, in which another one is still worth its time


def finish(
    desk: Desk,
    candidates: Sequence[Candidate],
    metric: Metric,
    clock: Clock | None,
    grow: Callable[[Genotype, float], Genotype] | None = None,
) -> Confirmed:
    """Trains finalists by the final recipe, one after the other, and takes the best of them.

    The first gets all the time that is left, which its training may not need; another follows while
    there is half as much left as the longest took, and is as much shorter. What follows is first
    the same network, wider, where `grow` says so. Without a clock all are trained, and none grows.
    Where no training completes, the best evaluation of the search is handed over as it is.

    Args:
      desk: where jobs go.
      candidates: the best first; not empty.
      metric: of the task.
      clock: that runs, or None.
      grow: what a candidate may become, from it and the seconds that there are.
    """
    recorded = {e.key: e for e in reversed(desk.recorded("final"))}  # the first of each
    trainings: list[Evaluation] = []
    best: tuple[Evaluation, Any] | None = None
    waiting = list(candidates)
    while waiting:
        candidate = waiting.pop(0)
        known, variables = recorded.get(candidate.key), None
        if known is None or (known.status == "broken" and not desk.waits_for_other_options(known)):
            limit = None if clock is None else clock.left_to_train()
            if limit is not None and trainings and limit < _least_seconds(candidate, trainings):
                break
            desk.submit(final_job(len(trainings), candidate, limit))
            known, variables = desk.next()
            if _is_better(metric, known, best):
                desk.keep(known, variables)
            desk.append(known)
        trainings.append(known)
        if _is_better(metric, known, best):
            best = (known, variables)
        wider = _wider_before(desk.space, candidate, recorded)
        if wider is None and clock is not None and grow is not None and known.value is not None:
            wider = grow(candidate.genotype, clock.left_to_train())
        if wider is not None:
            key = desk.space.key(wider)
            waiting.insert(0, dataclasses.replace(candidate, genotype=wider, key=key))
        trained_keys = {training.key for training in trainings}
        waiting = [each for each in waiting if each.key not in trained_keys]
    finalists = tuple(map(finalist, trainings))
    if best is None:
        return unfinished(candidates[0].searched, tuple(trainings))
    trained, variables = best
    winner = finalists[trainings.index(trained)]
    return Confirmed(finalists, tuple(trainings), winner, trained, variables)


def _wider_before(
    space: Space, candidate: Candidate, recorded: Mapping[str, Evaluation]
) -> Genotype | None:
    """Returns the wider form of a candidate that an earlier process trained; None without one."""
    wider = space.wider(candidate.genotype)
    while wider is not None and space.key(wider) not in recorded:
        wider = space.wider(wider)
    return wider


def _least_seconds(candidate: Candidate, trainings: Sequence[Evaluation]) -> float:
    """Returns the seconds below which a further training is not begun.

    Its network also has to be compiled, which took a part of its evaluation in the search.
    """
    searched = 0.0 if candidate.searched is None else candidate.searched.seconds
    return max(_LEAST_SHARE * max(e.seconds for e in trainings), searched)


def final_job(number: int, candidate: Candidate, limit: float | None) -> Job:
    """Returns what trains a candidate by the final recipe, in so many seconds."""
    return Job(
        number,
        candidate.genotype,
        candidate.key,
        candidate.seed,
        "final",
        limit_seconds=limit,
    )


def _is_better(metric: Metric, training: Evaluation, best: tuple[Evaluation, Any] | None) -> bool:
    if training.value is None:
        return False
    if best is None or best[0].value is None:
        return True
    return metric.gain(training.value) > metric.gain(best[0].value)


def finalist(training: Evaluation) -> Finalist:
    """Returns what is told of a candidate that had one training."""
    values = () if training.value is None else (training.value,)
    return Finalist(training.genotype, training.key, values, training.value)


def unfinished(searched: Evaluation | None, trainings: tuple[Evaluation, ...]) -> Confirmed:
    """Returns the best of the search itself as the winner, where there was one."""
    finalists = tuple(map(finalist, trainings))
    if searched is None:
        return Confirmed(finalists, trainings)
    winner = finalist(searched)
    return Confirmed((winner, *finalists), trainings, winner, searched)
