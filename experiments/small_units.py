"""One collection or one search of the small twins, on a shared cache."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments import statistics
from experiments.evaluation_cache import CachedBenchmark, EvaluationCache, study_name
from experiments.small_results import Run
from experiments.small_tasks import load_small
from xfernas_jax.errors import StudyError
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.executors.base import Job
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history import (
    Evaluation,
    Source,
    Storage,
    StudySpec,
    Task,
    recorded_studies,
    select_sources,
)
from xfernas_jax.space.registry import get_space


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all searches of an experiment share.

    Attributes:
      folder: of everything that is written; the record is in it.
      images_dir: folder of the image files, or None.
      space: name of the search space.
      recipe: name of the recipe of sources, searches and confirmations.
      changes: of recipe values.
      sources: data sets that are learned from.
      source_architectures: random architectures of each source.
      budget: evaluations of a search.
      batch_size: suggestions at once.
      confirm_seeds: trainings of each finalist.
      num_finalists: best architectures that are trained again.
    """

    folder: str
    images_dir: str | None
    space: str
    recipe: str
    changes: tuple[str, ...]
    sources: tuple[str, ...]
    source_architectures: int
    budget: int
    batch_size: int
    confirm_seeds: int
    num_finalists: int

    def config(self) -> dict[str, Any]:
        """Returns what decides the result of a search, as a study keeps it."""
        value = dataclasses.asdict(self)
        for name in ("folder", "images_dir"):
            del value[name]
        return {**value, "changes": list(self.changes), "sources": list(self.sources)}


@dataclasses.dataclass(frozen=True, order=True)
class Unit:
    """One search: which optimizer, on what, under which seed."""

    target: str
    seed: int
    optimizer: str

    @property
    def study(self) -> str:
        """The name of its study."""
        return study_name("search", self.target, self.optimizer, str(self.seed))


class Silent:
    """A listener that only says when a search or collection goes on."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        """Takes a name for the lines, and what prints them."""
        self._name, self._say, self._count = name, say, 0

    def started(self, job: Job) -> None:
        """Says nothing."""

    def epoch(self, job: Job, epoch: int, valid_accuracy: float) -> None:
        """Says nothing."""

    def finished(self, job: Job, evaluation: Evaluation) -> None:
        """Says every tenth."""
        self._count += 1
        if self._count % 10 == 0:
            self._say(f"{self._name}: {self._count} evaluations")


def open_record(setting: Setting) -> Storage:
    """Opens the one record of an experiment."""
    return Storage(f"sqlite:///{pathlib.Path(setting.folder).absolute() / 'record.db'}")


def collect_source(setting: Setting, dataset: str, say: Callable[[str], None]) -> int:
    """Evaluates what is missing of a source's random architectures; returns trainings done."""
    from xfernas_jax.search.collect import collect_random

    with open_record(setting) as storage:
        benchmark = _cached(setting, storage, dataset)
        spec = StudySpec(
            source_study(dataset),
            "collect",
            benchmark.task,
            setting.space,
            benchmark.recipe,
            {"architectures": setting.source_architectures},
        )
        executor = InProcessExecutor(benchmark)
        with storage.control(spec.name):
            storage.create_or_open(spec)
            collect_random(
                executor,
                storage,
                spec.name,
                setting.source_architectures,
                0,
                Silent(spec.name, say),
            )
        executor.close()
        return benchmark.num_trained


def run_unit(unit: Unit, setting: Setting, say: Callable[[str], None]) -> int:
    """Runs what is missing of a search and leaves its result in the study; returns trainings."""
    from xfernas_jax.predictor.config import PredictorConfig
    from xfernas_jax.search.loop import LoopConfig, run_search
    from xfernas_jax.search.registry import SearchConfig, make_optimizer
    from xfernas_jax.search.sources import task_histories

    with open_record(setting) as storage:
        space = get_space(setting.space)
        benchmark = _cached(setting, storage, unit.target)
        spec = StudySpec(
            unit.study,
            "search",
            benchmark.task,
            setting.space,
            benchmark.recipe,
            {"optimizer": unit.optimizer, "seed": unit.seed, **setting.config()},
        )
        with storage.control(spec.name):
            storage.create_or_open(spec)
            if storage.result(spec.name) is not None:
                return 0
            sources = chosen_sources(setting, storage, benchmark.task)
            optimizer = make_optimizer(
                unit.optimizer,
                space,
                task_histories(space, sources),
                SearchConfig(
                    predictor=PredictorConfig(cache_dir=f"{setting.folder}/predictor_cache")
                ),
            )
            loop = LoopConfig(
                setting.budget,
                setting.batch_size,
                unit.seed,
                setting.confirm_seeds,
                setting.num_finalists,
            )
            executor = InProcessExecutor(benchmark)
            outcome = run_search(
                optimizer, executor, storage, spec.name, loop, Silent(spec.name, say)
            )
            executor.close()
            storage.set_result(
                spec.name,
                {"failed": True}
                if outcome is None
                else {
                    "failed": False,
                    "genotype": space.to_json(outcome.genotype),
                    "confirmed_valid_accuracy": outcome.valid_accuracy,
                    "test_accuracy": outcome.test_accuracy,
                    "num_params": outcome.num_params,
                },
            )
        return benchmark.num_trained


def source_study(dataset: str) -> str:
    """Returns the name of a source's study."""
    return study_name("source", dataset)


def chosen_sources(setting: Setting, storage: Storage, target: Task) -> tuple[Source, ...]:
    """Returns what the searches of a target learn from."""
    names = [source_study(dataset) for dataset in setting.sources]
    if not names:
        return ()
    return select_sources(recorded_studies(storage), get_space(setting.space), target, names)


def read_runs(setting: Setting, units: Sequence[Unit]) -> list[Run]:
    """Reads finished searches; `StudyError` for one that found nothing."""
    runs = []
    with open_record(setting) as storage:
        for unit in units:
            result = storage.result(unit.study)
            if result is None or result["failed"]:
                raise StudyError(f"{unit.study}: every training failed, so there is no result.")
            done = [e for e in storage.evaluations(unit.study) if e.purpose == "search"]
            done.sort(key=lambda e: (e.round_index, e.number))
            spec = storage.spec(unit.study)
            cache = EvaluationCache(storage, get_space(spec.space), spec.task, spec.recipe)
            runs.append(
                Run(
                    unit.target,
                    unit.optimizer,
                    unit.seed,
                    np.array([e.valid_accuracy or 0.0 for e in done]),
                    result["confirmed_valid_accuracy"],
                    result["test_accuracy"],
                    max(e.valid_accuracy or 0.0 for e in cache.evaluations()),
                )
            )
    return runs


def read_noise(setting: Setting, targets: Sequence[str]) -> dict[str, dict[str, float]]:
    """Returns for each target how validation accuracies scatter, as standard deviations.

    `networks`: of the means of all networks that were trained; `seeds`: of the trainings of one
    network, pooled over the networks that were trained more than once.
    """
    space, noise = get_space(setting.space), {}
    with open_record(setting) as storage:
        for target in targets:
            benchmark = _cached(setting, storage, target)
            trainings: dict[str, list[float]] = {}
            for e in benchmark.cache.evaluations():
                if e.valid_accuracy is not None:
                    trainings.setdefault(space.key(e.genotype), []).append(e.valid_accuracy)
            means = [float(np.mean(values)) for values in trainings.values()]
            noise[target] = {
                "networks": float(np.std(means, ddof=1)),
                "seeds": statistics.pooled_deviation(list(trainings.values())),
            }
    return noise


def read_costs(setting: Setting, units: Sequence[Unit]) -> dict[str, Any]:
    """Returns evaluations and seconds of sources and searches, each as if it had run alone."""

    def cost(evaluations: Sequence[Evaluation]) -> dict[str, float]:
        seconds = sum(e.seconds for e in evaluations)
        return {"evaluations": len(evaluations), "seconds": round(seconds, 1)}

    with open_record(setting) as storage:
        arms: dict[str, list[Evaluation]] = {}
        for unit in units:
            for e in storage.evaluations(unit.study):
                arms.setdefault(f"{unit.target}/{unit.optimizer}/{e.purpose}", []).append(e)
        caches = [spec.name for spec in storage.studies() if spec.name.startswith("cache-")]
        return {
            "sources": {
                name: cost(storage.evaluations(source_study(name))) for name in setting.sources
            },
            "searches_of_all_seeds": {name: cost(found) for name, found in arms.items()},
            "trainings_in_the_cache": {name: cost(storage.evaluations(name)) for name in caches},
        }


def _cached(setting: Setting, storage: Storage, dataset: str) -> CachedBenchmark:
    """Returns the benchmark of a data set, on the cache."""
    space, recipe = get_space(setting.space), get_recipe(setting.recipe, setting.changes)
    data = load_small(dataset, recipe.data, setting.images_dir)
    return CachedBenchmark(
        lambda: TrainedEvaluator(space, data, recipe),
        space,
        data.task,
        recipe.fingerprint(),
        storage,
        pathlib.Path(setting.folder) / "variables",
    )
