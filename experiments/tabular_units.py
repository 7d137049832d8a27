"""One unit of a tabular experiment: an optimizer on one target of a table under one seed."""

import dataclasses
import functools
import pathlib
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from absl import flags

from experiments import optimizer_names
from experiments.grid import GridFlags, Unit
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.base import Evaluator
from xfernas_jax.evaluate.tabular import Table, TabularEvaluator, TaskColumn, load_table
from xfernas_jax.history import Evaluation, Job
from xfernas_jax.options import option
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.base import Optimizer, suggest
from xfernas_jax.search.nao import Nao
from xfernas_jax.search.registry import SearchConfig, find_builder, make_optimizer
from xfernas_jax.search.seen import Seen
from xfernas_jax.space.base import Genotype
from xfernas_jax.space.table import TableSpace

ANY_SPLIT = "any"
"""The split `valid` of each task that has one, else the task's first in the manifest."""

_LONG = ("random", "nao")  # run on to the baseline budget


class TableFlags:
    """The flags of every experiment on a table; each experiment makes them once, at its top."""

    def __init__(self, table: str = "transnas_micro") -> None:
        """Defines them; `table` is the default."""
        self._dir = flags.DEFINE_string("benchmark_dir", None, "Folder with a manifest.json.")
        self._table = flags.DEFINE_string("table", table, "Name of a table in the manifest.")
        self._split = flags.DEFINE_string("split", "valid", "Split whose values drive the search.")
        self._targets = flags.DEFINE_list("targets", ["all"], "Tasks to search.")

    @property
    def folder(self) -> str:
        """The folder; `FlagError` without one."""
        if not self._dir.value:
            raise FlagError("This experiment needs --benchmark_dir.")
        return self._dir.value

    def table(self, *costs: str) -> Table:
        """Reads the table once in a process, with the costs of these names."""
        return cached_table(self.folder, self._table.value, *costs)

    def chosen(self) -> dict[str, Any]:
        """Returns table, split and targets, as fields of a setting."""
        targets = chosen_tasks(self.table(), self._split.value, self._targets.value, "targets")
        return {"table": self._table.value, "split": self._split.value, "targets": targets}


def chosen_tasks(table: Table, split: str, names: Sequence[str], flag: str) -> tuple[str, ...]:
    """Returns the tasks that a flag names; `FlagError` or `BenchmarkError` for a mistake."""
    if list(names) == ["all"]:
        return tuple(sorted(table.tasks(split)))
    for name in names:
        table.column(name, split)
    if len(set(names)) != len(names):
        raise FlagError(f"--{flag}: a task is named twice.")
    return tuple(names)


def checked_optimizers(names: Sequence[str]) -> list[str]:
    """Returns the names of --optimizers; `FlagError` where one is none."""
    for name in names:
        find_builder(name, "--optimizers")
    return list(names)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all units of an experiment share; a JSON object, written beside the results.

    Attributes:
      table: name in the manifest.
      split: whose values drive the search.
      targets: tasks that are searched.
      sources: tasks that may be sources; the target itself never is.
      baseline_budget: evaluations of `random` and `nao`.
    """

    table: str
    split: str
    targets: tuple[str, ...]
    sources: tuple[str, ...]
    baseline_budget: int
    test_split: str = option("test", "Split that is only reported.")
    source_evaluations: int = option(200, "Random architectures of each source.", low=0)
    budget: int = option(100, "Evaluations of a search.", low=1)
    batch_size: int = option(5, "Suggestions at once.", low=1)
    initial_random: int = option(10, "Start rows of optimizers without sources.", low=1)
    corrupt_sources: Literal[
        "none", "shuffle", "negate", "constant", "one_shuffled", "one_negated", "one_constant"
    ] = option("none", "How source scores are made wrong.")
    surrogate: str = option("head", "Surrogate: head, joint or graph.")
    encoder: str = option("mlp", "Encoder: mlp or lstm.")
    num_sources: int | None = option(
        None,
        "Sources used, drawn by seed and target so that fewer are a subset of more; by default "
        "all.",
        low=0,
    )
    searches: int = option(
        1, "Searches (seeds) in a row that share what was drawn as sources.", low=1
    )


@functools.cache
def cached_table(folder: str, name: str, *costs: str) -> Table:
    """Reads a table once in a process, and offers `ANY_SPLIT` of every task."""
    table = load_table(folder, name, costs)
    found: dict[str, TaskColumn] = {}
    for (task, split), column in table.columns.items():
        if task not in found or split == "valid":
            found[task] = column
    columns = {(task, ANY_SPLIT): column for task, column in found.items()}
    return dataclasses.replace(table, columns={**table.columns, **columns})


def run_unit(setting: Setting, folder: str, output: pathlib.Path, unit: Unit) -> dict[str, Any]:
    """Searches; nothing but setting and unit decides the result."""
    return search_rows(
        unit, setting, cached_table(folder, setting.table), str(output / "source_fits")
    )


def search_rows(unit: Unit, setting: Setting, table: Table, cache_dir: str) -> dict[str, Any]:
    """Returns the rows that the optimizer evaluated, in order, and the share of decoded rows."""
    space = CountingSpace(table.space)
    target_index = task_index(table, unit.target)
    is_transfer = optimizer_names.uses_sources(unit.optimizer)
    drawn = dataclasses.replace(unit, seed=unit.seed // setting.searches)
    sources = source_histories(drawn, setting, table) if is_transfer else ()
    config = SearchConfig(
        surrogate=setting.surrogate,
        predictor=PredictorConfig(encoder=setting.encoder, cache_dir=cache_dir),
        num_initial=setting.initial_random,
    )
    optimizer = make_optimizer(unit.optimizer, space, sources, config)
    start: list[Genotype] = []
    if not sources:
        rng = np.random.default_rng([unit.seed, target_index, 1])
        rows = rng.choice(len(space.rows), setting.initial_random, replace=False)
        start = [space.decode(space.rows[row].tolist()) for row in rows]
    budget = setting.baseline_budget if unit.optimizer in _LONG else setting.budget
    found = search(
        optimizer,
        TabularEvaluator(table, unit.target, setting.split),
        Seen(space),
        (unit.seed, target_index, 2),
        budget,
        setting.batch_size,
        start,
    )
    share = space.kept_share if isinstance(optimizer, Nao) else None
    return {"rows": [space.row_of(e.genotype) for e in found], "decoded_rows_share": share}


def search(
    optimizer: Optimizer,
    evaluator: Evaluator,
    seen: Seen,
    seed: Sequence[int],
    budget: int,
    batch_size: int,
    start: Sequence[Genotype] = (),
) -> tuple[Evaluation, ...]:
    """Searches in batches, without a record.

    Args:
      optimizer: asked; question N is that after N evaluations.
      evaluator: that scores.
      seen: at the beginning: nothing.
      seed: of everything random.
      budget: evaluations in all, `start` included.
      batch_size: suggestions at once; the last batch may be smaller.
      start: evaluated first.

    Returns:
      The evaluations in order; fewer than `budget` where the space has no more.
    """
    asked: Sequence[Genotype] = start
    while True:
        seen = seen.then(_evaluated(evaluator, len(seen.evaluations), asked))
        number = len(seen.evaluations)
        if number >= budget:
            return seen.evaluations
        found = suggest(optimizer, seen, seed, number, min(batch_size, budget - number))
        if not found:
            return seen.evaluations
        asked = [suggestion.genotype for suggestion in found]


def _evaluated(
    evaluator: Evaluator, first: int, genotypes: Iterable[Genotype]
) -> Iterable[Evaluation]:
    for number, genotype in enumerate(genotypes, start=first):
        job = Job(number, genotype, evaluator.space.key(genotype), seed=0)
        yield Evaluation(job, evaluator.evaluate(job).result, evaluator.recipe)


class CountingSpace(TableSpace):
    """The rows of a table; it counts how many of the sequences to repair are rows already."""

    def __init__(self, space: TableSpace) -> None:
        """Takes the rows of a space."""
        super().__init__(space.name, space.columns, space.rows, space.wiring)
        self._num_decoded = self._num_kept = 0

    @property
    def kept_share(self) -> float | None:
        """The share of rows among what an optimizer that only decodes had repaired."""
        return self._num_kept / self._num_decoded if self._num_decoded else None

    def repair(self, tokens: np.ndarray, without: np.ndarray | None = None) -> np.ndarray:
        repaired = super().repair(tokens, without)
        self._num_decoded += len(tokens)
        self._num_kept += int((repaired == tokens).all(1).sum())
        return repaired


def task_index(table: Table, task: str) -> int:
    """Returns the place of a task in the table's sorted tasks, for seeds."""
    return sorted({name for name, _ in table.columns}).index(task)


def random_rows(table: Table, unit: Unit, name: str, count: int) -> tuple[np.ndarray, Any]:
    """Draws rows of a source, of their own for every target, source and seed; and the generator."""
    entropy = [unit.seed, task_index(table, unit.target), 4, task_index(table, name)]
    rng, size = np.random.default_rng(entropy), len(table.space.rows)
    return rng.choice(size, min(count, size), replace=False), rng


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
        rows, rng = random_rows(table, unit, name, setting.source_evaluations)
        scores = table.column(name, setting.split).values[rows]
        kind = setting.corrupt_sources
        if kind.startswith("one_") and position != bad:
            kind = "none"
        if kind in ("shuffle", "one_shuffled"):
            scores = rng.permutation(scores)
        elif kind in ("negate", "one_negated"):
            scores = -scores
        elif kind in ("constant", "one_constant"):
            scores = np.zeros(len(scores))
        histories.append(TaskHistory(name, table.space.rows[rows], scores))
    return tuple(histories)


def table_step(
    output: pathlib.Path,
    optimizers: Sequence[str],
    table: TableFlags,
    chosen: GridFlags,
    values: Mapping[str, Any],
    more: Sequence[str],
) -> None:
    """Runs what is missing of a `tabular_search` in a process of its own; ends with it.

    Args:
      output: its folder.
      optimizers: names.
      table: where it searches.
      chosen: seeds and processes.
      values: other flags by name.
      more: flags as a user gave them, without the dashes.
    """
    where = {**table.chosen(), "benchmark_dir": table.folder, "output": output}
    lists = {"targets": ",".join(where["targets"]), "optimizers": ",".join(optimizers)}
    words = {**where, **lists, "seeds": chosen.seeds, "jobs": chosen.jobs, **values}
    command = [sys.executable, "-m", "experiments.tabular_search"]
    command += [*(f"--{name}={value}" for name, value in words.items()), *(f"--{x}" for x in more)]
    if subprocess.run(command, check=False).returncode:
        sys.exit(2)  # it has said why
