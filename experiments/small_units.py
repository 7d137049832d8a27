"""One collection or one search of the small twins, on a shared cache."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from experiments import statistics
from experiments.evaluation_cache import CachedBenchmark, EvaluationCache, study_name
from experiments.grid import Unit
from experiments.small_results import Run
from experiments.small_tasks import load_small
from xfernas_jax.errors import StudyError
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history import (
    Evaluation,
    Source,
    Storage,
    StudyRecord,
    StudySpec,
    Task,
    recorded_studies,
    select_sources,
)
from xfernas_jax.options import option
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.collect import collect_random
from xfernas_jax.search.desk import Desk, Silence
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.search import Search
from xfernas_jax.search.seen import Seen
from xfernas_jax.search.sources import task_histories
from xfernas_jax.space.registry import get_space


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all searches of an experiment share.

    Attributes:
      folder: of everything that is written; the record is in it.
      changes: of recipe values.
      sources: data sets that are learned from.
    """

    folder: str
    changes: tuple[str, ...]
    sources: tuple[str, ...]
    images_dir: str | None = option(None, "Folder with files such as usps/usps.npz.")
    space: str = option("nasbench201", "Search space.")
    recipe: str = option("cpu", "Recipe of every training.")
    source_architectures: int = option(50, "Random architectures of each source.", low=2)
    budget: int = option(30, "Of each search.", flag="budget_evaluations", low=1)
    batch_size: int = option(5, "Suggestions at once.", low=1)
    confirm_seeds: int = option(1, "Trainings of a finalist.", low=1)
    num_finalists: int = option(3, "Trained again at the end.", low=1)

    def config(self) -> dict[str, Any]:
        """Returns what decides the result of a search, as a study keeps it."""
        value = dataclasses.asdict(self)
        for name in ("folder", "images_dir"):
            del value[name]
        return {**value, "changes": list(self.changes), "sources": list(self.sources)}


class Every10th(Silence):
    """A listener that only says when a search or collection goes on."""

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        """Takes a name for the lines, and what prints them."""
        self._name, self._say, self._count = name, say, 0

    def finished(self, evaluation: Evaluation) -> None:
        """Says every tenth."""
        self._count += 1
        if self._count % 10 == 0:
            self._say(f"{self._name}: {self._count} evaluations")


def search_study(unit: Unit) -> str:
    """Returns the name of a search's study."""
    return study_name("search", unit.target, unit.optimizer, str(unit.seed))


def open_record(setting: Setting) -> Storage:
    """Opens the one record of an experiment."""
    return Storage(f"sqlite:///{pathlib.Path(setting.folder).absolute() / 'record.db'}")


def collect_source(setting: Setting, dataset: str, say: Callable[[str], None]) -> int:
    """Evaluates what is missing of a source's random architectures; returns trainings done."""
    with open_record(setting) as storage:
        evaluator, name = _cached(setting, storage, dataset), source_study(dataset)
        config = {"architectures": setting.source_architectures}
        spec = StudySpec(name, "collect", evaluator.task, setting.space, evaluator.recipe, config)
        with _desk(storage, spec, evaluator, say) as desk:
            collect_random(desk, setting.source_architectures, 0)
        return evaluator.num_trained


def run_unit(unit: Unit, setting: Setting, say: Callable[[str], None]) -> int:
    """Runs what is missing of a search and leaves its result in the study; returns trainings."""
    with open_record(setting) as storage:
        space = get_space(setting.space)
        evaluator = _cached(setting, storage, unit.target)
        config = {"optimizer": unit.optimizer, "seed": unit.seed, **setting.config()}
        spec = StudySpec(
            search_study(unit), "search", evaluator.task, space.name, evaluator.recipe, config
        )
        with _desk(storage, spec, evaluator, say) as desk:
            if desk.record.result() is not None:
                return 0
            sources = task_histories(space, chosen_sources(setting, storage, evaluator.task))
            predictor = PredictorConfig(cache_dir=f"{setting.folder}/predictor_cache")
            optimizer = make_optimizer(
                unit.optimizer, space, sources, SearchConfig(predictor=predictor)
            )
            plan = SearchPlan(
                setting.budget,
                setting.batch_size,
                unit.seed,
                setting.confirm_seeds,
                setting.num_finalists,
            )
            outcome = Search(optimizer, desk, plan, Seen(space)).run()
            desk.record.set_result(
                {"failed": True}
                if outcome is None
                else {
                    "failed": False,
                    "genotype": space.to_json(outcome.genotype),
                    "confirmed_valid_accuracy": outcome.value,
                    "test_accuracy": outcome.test,
                    "num_params": outcome.costs.get("params"),
                },
            )
        return evaluator.num_trained


@contextlib.contextmanager
def _desk(
    storage: Storage, spec: StudySpec, evaluator: CachedBenchmark, say: Callable[[str], None]
) -> Iterator[Desk]:
    """Opens a study as its one controller, with this process as its worker."""
    with storage.control(spec.name), contextlib.closing(InProcessExecutor(evaluator)) as executor:
        storage.create_or_open(spec)
        record, listener = StudyRecord(storage, spec.name), Every10th(spec.name, say)
        yield Desk(executor, record, evaluator.recipe, listener)


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
            study = search_study(unit)
            result = storage.result(study)
            if result is None or result["failed"]:
                raise StudyError(f"{study}: every training failed, so there is no result.")
            done = [e for e in storage.evaluations(study) if e.purpose == "search"]
            done.sort(key=lambda e: e.number)
            spec = storage.spec(study)
            cache = EvaluationCache(storage, get_space(spec.space), spec.task, spec.recipe)
            values = np.array([0.0 if e.value is None else e.value for e in done])
            final = result["confirmed_valid_accuracy"], result["test_accuracy"]
            best = max(e.value for e in cache.evaluations() if e.value is not None)
            runs.append(Run(unit.target, unit.optimizer, unit.seed, values, *final, best))
    return runs


def read_noise(setting: Setting, targets: Sequence[str]) -> dict[str, dict[str, float]]:
    """Returns for each target how validation accuracies scatter, as standard deviations.

    `networks`: of the means of all networks that were trained; `seeds`: of the trainings of one
    network, pooled over the networks that were trained more than once.
    """
    noise = {}
    with open_record(setting) as storage:
        for target in targets:
            benchmark = _cached(setting, storage, target)
            trainings: dict[str, list[float]] = {}
            for e in benchmark.cache.evaluations():
                if e.value is not None:
                    trainings.setdefault(e.key, []).append(e.value)
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
            for e in storage.evaluations(search_study(unit)):
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
