"""The search loop: joins an optimizer to an executor and a study.

The evaluations of a round run side by side where the executor has the devices. Each is recorded
as soon as it finishes. Everything random is derived from (seed, round) or (seed, architecture),
and the optimizer is shown a round in the order in which it suggested it: so a search with several
workers finds what one finds, and a killed search that is started again goes on as if it had never
stopped.
"""

import dataclasses
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from xfernas_jax.evaluate.base import Scored
from xfernas_jax.executors.base import Executor, Job, Watcher
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.record import Evaluation
from xfernas_jax.history.storage import Storage
from xfernas_jax.search.base import SearchOptimizer, Suggestion
from xfernas_jax.search.early_stop import EarlyStop, Stopper
from xfernas_jax.search.outcome import Outcome, incumbent_curve, make_outcome
from xfernas_jax.space.base import Genotype, Space


@runtime_checkable
class Listener(Watcher, Protocol):
    """Is told of progress; the command line draws it."""

    def finished(self, job: Job, evaluation: Evaluation) -> None:
        """Is called when an evaluation is recorded."""
        ...


@runtime_checkable
class VariablesKeeper(Protocol):
    """Keeps trained variables by name, so that a search that was killed still has them."""

    def save(self, name: str, variables: Any) -> None: ...

    def load(self, name: str) -> Any | None: ...

    def keep_only(self, names: Iterable[str]) -> None: ...


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """Size of a search.

    Attributes:
      budget_evaluations: architectures in all.
      batch_size: architectures that the optimizer suggests at once.
      seed: of everything random in the search.
      confirm_seeds: trainings of each finalist at the end, under other seeds than the search's;
        with 0 the best evaluation wins as it is, and nothing is tested.
      num_finalists: best architectures that are trained again.
    """

    budget_evaluations: int = 24
    batch_size: int = 4
    seed: int = 0
    confirm_seeds: int = 3
    num_finalists: int = 3


def run_search(
    optimizer: SearchOptimizer,
    executor: Executor,
    storage: Storage,
    study: str,
    config: LoopConfig,
    listener: Listener,
    keeper: VariablesKeeper | None = None,
    prior: Sequence[Evaluation] = (),
    early_stop: EarlyStop | None = None,
    goal: Goal | None = None,
) -> Outcome | None:
    """Searches until the budget is spent, confirms the best and reads the test part once.

    Args:
      optimizer: new; it is shown what the study holds already.
      executor: that scores architectures.
      storage: where the study is open.
      study: its name.
      config: size of the search.
      listener: told of progress.
      keeper: keeps the variables of the best `num_finalists` and of what is tested.
      prior: what earlier studies know of this very task under this recipe; the optimizer is
        shown it first, it is not evaluated again, and its best may be finalists.
      early_stop: ends trainings early. A round's decisions depend on what was recorded before
        the round. What was stopped and by the whole record would not have been goes on at last.
      goal: which evaluations may win; the optimizer's. By default the most accurate.

    Returns:
      The outcome, or None when nothing was evaluated that may win, or every confirming training
      failed.
    """
    space, goal = executor.space, goal or Goal()
    done = [e for e in storage.evaluations(study) if e.purpose == "search"]
    done.sort(key=lambda e: (e.round_index, e.number))
    rounds = -(-config.budget_evaluations // config.batch_size)
    first = len(done) // config.batch_size
    optimizer.observe([*prior, *done[: first * config.batch_size]])
    best_before = goal.best(done[: first * config.batch_size], config.num_finalists)
    for round_index in range(first, rounds):
        start = round_index * config.batch_size
        count = min(config.batch_size, config.budget_evaluations - start)
        if count <= 0:
            break
        rng = np.random.default_rng([config.seed, round_index])
        suggestions = optimizer.suggest(rng, count)
        if not suggestions:
            break
        batch = list(done[start : start + count])
        stopper = _stopper(early_stop, [*prior, *done[:start]], config)
        predicted = _submit_round(executor, config.seed, start, count, suggestions, batch, stopper)
        for job, scored in as_finished(executor, len(predicted), listener):
            evaluation = dataclasses.replace(
                scored.evaluation,
                round_index=round_index,
                number=job.number,
                predicted=predicted[job.number],
            )
            batch = sorted([*batch, evaluation], key=lambda e: e.number)
            best = goal.best([*best_before, *batch], config.num_finalists)
            _record(space, storage, study, scored, evaluation, best, keeper)
            listener.finished(job, evaluation)
        optimizer.observe(batch)
        best_before = goal.best([*best_before, *batch], config.num_finalists)
        done = [*done[:start], *batch]
    stopper = _stopper(early_stop, [*prior, *done], config)
    if stopper is not None:
        done = _resume(executor, storage, study, done, stopper, config, listener, keeper, goal)
    outcome = _confirm(executor, storage, study, done, config, listener, keeper, prior, goal)
    if outcome is None or early_stop is None:
        return outcome
    return dataclasses.replace(outcome, epochs_saved=early_stop.saved(done))


def _stopper(
    early_stop: EarlyStop | None, evaluations: Sequence[Evaluation], config: LoopConfig
) -> Stopper | None:
    return None if early_stop is None else early_stop.stopper(evaluations, config.num_finalists)


def _submit_round(
    executor: Executor,
    seed: int,
    start: int,
    count: int,
    suggestions: Sequence[Suggestion],
    batch: Sequence[Evaluation],
    stopper: Stopper | None,
) -> dict[int, float | None]:
    """Submits what is missing of a round of `count`; returns predictions by the jobs' numbers."""
    space = executor.space
    known = {space.key(e.genotype) for e in batch}
    new = [s for s in suggestions if space.key(s.genotype) not in known]
    taken = {e.number for e in batch}
    free = [number for number in range(start, start + count) if number not in taken]
    predicted: dict[int, float | None] = {}
    # A raised budget can find a round that began smaller, with other suggestions.
    for number, suggestion in zip(free, new[: count - len(batch)], strict=False):
        training = training_seed(space, suggestion.genotype, seed)
        predicted[number] = suggestion.predicted
        executor.submit(Job(number, suggestion.genotype, training, stop=stopper))
    return predicted


def _record(
    space: Space,
    storage: Storage,
    study: str,
    scored: Scored,
    evaluation: Evaluation,
    best: Sequence[Evaluation],
    keeper: VariablesKeeper | None,
) -> None:
    """Records an evaluation; its variables are kept where it is one of the best."""
    is_best = evaluation in best
    if keeper is not None and is_best:
        keeper.save(_variables_name(space, evaluation), scored.variables)
    storage.append(study, evaluation)
    if keeper is not None and is_best:
        keeper.keep_only(_variables_name(space, e) for e in best)


def _resume(
    executor: Executor,
    storage: Storage,
    study: str,
    done: Sequence[Evaluation],
    stopper: Stopper,
    config: LoopConfig,
    listener: Listener,
    keeper: VariablesKeeper | None,
    goal: Goal,
) -> list[Evaluation]:
    """Lets go on what an early round stopped and the whole record would not have stopped.

    Each result stands in for the stopped evaluation, whose record stays: the rounds of a search
    that is continued with a larger budget are those of one that had it from the start.
    """
    space, merged = executor.space, list(done)
    recorded = (e for e in storage.evaluations(study) if e.purpose == "resume")
    resumed = {space.key(e.genotype): e for e in recorded}
    num_jobs = 0
    for place, before in enumerate(done):
        if before.status != "stopped" or stopper(before.curve):
            continue
        key = space.key(before.genotype)
        if key in resumed:
            merged[place] = resumed[key]
        else:
            executor.submit(Job(place, before.genotype, before.seed, "resume", stopper))
            num_jobs += 1
    for job, scored in as_finished(executor, num_jobs, listener):
        before = done[job.number]
        evaluation = dataclasses.replace(
            scored.evaluation,
            round_index=before.round_index,
            number=before.number,
            predicted=before.predicted,
            seconds=before.seconds + scored.evaluation.seconds,
        )
        merged[job.number] = evaluation
        best = goal.best(merged, config.num_finalists)
        _record(space, storage, study, scored, evaluation, best, keeper)
        listener.finished(job, evaluation)
    return merged


def as_finished(executor: Executor, count: int, watcher: Watcher) -> Iterator[tuple[Job, Scored]]:
    """Yields the next `count` evaluations that finish."""
    for _ in range(count):
        yield executor.next_finished(watcher)


def training_seed(space: Space, genotype: Genotype, seed: int) -> int:
    """Returns the seed of an architecture's training; equal networks get an equal one."""
    return zlib.crc32(f"{seed}/{space.key(genotype)}".encode()) >> 1


def _variables_name(space: Space, evaluation: Evaluation) -> str:
    return f"{space.key(evaluation.genotype)}-{evaluation.seed}"


def _confirm(
    executor: Executor,
    storage: Storage,
    study: str,
    done: Sequence[Evaluation],
    config: LoopConfig,
    listener: Listener,
    keeper: VariablesKeeper | None,
    prior: Sequence[Evaluation],
    goal: Goal,
) -> Outcome | None:
    """Trains the finalists under new seeds; the best mean wins and is tested once."""
    space = executor.space
    finalists = goal.best([*prior, *done], config.num_finalists)
    if not finalists:
        return None
    if not config.confirm_seeds:
        return make_outcome(finalists[0], finalists[0].valid_accuracy or 0.0, None, done, (), goal)
    recorded = [e for e in storage.evaluations(study) if e.purpose == "confirm"]
    results = {(space.key(e.genotype), e.seed): e for e in recorded}
    jobs: list[Job] = []  # in the order of finalists, then of seeds
    for finalist in finalists:
        for extra in range(config.confirm_seeds):
            jobs.append(Job(len(jobs), finalist.genotype, finalist.seed + 1 + extra, "confirm"))
    waiting = [job for job in jobs if (space.key(job.genotype), job.seed) not in results]
    for job in waiting:
        executor.submit(job)
    kept: dict[str, tuple[int, Any]] = {}  # by finalist: of its first seed that did not fail
    for job, scored in as_finished(executor, len(waiting), listener):
        evaluation = dataclasses.replace(scored.evaluation, number=job.number)
        key = space.key(job.genotype)
        earlier = kept.get(key)
        if evaluation.valid_accuracy is not None and (earlier is None or job.seed < earlier[0]):
            kept[key] = (job.seed, scored.variables)
            if keeper is not None:
                keeper.save(_variables_name(space, evaluation), scored.variables)
        storage.append(study, evaluation)
        results[key, job.seed] = evaluation
        listener.finished(job, evaluation)
    confirmations = [results[space.key(job.genotype), job.seed] for job in jobs]
    ranking: list[tuple[float, Evaluation]] = []  # mean, and the training that would be tested
    for i in range(0, len(jobs), config.confirm_seeds):
        trainings = confirmations[i : i + config.confirm_seeds]
        complete = [e for e in trainings if e.valid_accuracy is not None]
        if complete:
            mean = float(np.mean([_or_worst(e, done) for e in trainings]))
            ranking.append((mean, complete[0]))
    if not ranking:
        return None
    mean, best = max(ranking, key=lambda result: result[0])
    if best.metric == "score":  # nothing was trained that could be tested
        return make_outcome(best, mean, None, done, confirmations, goal)
    name = _variables_name(space, best)
    seed, variables = kept.get(space.key(best.genotype), (None, None))
    if seed != best.seed:
        variables = None if keeper is None else keeper.load(name)
    if variables is None:  # not kept: that training is repeated, bit for bit, to have its values
        executor.submit(Job(best.number, best.genotype, best.seed, "confirm"))
        variables = executor.next_finished(listener)[1].variables
    if keeper is not None:
        keeper.keep_only([name, *(_variables_name(space, e) for e in finalists)])
    test_accuracy = executor.test_accuracy(best.genotype, variables)
    outcome = make_outcome(best, mean, test_accuracy, done, confirmations, goal)
    return outcome if keeper is None else dataclasses.replace(outcome, variables_name=name)


def _or_worst(evaluation: Evaluation, done: Sequence[Evaluation]) -> float:
    """Returns the value of a confirming training; a failed one counts as the worst there is."""
    if evaluation.valid_accuracy is not None:
        return evaluation.valid_accuracy
    if evaluation.metric == "accuracy":
        return 0.0
    return min((e.valid_accuracy for e in done if e.valid_accuracy is not None), default=0.0)


__all__ = [
    "Listener",
    "LoopConfig",
    "Outcome",
    "VariablesKeeper",
    "as_finished",
    "incumbent_curve",
    "run_search",
    "training_seed",
]
