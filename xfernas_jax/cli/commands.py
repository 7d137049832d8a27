"""The verbs of `run.py`."""

import json
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from xfernas_jax.benchmarks.recipes import Recipe, get_recipe
from xfernas_jax.benchmarks.trained import TrainedBenchmark, versions
from xfernas_jax.cli import flags
from xfernas_jax.cli.progress import Progress, console, print_outcome
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.errors import FlagError, UserError
from xfernas_jax.history import (
    RecordedStudy,
    Source,
    Storage,
    StudySpec,
    append_all,
    default_storage_url,
    default_study_name,
    read_jsonl,
    recorded_file,
    recorded_studies,
    select_sources,
    study_summaries,
    write_jsonl,
)
from xfernas_jax.search.loop import LoopConfig, collect_random, run_search
from xfernas_jax.search.sources import task_histories
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import get_space


def search() -> None:
    """Searches an architecture for one task, reusing the histories of others."""
    # Imported here: the other verbs need no predictor.
    from xfernas_jax.predictor.config import PredictorConfig
    from xfernas_jax.search.registry import SearchConfig, make_optimizer

    space, recipe = get_space(flags.SPACE.value), get_recipe(flags.RECIPE.value, flags.SET.value)
    dataset = _load(recipe)
    loop = LoopConfig(
        flags.BUDGET.value, flags.BATCH_SIZE.value, flags.SEED.value, flags.CONFIRM_SEEDS.value
    )
    config = {
        "optimizer": flags.OPTIMIZER.value,
        "encoder": flags.ENCODER.value,
        "sources": flags.SOURCES.value,
        "reuse_target": flags.REUSE_TARGET.value,
        "batch_size": loop.batch_size,
        "seed": loop.seed,
        "confirm_seeds": loop.confirm_seeds,
        "recipe": recipe.to_json(),
    }
    with _storage() as storage:
        spec = _spec("search", dataset, space, recipe, config)
        sources = _sources(storage, space, dataset, recipe, spec.name)
        histories = task_histories(space, sources)
        optimizer = make_optimizer(
            flags.OPTIMIZER.value,
            space,
            histories,
            SearchConfig(predictor=PredictorConfig(encoder=flags.ENCODER.value)),
        )
        storage.create_or_open(spec)
        console.print(f"Study {spec.name}: {dataset.task.dataset} in {space.name}, {recipe.name}")
        result = storage.result(spec.name)
        if result is not None and result["num_evaluations"] >= loop.budget_evaluations:
            console.print("This study is finished; nothing is trained or tested again.")
            _hand_over(result)
            return
        benchmark = TrainedBenchmark(space, dataset, recipe)
        progress = Progress(loop.budget_evaluations)
        outcome = run_search(optimizer, benchmark, storage, spec.name, loop, progress)
        if outcome is None:
            raise UserError(
                f"Study {spec.name}: every evaluation failed, so there is no best architecture; "
                "lower --set=train.learning_rate=..."
            )
        result = {
            "study": spec.name,
            "dataset": dataset.task.dataset,
            "space": space.name,
            "optimizer": flags.OPTIMIZER.value,
            "sources": [source.name for source in sources],
            "num_evaluations": outcome.num_evaluations,
            "num_confirmations": outcome.num_confirmations,
            "best_genotype": space.to_json(outcome.genotype),
            "best_valid_accuracy": outcome.valid_accuracy,
            "test_accuracy": outcome.test_accuracy,
            "num_params": outcome.num_params,
            "seconds": outcome.seconds,
            "incumbent_curve": list(outcome.incumbent_curve),
        }
        storage.set_result(spec.name, result)
    _hand_over(result)


def _hand_over(result: Mapping[str, Any]) -> None:
    """Writes --output and prints the result of a search."""
    if flags.OUTPUT.value:
        _write_json(pathlib.Path(flags.OUTPUT.value), result)
    rows = {
        "best genotype": json.dumps(result["best_genotype"]),
        "validation accuracy": f"{100 * result['best_valid_accuracy']:.2f} % "
        f"(mean of {flags.CONFIRM_SEEDS.value} trainings)",
        "test accuracy": f"{100 * result['test_accuracy']:.2f} % (one training, read once)",
        "parameters": f"{result['num_params']:,}",
        "cost": f"{result['num_evaluations']} evaluations + {result['num_confirmations']} "
        f"confirmations, {result['seconds']:.0f} s",
        "study": result["study"],
        "record": flags.STORAGE.value or default_storage_url(flags.WORKDIR.value),
    }
    print_outcome(result["incumbent_curve"], rows)


def collect() -> None:
    """Evaluates random architectures of a task, for later searches to learn from."""
    space, recipe = get_space(flags.SPACE.value), get_recipe(flags.RECIPE.value, flags.SET.value)
    dataset = _load(recipe)
    config = {"seed": flags.SEED.value, "recipe": recipe.to_json()}
    with _storage() as storage:
        spec = _spec("collect", dataset, space, recipe, config)
        storage.create_or_open(spec)
        console.print(f"Study {spec.name}: {dataset.task.dataset} in {space.name}, {recipe.name}")
        benchmark = TrainedBenchmark(space, dataset, recipe)
        count = flags.NUM_ARCHITECTURES.value
        collect_random(benchmark, storage, spec.name, count, flags.SEED.value, Progress(count))
        console.print(f"The study {spec.name} holds {count} architectures.")


def history_list() -> None:
    """Lists the studies of the storage."""
    with _storage(create=False) as storage:
        for row in study_summaries(storage):
            best = row.best_valid_accuracy
            shown = "-" if best is None else f"{100 * best:.2f} %"
            console.print(
                f"{row.spec.name}  {row.spec.kind}  {row.spec.task.dataset}  {row.spec.space}  "
                f"{row.num_evaluations} evaluations  best {shown}"
            )


def history_export() -> None:
    """Writes a study to --file as JSON Lines."""
    file, study = _needed("file", flags.FILE.value), _needed("study", flags.STUDY.value)
    with _storage(create=False) as storage:
        spec, evaluations = storage.spec(study), storage.evaluations(study)
    provenance = {
        "command": f"run.py {spec.kind} with the configuration in spec.config",
        "date": time.strftime("%Y-%m-%d"),
        "versions": dict(versions()),
    }
    write_jsonl(file, spec, evaluations, provenance)
    console.print(f"{file}: {len(evaluations)} evaluations of study {study}")


def history_import() -> None:
    """Reads --file into the storage as a study."""
    file = _needed("file", flags.FILE.value)
    spec, evaluations = read_jsonl(file)
    with _storage() as storage:
        append_all(storage, spec, evaluations)
    console.print(f"{file}: {len(evaluations)} evaluations are in study {spec.name}")


VERBS: Mapping[tuple[str, ...], Callable[[], None]] = {
    (): search,
    ("search",): search,
    ("collect",): collect,
    ("history", "list"): history_list,
    ("history", "export"): history_export,
    ("history", "import"): history_import,
}


def run(words: tuple[str, ...]) -> None:
    """Runs the verb that `words` name; none is the demo, a search with every default."""
    if words not in VERBS:
        known = ", ".join(" ".join(verb) for verb in VERBS if verb)
        raise FlagError(f"Unknown command {' '.join(words)!r}. Known: {known}; none is the demo.")
    VERBS[words]()


def _load(recipe: Recipe) -> ImageDataset:
    return load_dataset(flags.DATASET.value, recipe.data, flags.DATA_DIR.value)


def _storage(create: bool = True) -> Storage:
    url = flags.STORAGE.value or default_storage_url(flags.WORKDIR.value)
    return Storage(url, create=create)


def _needed(name: str, value: str | None) -> str:
    if not value:
        raise FlagError(f"This command needs --{name}.")
    return value


def _spec(
    kind: Any, dataset: ImageDataset, space: Space, recipe: Recipe, config: dict[str, Any]
) -> StudySpec:
    full = {**config, "kind": kind, "space": space.name}
    name = flags.STUDY.value or default_study_name(dataset.task, full)
    return StudySpec(name, kind, dataset.task, space.name, recipe.fingerprint(), config)


def bundled_histories() -> tuple[RecordedStudy, ...]:
    """Returns the histories that come with the package."""
    folder = resources.files("xfernas_jax").joinpath("bundled")
    if not folder.is_dir():
        return ()
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".jsonl.gz"))
    return tuple(recorded_file(str(folder.joinpath(name))) for name in names)


def _sources(
    storage: Storage, space: Space, dataset: ImageDataset, recipe: Recipe, own_study: str
) -> tuple[Source, ...]:
    """Chooses the sources and names them in the log."""
    recorded = {study.spec.name: study for study in bundled_histories()}
    recorded.update({study.spec.name: study for study in recorded_studies(storage)})
    sources = select_sources(
        tuple(recorded.values()),
        space,
        dataset.task,
        flags.SOURCES.value,
        recipe=recipe.fingerprint(),
        reuse_target=flags.REUSE_TARGET.value,
        own_study=own_study,
    )
    if not sources:
        console.print(f"Space {space.name}: no sources; the search starts from nothing.")
    for source in sources:
        console.print(f"Source {source.name}: {len(source.evaluations)} evaluations")
    return sources


def _write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(value, file, indent=2)
    os.replace(file.name, path)
