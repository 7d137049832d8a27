"""A search whose evaluations take milliseconds: what the driver's part of each costs.

    python -m experiments.bench.storage_load --output=load.json

One driver searches (random search, so the optimizer costs nothing) and records in one PostgreSQL
study, under its lease; `--workers` processes evaluate. The driver's cost of an evaluation is its
wall time without the waiting for results: suggest, submit, record, observe. After each evaluation
the same trial goes into a bare Optuna study in the same database, by `create_trial` and
`add_trial` (`ask`, `report` and `tell` commit each attribute and epoch, and cost several times
that), so both meet the same load; its time is not the driver's.

When the `--evaluations` are there the search goes on to `--grown`, and `--window` more are
measured. What was recorded is compared with what the workers were given: one trial for each, with
the same content. It ends with code 1 where anything is lost or doubled, or a bar is missed.
"""

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from absl import app, flags
from optuna.storages import RDBStorage

from experiments.bench.machine import check_output, write_result
from experiments.bench.postgres import running_postgres
from experiments.bench.synthetic import RECIPE, SyntheticExecutor, synthetic_evaluation
from experiments.commands import guarded
from xfernas_jax.errors import FlagError
from xfernas_jax.executors.base import Job
from xfernas_jax.history import Evaluation, Storage, StudySpec, Task, evaluation_key
from xfernas_jax.history.serialize import evaluation_to_json
from xfernas_jax.history.trials import to_trial
from xfernas_jax.search.loop import LoopConfig, run_search
from xfernas_jax.search.random import RandomSearch
from xfernas_jax.space.base import Space

_STORAGE = flags.DEFINE_string(
    "storage", None, "URL of an empty PostgreSQL database; by default on a server of its own."
)
_SPACE = flags.DEFINE_string("space", "nao5", "Search space, of more networks than are evaluated.")
_WORKERS = flags.DEFINE_integer("workers", 16, "Processes that evaluate.", lower_bound=1)
_EVALUATIONS = flags.DEFINE_integer("evaluations", 5000, "Beside the bare study.", lower_bound=1)
_SMALL = flags.DEFINE_integer("small", 1000, "Stored evaluations, first window.", lower_bound=0)
_GROWN = flags.DEFINE_integer("grown", 20_000, "The same, last window.", lower_bound=1)
_WINDOW = flags.DEFINE_integer("window", 500, "Evaluations of a window.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file.")

_STUDY = "load"
_MOST_OF_BARE = 1.5
_MOST_OF_SMALL = 2.0


class LoadError(Exception):
    """Something was lost or doubled, or a bar is missed."""


class BareStudy:
    """An Optuna study with nothing of ours that takes the same trials, timed.

    Attributes:
      seconds: of each trial.
    """

    def __init__(self, url: str, space: Space) -> None:
        self.seconds: list[float] = []
        self._space, self._storage = space, RDBStorage(url)
        self._study = optuna.create_study(
            study_name="bare", storage=self._storage, direction="maximize"
        )

    def add(self, evaluation: Evaluation) -> None:
        """Creates the trial of an evaluation and tells its outcome."""
        key = f"bare:{evaluation_key(self._space, evaluation)}"
        made = to_trial(key, evaluation_to_json(self._space, evaluation))
        begin = time.perf_counter()
        trial = optuna.create_trial(
            state=made.state,
            value=made.value,
            user_attrs=made.user_attrs,
            intermediate_values=made.intermediate_values,
        )
        self._study.add_trial(trial)
        self.seconds.append(time.perf_counter() - begin)

    def num_trials(self, study: str) -> int:
        """Counts the trials of any study in the database, whatever they hold."""
        return self._storage.get_n_trials(self._storage.get_study_id_from_name(study))

    def close(self) -> None:
        """Closes its connections."""
        self._storage.remove_session()
        self._storage.engine.dispose()


class Meter:
    """A listener that notes what the driver has spent by each evaluation of the search.

    Attributes:
      marks: by number of stored evaluations, the driver's seconds until then.
    """

    def __init__(self, executor: SyntheticExecutor, bare: BareStudy, stored: int) -> None:
        self.marks: dict[int, float] = {}
        self._executor, self._bare, self._stored = executor, bare, stored
        self._begin, self._waited = time.perf_counter(), executor.seconds_waited
        self._seconds_bare = 0.0

    def started(self, job: Job) -> None:
        """Is of no interest."""

    def epoch(self, job: Job, epoch: int, valid_accuracy: float) -> None:
        """Is of no interest."""

    def finished(self, job: Job, evaluation: Evaluation) -> None:
        """Notes the time, then lets the bare study take the evaluation where it takes part."""
        now = time.perf_counter()
        if job.purpose != "search":
            return
        self._stored += 1
        waited = self._executor.seconds_waited - self._waited
        self.marks[self._stored] = now - self._begin - waited - self._seconds_bare
        if self._stored <= _EVALUATIONS.value or self._stored > _GROWN.value:
            self._bare.add(evaluation)
        self._seconds_bare += time.perf_counter() - now

    def cost_ms(self, first: int, last: int) -> float:
        """Returns the driver's mean cost of the evaluations after `first` up to `last`."""
        return 1000 * (self.marks[last] - self.marks.get(first, 0.0)) / (last - first)


def check_record(storage: Storage, num_trials: int, jobs: Sequence[Job], space: Space) -> int:
    """Returns the number of evaluations recorded: one for each job, with its content.

    A job may be there twice: a finalist's training is repeated where its variables are gone.

    Raises:
      LoadError: one is missing, doubled, foreign or different.
    """
    recorded = storage.evaluations(_STUDY)
    found = {(space.key(e.genotype), e.seed, e.purpose): e for e in recorded}
    wanted = {(space.key(j.genotype), j.seed, j.purpose): j for j in jobs}
    if not len(wanted) == len(recorded) == len(found) == num_trials:
        raise LoadError(
            f"{len(wanted)} evaluations were made, {len(recorded)} are recorded, {len(found)} of "
            f"them different, in {num_trials} trials."
        )
    for key, job in wanted.items():
        made = synthetic_evaluation(space, job)
        same = found.get(key)
        if same is None or dataclasses.replace(same, round_index=0, number=0) != made:
            raise LoadError(f"Evaluation {key} was recorded as {same}, but it was {made}.")
    return num_trials


def search(
    storage: Storage, executor: SyntheticExecutor, bare: BareStudy, budget: int
) -> tuple[Meter, float]:
    """Searches up to `budget` evaluations under the lease; returns the times and wall seconds."""
    stored = sum(job.purpose == "search" for job in executor.finished)
    meter, begin = Meter(executor, bare, stored), time.perf_counter()
    with storage.control(_STUDY):
        loop = LoopConfig(budget_evaluations=budget, batch_size=2 * executor.num_workers)
        run_search(RandomSearch(executor.space), executor, storage, _STUDY, loop, meter)
    return meter, time.perf_counter() - begin


def measure(url: str) -> dict[str, Any]:
    """Runs both parts of the search and compares."""
    executor = SyntheticExecutor(_SPACE.value, _WORKERS.value)
    space, small, window = executor.space, _SMALL.value, _WINDOW.value
    spec = StudySpec(_STUDY, "search", Task("synthetic", "none", 2), space.name, RECIPE, {})
    bare = BareStudy(url, space)
    with contextlib.closing(executor), contextlib.closing(bare), Storage(url) as storage:
        storage.create_or_open(spec)
        first, seconds = search(storage, executor, bare, _EVALUATIONS.value)
        num_recorded = check_record(storage, bare.num_trials(_STUDY), executor.finished, space)
        print(f"{num_recorded} recorded in {seconds:.0f} s, none lost or doubled", flush=True)
        num_bare = len(bare.seconds)
        last, _ = search(storage, executor, bare, _GROWN.value + window)
        num_grown = check_record(storage, bare.num_trials(_STUDY), executor.finished, space)
    bare_ms = 1000 * np.array(bare.seconds)
    return {
        "num_recorded": num_recorded,
        "seconds": seconds,
        "driver_ms": first.cost_ms(0, _EVALUATIONS.value),
        "bare_ms": float(bare_ms[:num_bare].mean()),
        "num_recorded_grown": num_grown,
        "small": {"stored": small, "driver_ms": first.cost_ms(small, small + window)},
        "grown": {
            "stored": _GROWN.value,
            "driver_ms": last.cost_ms(_GROWN.value, _GROWN.value + window),
            "bare_ms": float(bare_ms[num_bare:].mean()),
        },
    }


def main(argv: Sequence[str]) -> None:
    """Measures, prints, writes and judges."""
    if extra := argv[1:]:
        raise FlagError(f"storage_load takes flags only. Got {extra}.")
    if _SMALL.value + _WINDOW.value > _EVALUATIONS.value or _EVALUATIONS.value > _GROWN.value:
        raise FlagError("storage_load needs small + window <= evaluations <= grown.")
    if _OUTPUT.value:
        check_output(_OUTPUT.value)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with contextlib.ExitStack() as stack:
        server = None if _STORAGE.value else stack.enter_context(running_postgres())
        result = measure(_STORAGE.value or f"{server}/postgres")
    of_bare = result["driver_ms"] / result["bare_ms"]
    of_small = result["grown"]["driver_ms"] / result["small"]["driver_ms"]
    result = {**result, "ratio_to_bare": of_bare, "ratio_grown_to_small": of_small}
    print(
        f"{_WORKERS.value} workers: the driver {result['driver_ms']:.1f} ms, bare Optuna "
        f"{result['bare_ms']:.1f} ms an evaluation: {of_bare:.2f} times (bar {_MOST_OF_BARE})\n"
        f"the driver at {_SMALL.value} stored {result['small']['driver_ms']:.1f} ms, at "
        f"{_GROWN.value} {result['grown']['driver_ms']:.1f} ms (bare there "
        f"{result['grown']['bare_ms']:.1f} ms): {of_small:.2f} times (bar {_MOST_OF_SMALL})"
    )
    if _OUTPUT.value:
        write_result(_OUTPUT.value, result)
    if of_bare > _MOST_OF_BARE or of_small > _MOST_OF_SMALL:
        raise LoadError("A bar is missed.")


if __name__ == "__main__":
    app.run(guarded("storage_load", main, LoadError))
