"""The search loop: joins an optimizer to a benchmark and a study.

Every finished evaluation is durable before the next one starts, and everything random is derived
from (seed, round) or (seed, architecture), so a killed search that is started again goes on as if
it had never stopped.
"""

import dataclasses
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from xfernas_jax.benchmarks.base import Benchmark
from xfernas_jax.history.record import Evaluation, Purpose
from xfernas_jax.history.storage import Storage
from xfernas_jax.search.base import SearchOptimizer
from xfernas_jax.space.base import Genotype, Space


@runtime_checkable
class Listener(Protocol):
    """Is told of progress; the command line draws it."""

    def started(self, genotype: Genotype, purpose: Purpose, number: int) -> None: ...

    def epoch(self, epoch: int, valid_accuracy: float) -> None:
        """Is called after every epoch of the training that started last; epochs from 1."""
        ...

    def finished(self, evaluation: Evaluation, number: int) -> None: ...


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
      confirm_seeds: trainings of each finalist at the end, under other seeds than the search's.
      num_finalists: best architectures that are trained again.
    """

    budget_evaluations: int = 24
    batch_size: int = 4
    seed: int = 0
    confirm_seeds: int = 3
    num_finalists: int = 3


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
      genotype: of the best mean validation accuracy over the confirming trainings.
      valid_accuracy: that mean, a fraction.
      test_accuracy: of one of its trainings, read once; None when nothing was read.
      num_params: trainable parameters.
      incumbent_curve: best validation accuracy of the search after each evaluation.
      num_evaluations: of the search, confirmations left out.
      num_confirmations: trainings of the finalists.
      seconds: of all trainings together.
      variables_name: under which the tested variables are kept; empty without a keeper.
    """

    genotype: Genotype
    valid_accuracy: float
    test_accuracy: float
    num_params: int
    incumbent_curve: tuple[float, ...]
    num_evaluations: int
    num_confirmations: int
    seconds: float
    variables_name: str = ""


def run_search(
    optimizer: SearchOptimizer,
    benchmark: Benchmark,
    storage: Storage,
    study: str,
    config: LoopConfig,
    listener: Listener,
    keeper: VariablesKeeper | None = None,
    prior: Sequence[Evaluation] = (),
) -> Outcome | None:
    """Searches until the budget is spent, confirms the best and reads the test part once.

    Args:
      optimizer: new; it is shown what the study holds already.
      benchmark: that scores architectures.
      storage: where the study is open.
      study: its name.
      config: size of the search.
      listener: told of progress.
      keeper: keeps the variables of the best `num_finalists` and of what is tested.
      prior: what earlier studies know of this very task under this recipe; the optimizer is
        shown it first, it is not evaluated again, and its best may be finalists.

    Returns:
      The outcome, or None when every evaluation or every confirming training failed.
    """
    done = [e for e in storage.evaluations(study) if e.purpose == "search"]
    rounds = -(-config.budget_evaluations // config.batch_size)
    first = len(done) // config.batch_size
    optimizer.observe([*prior, *done[: first * config.batch_size]])
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
        known = {benchmark.space.key(e.genotype) for e in batch}
        for suggestion in suggestions:
            if len(batch) == count:  # a raised budget can find a round that began smaller
                break
            if benchmark.space.key(suggestion.genotype) in known:
                continue
            number = start + len(batch)
            listener.started(suggestion.genotype, "search", number)
            seed = training_seed(benchmark.space, suggestion.genotype, config.seed)
            scored = benchmark.evaluate(suggestion.genotype, seed, on_epoch=listener.epoch)
            evaluation = dataclasses.replace(
                scored.evaluation, round_index=round_index, predicted=suggestion.predicted
            )
            batch.append(evaluation)
            best = _best([*done[:start], *batch], config.num_finalists)
            is_best = evaluation in best
            if keeper is not None and is_best:
                keeper.save(_variables_name(benchmark.space, evaluation), scored.variables)
            storage.append(study, evaluation)
            if keeper is not None and is_best:
                keeper.keep_only(_variables_name(benchmark.space, e) for e in best)
            listener.finished(evaluation, number)
        optimizer.observe(batch)
        done = [*done[:start], *batch]
    return _confirm(benchmark, storage, study, done, config, listener, keeper, prior)


def training_seed(space: Space, genotype: Genotype, seed: int) -> int:
    """Returns the seed of an architecture's training; equal networks get an equal one."""
    return zlib.crc32(f"{seed}/{space.key(genotype)}".encode()) >> 1


def incumbent_curve(evaluations: Sequence[Evaluation]) -> tuple[float, ...]:
    """Returns the best validation accuracy after each evaluation (0 while all failed)."""
    scores = [e.valid_accuracy or 0.0 for e in evaluations]
    return tuple(float(x) for x in np.maximum.accumulate(scores)) if scores else ()


def _best(evaluations: Iterable[Evaluation], count: int) -> list[Evaluation]:
    """Returns the complete evaluations of the highest accuracy, the earlier first at a tie."""
    complete = [e for e in evaluations if e.valid_accuracy is not None]
    return sorted(complete, key=lambda e: -(e.valid_accuracy or 0.0))[:count]


def _variables_name(space: Space, evaluation: Evaluation) -> str:
    return f"{space.key(evaluation.genotype)}-{evaluation.seed}"


def _confirm(
    benchmark: Benchmark,
    storage: Storage,
    study: str,
    done: Sequence[Evaluation],
    config: LoopConfig,
    listener: Listener,
    keeper: VariablesKeeper | None,
    prior: Sequence[Evaluation],
) -> Outcome | None:
    """Trains the finalists under new seeds; the best mean wins and is tested once."""
    finalists = _best([*prior, *done], config.num_finalists)
    if not finalists:
        return None
    recorded = [e for e in storage.evaluations(study) if e.purpose == "confirm"]
    by_key = {(benchmark.space.key(e.genotype), e.seed): e for e in recorded}
    confirmations: list[Evaluation] = []
    results: list[tuple[float, Evaluation]] = []  # mean, and the training that would be tested
    kept: dict[str, Any] = {}
    for finalist in finalists:
        scores, tested, key = [], None, benchmark.space.key(finalist.genotype)
        for extra in range(config.confirm_seeds):
            seed = finalist.seed + 1 + extra
            evaluation = by_key.get((key, seed))
            if evaluation is None:
                listener.started(finalist.genotype, "confirm", len(confirmations))
                scored = benchmark.evaluate(finalist.genotype, seed, "confirm", listener.epoch)
                evaluation = scored.evaluation
                if tested is None and evaluation.valid_accuracy is not None:
                    name = _variables_name(benchmark.space, evaluation)
                    kept[name] = scored.variables
                    if keeper is not None:
                        keeper.save(name, scored.variables)
                storage.append(study, evaluation)
                listener.finished(evaluation, len(confirmations))
            if tested is None and evaluation.valid_accuracy is not None:
                tested = evaluation
            confirmations.append(evaluation)
            scores.append(evaluation.valid_accuracy or 0.0)
        if tested is not None:
            results.append((float(np.mean(scores)), tested))
    if not results:
        return None
    mean, best = max(results, key=lambda result: result[0])
    name = _variables_name(benchmark.space, best)
    variables = kept.get(name)
    if variables is None and keeper is not None:
        variables = keeper.load(name)
    if variables is None:  # not kept: that training is repeated, bit for bit, to have its values
        variables = benchmark.evaluate(best.genotype, best.seed, "confirm").variables
    if keeper is not None:
        keeper.keep_only([name, *(_variables_name(benchmark.space, e) for e in finalists)])
    return Outcome(
        genotype=best.genotype,
        valid_accuracy=mean,
        test_accuracy=benchmark.test_accuracy(best.genotype, variables),
        num_params=best.num_params,
        incumbent_curve=incumbent_curve(done),
        num_evaluations=len(done),
        num_confirmations=len(confirmations),
        seconds=sum(e.seconds for e in (*done, *confirmations)),
        variables_name="" if keeper is None else name,
    )


def collect_random(
    benchmark: Benchmark,
    storage: Storage,
    study: str,
    num_architectures: int,
    seed: int,
    listener: Listener,
) -> int:
    """Evaluates random architectures until the study holds `num_architectures`.

    The sequence of architectures depends on `seed` alone, so a rerun goes on where the last one
    stopped. Returns the number of evaluations done now.
    """
    have = {benchmark.space.key(e.genotype) for e in storage.evaluations(study)}
    rng = np.random.default_rng([seed, 0xC0])
    seen: set[str] = set()
    done = 0
    while len(seen) < num_architectures:
        genotype = benchmark.space.sample(rng)
        key = benchmark.space.key(genotype)
        if key in seen:
            continue
        seen.add(key)
        if key in have:
            continue
        number = len(seen) - 1
        listener.started(genotype, "collect", number)
        training = training_seed(benchmark.space, genotype, seed)
        evaluation = benchmark.evaluate(genotype, training, "collect", listener.epoch).evaluation
        storage.append(study, evaluation)
        listener.finished(evaluation, number)
        done += 1
    return done


__all__ = [
    "Listener",
    "LoopConfig",
    "Outcome",
    "VariablesKeeper",
    "collect_random",
    "incumbent_curve",
    "run_search",
    "training_seed",
]
