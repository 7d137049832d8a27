"""One unit of a tabular experiment: an optimizer on one target of a table under one seed."""

import dataclasses
import functools
import json
import os
import pathlib
from typing import Any

import numpy as np

from experiments import optimizer_names
from xfernas_jax.evaluate.tabular import Table, TabularEvaluator, load_table
from xfernas_jax.files import write_atomically
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.registry import SearchConfig, make_optimizer

_LONG = ("random", "nao")  # run on to the baseline budget


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all units of an experiment share; a JSON object, written beside the results.

    Attributes:
      table: name in the manifest.
      split: whose values drive the search.
      test_split: read for the report only.
      targets: tasks that are searched.
      sources: tasks that may be sources; the target itself never is.
      source_evaluations: random rows of each source.
      num_sources: sources that are used, drawn by seed and target so that a smaller number is a
        subset of a larger one; all where None, or where there are fewer.
      budget: evaluations of an optimizer.
      baseline_budget: evaluations of `random` and `nao`.
      batch_size: suggestions at once.
      initial_random: start rows of every optimizer without sources.
      corrupt_sources: none, shuffle, negate, one_shuffled or one_negated.
      surrogate: name of the surrogate.
      encoder: name of its encoder.
    """

    table: str
    split: str
    test_split: str
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    source_evaluations: int
    budget: int
    baseline_budget: int
    batch_size: int
    initial_random: int
    corrupt_sources: str
    surrogate: str
    encoder: str
    num_sources: int | None = None


@dataclasses.dataclass(frozen=True, order=True)
class Unit:
    """A search: optimizer, target, seed."""

    optimizer: str
    target: str
    seed: int

    def file(self, output: pathlib.Path) -> pathlib.Path:
        """Returns where the result of the unit lies."""
        folder = output / "units" / optimizer_names.folder_of(self.optimizer)
        return folder / f"{self.target}-{self.seed}.json"

    @classmethod
    def of_file(cls, file: pathlib.Path) -> "Unit":
        """Inverts `file`."""
        target, _, seed = file.stem.rpartition("-")
        return cls(optimizer_names.name_of(file.parent.name), target, int(seed))


@functools.cache
def cached_table(folder: str, name: str) -> Table:
    """Reads a table once in a process."""
    return load_table(folder, name)


def run_unit(unit: Unit, setting: Setting, folder: str, output: pathlib.Path) -> None:
    """Searches and writes the evaluated rows in order; nothing else decides the file's bytes."""
    table = cached_table(folder, setting.table)
    benchmark = TabularEvaluator(table, unit.target, setting.split)
    rows = search_rows(unit, setting, benchmark, table, str(output / "source_fits"))
    text = json.dumps({**dataclasses.asdict(unit), **rows})
    write_atomically(unit.file(output), text.encode())


def search_rows(
    unit: Unit, setting: Setting, benchmark: TabularEvaluator, table: Table, cache_dir: str
) -> dict[str, Any]:
    """Returns the rows that the optimizer evaluated, in order, and the share of decoded rows."""
    space = table.space
    target_index = task_index(table, unit.target)
    is_transfer = optimizer_names.uses_sources(unit.optimizer)
    sources = source_histories(unit, setting, table) if is_transfer else ()
    optimizer = make_optimizer(
        unit.optimizer,
        space,
        sources,
        SearchConfig(
            surrogate=setting.surrogate,
            predictor=PredictorConfig(encoder=setting.encoder, cache_dir=cache_dir),
            num_initial=setting.initial_random,
        ),
    )
    budget = setting.baseline_budget if unit.optimizer in _LONG else setting.budget
    evaluated: list[int] = []

    def evaluate(genotypes: list[Any]) -> None:
        optimizer.observe([benchmark.evaluate(genotype, 0).evaluation for genotype in genotypes])
        evaluated.extend(space.row_of(genotype) for genotype in genotypes)

    if not sources:
        rng = np.random.default_rng([unit.seed, target_index, 1])
        start = rng.choice(len(space.rows), setting.initial_random, replace=False)
        evaluate([space.decode(space.rows[row].tolist()) for row in start])
    while len(evaluated) < budget:
        rng = np.random.default_rng([unit.seed, target_index, 2, len(evaluated)])
        count = min(setting.batch_size, budget - len(evaluated))
        suggestions = optimizer.suggest(rng, count)
        if not suggestions:
            break
        evaluate([suggestion.genotype for suggestion in suggestions])
    decoded = getattr(optimizer, "num_decoded", 0)
    kept = getattr(optimizer, "num_kept", 0) / decoded if decoded else None
    return {"rows": evaluated, "decoded_rows_share": kept}


def task_index(table: Table, task: str) -> int:
    """Returns the place of a task in the table's sorted tasks, for seeds."""
    return sorted({name for name, _ in table.columns}).index(task)


def source_histories(unit: Unit, setting: Setting, table: Table) -> tuple[TaskHistory, ...]:
    """Draws the sources' histories: of their own for every target, source and seed.

    Without source evaluations there are no sources, and a transfer optimizer is its twin.
    """
    target_index = task_index(table, unit.target)
    names = [task for task in setting.sources if task != unit.target]
    if setting.source_evaluations == 0:
        names = []
    if setting.num_sources is not None:
        order = np.random.default_rng([unit.seed, target_index, 5]).permutation(len(names))
        names = [names[i] for i in sorted(order[: setting.num_sources])]
    bad = np.random.default_rng([unit.seed, target_index, 3]).integers(max(len(names), 1))
    histories = []
    for position, name in enumerate(names):
        rng = np.random.default_rng([unit.seed, target_index, 4, task_index(table, name)])
        count = min(setting.source_evaluations, len(table.space.rows))
        rows = rng.choice(len(table.space.rows), count, replace=False)
        scores = table.column(name, setting.split).values[rows]
        kind = setting.corrupt_sources
        if kind.startswith("one_") and position != bad:
            kind = "none"
        if kind in ("shuffle", "one_shuffled"):
            scores = rng.permutation(scores)
        elif kind in ("negate", "one_negated"):
            scores = -scores
        histories.append(TaskHistory(name, table.space.rows[rows], scores))
    return tuple(histories)


def single_threaded() -> None:
    """Makes this process use one core; to be called before NumPy and JAX start their threads."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    os.environ["JAX_PLATFORMS"] = "cpu"
