"""A search of synthetic evaluations in a real database, beside a bare Optuna study."""

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.storages import RDBStorage

from experiments.bench.synthetic import RECIPE, SyntheticExecutor, synthetic_result
from xfernas_jax.history import (
    Evaluation,
    Job,
    Purpose,
    Storage,
    StudyRecord,
    StudySpec,
    Task,
    evaluation_key,
)
from xfernas_jax.history.database import parse_url, storage_errors
from xfernas_jax.history.serialize import evaluation_to_json
from xfernas_jax.history.trials import to_trial
from xfernas_jax.options import option
from xfernas_jax.search.desk import Desk, Silence
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.random import RandomSearch
from xfernas_jax.search.search import Search
from xfernas_jax.search.seen import Seen
from xfernas_jax.space.base import Space

STUDY = "load"


@dataclasses.dataclass(frozen=True)
class LoadSizes:
    """How much is evaluated."""

    space: str = option("nao5", "Search space, of more networks than are evaluated.")
    num_workers: int = option(16, "Processes that evaluate.", flag="workers", low=1)
    evaluations: int = option(5000, "Evaluations beside the bare study.", low=1)
    small: int = option(1000, "Stored before the first window.", low=0)
    grown: int = option(20_000, "Stored before the last window.", low=1)
    window: int = option(500, "Evaluations of a window.", low=1)


class LoadError(Exception):
    """Something was lost or doubled, or a bar is missed."""


class BareStudy:
    """An Optuna study with nothing of ours that takes the same trials, timed.

    Attributes:
      seconds: of each trial.
    """

    def __init__(self, url: str, space: Space) -> None:
        """Creates the study; `StorageError` where the database has it already."""
        self.seconds: list[float] = []
        self._space, parsed = space, parse_url(url)
        with storage_errors(parsed.render_as_string()):
            self._storage = RDBStorage(parsed.render_as_string(hide_password=False))
            try:
                self._study = optuna.create_study(
                    study_name="bare", storage=self._storage, direction="maximize"
                )
            except BaseException:
                self.close()
                raise

    def add(self, evaluation: Evaluation) -> None:
        """Creates the trial of an evaluation and tells its outcome."""
        key = f"bare:{evaluation_key(evaluation)}"
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


class Meter(Silence):
    """A listener that notes what the driver has spent by each evaluation of the search.

    Attributes:
      marks: by number of stored evaluations, the driver's seconds until then.
    """

    def __init__(
        self, executor: SyntheticExecutor, bare: BareStudy, stored: int, sizes: LoadSizes
    ) -> None:
        self.marks: dict[int, float] = {}
        self._executor, self._bare, self._sizes = executor, bare, sizes
        self._stored = stored
        self._begin, self._waited = time.perf_counter(), executor.seconds_waited
        self._seconds_bare = 0.0

    def finished(self, evaluation: Evaluation) -> None:
        """Notes the time, then lets the bare study take the evaluation where it takes part."""
        now = time.perf_counter()
        if evaluation.purpose != "search":
            return
        self._stored += 1
        waited = self._executor.seconds_waited - self._waited
        self.marks[self._stored] = now - self._begin - waited - self._seconds_bare
        if self._stored <= self._sizes.evaluations or self._stored > self._sizes.grown:
            self._bare.add(evaluation)
        self._seconds_bare += time.perf_counter() - now

    def cost_ms(self, first: int, last: int) -> float:
        """Returns the driver's mean cost of the evaluations after `first` up to `last`."""
        return 1000 * (self.marks[last] - self.marks.get(first, 0.0)) / (last - first)


def check_record(storage: Storage, num_trials: int, jobs: Sequence[Job]) -> int:
    """Returns the number of evaluations recorded: one for each job, with its content.

    A job may be there twice: a finalist's training is repeated where its variables are gone.

    Raises:
      LoadError: one is missing, doubled, foreign or different.
    """
    recorded = storage.evaluations(STUDY)
    found = {e.training: e for e in recorded}
    wanted: dict[tuple[str, int, Purpose], Job] = {(j.key, j.seed, j.purpose): j for j in jobs}
    if not len(wanted) == len(recorded) == len(found) == num_trials:
        raise LoadError(
            f"{len(wanted)} evaluations were made, {len(recorded)} are recorded, {len(found)} of "
            f"them different, in {num_trials} trials."
        )
    for key, job in wanted.items():
        made = Evaluation(job, synthetic_result(job), RECIPE)
        same = found.get(key)
        if same != made:
            raise LoadError(f"Evaluation {key} was recorded as {same}, but it was {made}.")
    return num_trials


def measure_load(url: str, sizes: LoadSizes) -> dict[str, Any]:
    """Runs both parts of the search in an empty database and compares.

    Returns:
      What the driver and the bare study cost, in milliseconds for each evaluation.

    Raises:
      LoadError: what was recorded is not what was evaluated.
    """
    executor = SyntheticExecutor(sizes.space, sizes.num_workers)
    space = executor.space
    spec = StudySpec(STUDY, "search", Task("synthetic", "none", None), space.name, RECIPE, {})
    bare = BareStudy(url, space)
    with contextlib.closing(executor), contextlib.closing(bare), Storage(url) as storage:
        storage.create_or_open(spec)
        begin = time.perf_counter()
        first = _search(storage, executor, bare, sizes, sizes.evaluations)
        seconds = time.perf_counter() - begin
        num_recorded = check_record(storage, bare.num_trials(STUDY), executor.finished)
        num_bare = len(bare.seconds)
        last = _search(storage, executor, bare, sizes, sizes.grown + sizes.window)
        num_grown = check_record(storage, bare.num_trials(STUDY), executor.finished)
    bare_ms = 1000 * np.array(bare.seconds)
    return {
        **dataclasses.asdict(sizes),
        "num_recorded": num_recorded,
        "num_recorded_grown": num_grown,
        "seconds": seconds,
        "driver_ms": first.cost_ms(0, sizes.evaluations),
        "bare_ms": float(bare_ms[:num_bare].mean()),
        "small_driver_ms": first.cost_ms(sizes.small, sizes.small + sizes.window),
        "small_bare_ms": float(bare_ms[sizes.small : sizes.small + sizes.window].mean()),
        "grown_driver_ms": last.cost_ms(sizes.grown, sizes.grown + sizes.window),
        "grown_bare_ms": float(bare_ms[num_bare:].mean()),
    }


def _search(
    storage: Storage,
    executor: SyntheticExecutor,
    bare: BareStudy,
    sizes: LoadSizes,
    budget: int,
) -> Meter:
    """Searches up to `budget` evaluations under the lease; returns the driver's times."""
    stored = sum(job.purpose == "search" for job in executor.finished)
    meter = Meter(executor, bare, stored, sizes)
    plan = SearchPlan(budget_evaluations=budget, batch_size=2 * executor.num_workers)
    with storage.control(STUDY):
        desk = Desk(executor, StudyRecord(storage, STUDY), RECIPE, meter)
        Search(RandomSearch(), desk, plan, Seen(executor.space)).run()
    return meter
