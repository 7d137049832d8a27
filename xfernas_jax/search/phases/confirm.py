"""Confirming and testing: finalists are trained again; the best mean wins and is tested once."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from xfernas_jax.evaluate.base import Answering
from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import Evaluation, Job
from xfernas_jax.search.base import Drawing, Estimator, Optimizer
from xfernas_jax.search.desk import Desk
from xfernas_jax.search.outcome import Finalist
from xfernas_jax.search.seen import Seen

SURE = 0.7
"""Probability from which on another network takes the place of a known one."""
_NUM_DRAWS = 400


@dataclasses.dataclass(frozen=True)
class Confirmed:
    """What confirming gave.

    Attributes:
      finalists: in the order in which they were chosen.
      evaluations: the trainings of them all.
      winner: of the best mean; None where every training of every finalist failed.
      trained: the training that stands for the winner: its first complete one.
      variables: of that training where they are still in memory; of several by `nn.members.joined`.
      members: trainings whose mean is handed over; none where it is a single one.
    """

    finalists: tuple[Finalist, ...]
    evaluations: tuple[Evaluation, ...]
    winner: Finalist | None = None
    trained: Evaluation | None = None
    variables: Any = None
    members: tuple[Evaluation, ...] = ()


def choose_finalists(
    optimizer: Optimizer, seen: Seen, count: int, known: Collection[str] = (), most_known: int = 1
) -> list[Evaluation]:
    """Returns the evaluations that are worth confirming, the best first.

    The single best values are the luckiest trainings too. So an optimizer that learned how noisy
    values are is asked for its posterior means of what may win; others have the values alone.

    Args:
      optimizer: of the search.
      seen: by it.
      count: at most.
      known: keys of networks that are known to do well in full trainings. The best of them stays
        before another one that is not better with a probability of `SURE` at least, since short
        trainings flatter what is good at small images and few epochs
        (`experiments/TIMED_NETWORKS.md`).
      most_known: of these that come before all others, but not before a surely better one.
    """
    admitted = seen.goal.best(seen.evaluations, len(seen.evaluations))
    if seen.outlook is not None:
        admitted.sort(key=lambda e: -seen.gain(e))
    means = optimizer.estimates(seen) if isinstance(optimizer, Estimator) else None
    if means is not None:
        # One network may have been evaluated twice, by an earlier study: its latest mean counts.
        by_key = {e.key: float(mean) for e, mean in zip(seen.complete, means, strict=True)}
        admitted.sort(key=lambda e: -by_key[e.key])
        standing = list(dict.fromkeys(e.key for e in admitted if e.key in known))[:most_known]
        if standing:
            best, stays = admitted[0], next(e for e in admitted if e.key == standing[0])
            if _is_surely_better(optimizer, seen, best, stays):
                standing.append(best.key)
            admitted.sort(key=lambda e: e.key not in standing)
    distinct = {evaluation.key: evaluation for evaluation in reversed(admitted)}
    return list(reversed(distinct.values()))[:count]


def _is_surely_better(
    optimizer: Optimizer, seen: Seen, best: Evaluation, standing: Evaluation
) -> bool:
    """Tells whether the best network is the standing one, or better with probability `SURE`.

    What an optimizer without draws finds best is taken at its word.
    """
    if best.key == standing.key or not isinstance(optimizer, Drawing):
        return True
    places = {e.key: i for i, e in enumerate(seen.complete)}  # the latest of equal ones
    draws = optimizer.draws(seen, np.random.default_rng(0), _NUM_DRAWS)
    better = draws[:, places[best.key]] > draws[:, places[standing.key]]
    return float(better.mean()) >= SURE


def confirm(
    desk: Desk,
    chosen: Sequence[Evaluation],
    num_seeds: int,
    metric: Metric,
    done: Sequence[Evaluation],
) -> Confirmed:
    """Trains each finalist under `num_seeds` new seeds.

    Args:
      desk: where jobs go.
      chosen: the finalists.
      num_seeds: trainings of each.
      metric: of the task.
      done: all evaluations of the search; a confirming training that failed counts as the worst
        value of the metric or, where that has no bound, of these.
    """
    jobs = [
        Job(number, e.genotype, e.key, e.seed + 1 + number % num_seeds, "confirm")
        for number, e in enumerate(e for e in chosen for _ in range(num_seeds))
    ]
    results = {(e.key, e.seed): e for e in desk.recorded("confirm")}
    for job in jobs:
        known = results.get((job.key, job.seed))
        if known is None or (known.status == "broken" and not desk.waits_for_other_options(known)):
            desk.submit(job)
    kept: dict[str, tuple[int, Any]] = {}  # by finalist: of its first seed that did not fail
    while desk.running:
        evaluation, variables = desk.next()
        key, seed = evaluation.key, evaluation.seed
        if evaluation.value is not None and (key not in kept or seed < kept[key][0]):
            kept[key] = (seed, variables)
            desk.keep(evaluation, variables)
        desk.append(evaluation)
        results[key, seed] = evaluation
    trainings = [results[job.key, job.seed] for job in jobs]
    finalists = [
        _finalist(trainings[i : i + num_seeds], metric, done)
        for i in range(0, len(trainings), num_seeds)
    ]
    every = tuple(trainings)
    complete = [finalist for finalist in finalists if finalist.mean is not None]
    if not complete:
        return Confirmed(tuple(finalists), every)
    winner = max(complete, key=lambda f: metric.gain(f.mean))  # type: ignore[arg-type]
    trained = next(e for e in trainings if e.key == winner.key and e.value is not None)
    seed, variables = kept.get(winner.key, (None, None))
    return Confirmed(
        tuple(finalists), every, winner, trained, variables if seed == trained.seed else None
    )


def _finalist(
    trainings: Sequence[Evaluation], metric: Metric, done: Sequence[Evaluation]
) -> Finalist:
    first = trainings[0]
    if all(e.value is None for e in trainings):
        return Finalist(first.genotype, first.key, (), None)
    worst = metric.worst
    if worst is None or not np.isfinite(worst):
        gains = [metric.gain(e.value) for e in (*done, *trainings) if e.value is not None]
        worst = metric.value(min(gains))
    values = tuple(worst if e.value is None else e.value for e in trainings)
    return Finalist(first.genotype, first.key, values, float(np.mean(values)))


@dataclasses.dataclass(frozen=True, eq=False)
class TestPart:
    """What the test part says of the winner.

    Attributes:
      value: the metric; None where there is no test part, or a repeated training did not complete.
      logits: `[N, classes]` of its images; None where nobody can tell.
    """

    __test__ = False  # pytest would take it for a test

    value: float | None = None
    logits: np.ndarray | None = None


def test(desk: Desk, confirmed: Confirmed) -> TestPart:
    """Reads the test part with the winner's variables.

    Where they were not kept, the training is repeated, and recorded: bit for bit, unless it was a
    final one that got as many epochs as fitted.
    """
    trained, variables = confirmed.trained, confirmed.variables
    assert trained is not None
    if variables is None:
        variables = desk.kept(trained)
    if variables is None:
        purpose = "final" if trained.purpose == "final" else "test"
        desk.submit(dataclasses.replace(trained.job, purpose=purpose))
        again, variables = desk.next()
        desk.keep(trained, variables)
        desk.append(again)
        if variables is None:
            return TestPart()
    executor, genotype = desk.executor, trained.genotype
    if confirmed.members and isinstance(executor, Answering):
        answer = executor.answer(genotype, variables, "test")
        return TestPart() if answer is None else TestPart(answer.value, answer.logits)
    value = executor.test(genotype, variables)
    if value is None or not isinstance(executor, Answering):
        return TestPart(value)
    answer = executor.answer(genotype, variables, "test")
    return TestPart(value, None if answer is None else answer.logits)
