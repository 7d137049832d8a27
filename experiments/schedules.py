"""Rounds against async: what workers of unlike speed find, by the hours of a simulated clock.

    python -m experiments.schedules --benchmark_dir=DIR --output=runs/schedules  (one line)

A search pays one noisy training of each architecture (`--target`, one seed of a task of
`nb201_seeds`) and its seconds, divided by its worker's speed; quality is judged by the mean of
the other seeds that the table has. Speeds are equal, or drawn by seed, log-uniform from half to
twice. Rounds ask for as many architectures as there are workers. Sources are random rows of the
other tasks. Finished searches are kept, so a killed run goes on.

Writes `schedules.json` and prints a table. Regret, in points: best mean of the table less that of
the incumbent, at a quarter, half and all of the hours that rounds take on average. Idle: share of
the workers' hours until the end of the search. Differences are async - rounds, paired by seed.
"""

import csv
import dataclasses
import functools
import gzip
import itertools
import json
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments import commands, grid, optimizer_names, statistics
from experiments.grid import Unit
from experiments.tabular_units import checked_optimizers, random_rows
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.tabular import Table, TabularEvaluator, load_table
from xfernas_jax.executors.simulated import SimulatedExecutor
from xfernas_jax.history import Evaluation, Job, MemoryRecord
from xfernas_jax.options import define_flags, from_flags, option
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.desk import Desk, Silence
from xfernas_jax.search.phases.explore import explore
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.seen import Seen

_GRID = grid.GridFlags(least_seeds=2)
_DIR = flags.DEFINE_string("benchmark_dir", None, "Folder with a manifest.json.", required=True)
_OPTIMIZERS = flags.DEFINE_list("optimizers", ["random", "nao", "xfer_nao"], "Optimizers.")
_WORKERS = flags.DEFINE_list("workers", ["4", "16"], "Numbers of workers.")
_SPEEDS = flags.DEFINE_list("speeds", ["unlike", "equal"], "Of the workers: unlike, equal.")

_SCHEDULES = ("rounds", "async")
_MOMENTS = (0.25, 0.5, 1.0)  # of the mean hours of rounds
_NUM_SOURCE_SEEDS = 5  # different draws of the sources; each costs a fit


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all searches share. A unit's variant is schedule, workers and speeds."""

    table: str = option("nb201_seeds", "Name of a table of single seeds, with their seconds.")
    split: str = option("valid", "Split whose values drive the search.")
    target: str = option("cifar100_seed0", "Task that is searched: TASK_seedN.")
    source_evaluations: int = option(50, "Rows of each source.", low=1)
    budget: int = option(96, "Evaluations of a search.", low=1)

    @property
    def task(self) -> str:
        """The task without its seed."""
        return _task_of(self.target)


define_flags(flags, Setting)


class Watch(Silence):
    """A listener that reads the simulated clock.

    Attributes:
      results: of each evaluation its genotype and the hours by then.
      busy: hours of all workers together.
    """

    def __init__(self, executor: SimulatedExecutor) -> None:
        """Takes whose clock it is."""
        self.results: list[tuple[Any, float]] = []
        self.busy = 0.0
        self._executor = executor
        self._started: dict[int, float] = {}

    def started(self, job: Job) -> None:
        """Notes the time."""
        self._started[job.number] = self._executor.clock

    def finished(self, evaluation: Evaluation) -> None:
        """Notes the time and what it took."""
        clock = self._executor.clock
        self.results.append((evaluation.genotype, clock / 3600))
        self.busy += (clock - self._started[evaluation.number]) / 3600


def run_unit(setting: Setting, folder: str, output: pathlib.Path, unit: Unit) -> dict[str, Any]:
    """Searches on the simulated clock; returns rows and hours in the order of their results."""
    table, _ = read_table(setting, folder)
    schedule, workers, kind = unit.variant.split("-")
    rng = np.random.default_rng([unit.seed, 7])
    speeds = np.ones(int(workers)) if kind == "equal" else 2.0 ** rng.uniform(-1, 1, int(workers))
    is_transfer = optimizer_names.uses_sources(unit.optimizer)
    sources = source_histories(unit, setting, table) if is_transfer else ()
    config = SearchConfig(predictor=PredictorConfig(cache_dir=str(output / "source_fits")))
    optimizer = make_optimizer(unit.optimizer, table.space, sources, config)
    evaluator = TabularEvaluator(table, unit.target, setting.split)
    executor = SimulatedExecutor(evaluator, speeds.tolist())
    watch = Watch(executor)
    desk = Desk(executor, MemoryRecord(), evaluator.recipe, watch)
    plan = SearchPlan(setting.budget, int(workers), unit.seed, schedule=schedule)
    explore(optimizer, desk, plan, Seen(table.space))
    genotypes, hours = zip(*watch.results, strict=True)
    idle = 1.0 - watch.busy / (int(workers) * hours[-1])
    return {"rows": [table.space.row_of(g) for g in genotypes], "hours": hours, "idle": idle}


@functools.cache
def read_table(setting: Setting, folder: str) -> tuple[Table, np.ndarray]:
    """Reads the table without its columns that have gaps, which `load_table` refuses.

    Returns:
      The table, with the seconds of the target's trainings, and the mean `[N]` of the target's task
      over the seeds that are not paid, as far as an architecture has them.
    """
    try:
        entry = json.loads((pathlib.Path(folder) / "manifest.json").read_text())[setting.table]
        data = (pathlib.Path(folder) / entry["path"]).read_bytes()
        lines = list(csv.DictReader(gzip.decompress(data).decode().splitlines()))
    except (OSError, ValueError, LookupError):
        load_table(folder, setting.table)  # it says what is wrong
        raise
    values = {
        task["task"]: np.array([float(line[task["column"]] or "nan") for line in lines])
        for task in entry["tasks"]
    }
    tasks = [task for task in entry["tasks"] if np.isfinite(values[task["task"]]).all()]
    cost = f"{setting.task}_train_seconds"
    with tempfile.TemporaryDirectory() as copy:
        (pathlib.Path(copy) / "table.csv.gz").write_bytes(data)
        manifest = {setting.table: {**entry, "path": "table.csv.gz", "tasks": tasks}}
        commands.write_json(pathlib.Path(copy) / "manifest.json", manifest)
        table = load_table(copy, setting.table, (cost,))
    table.column(setting.target, setting.split)
    seconds = {setting.target: table.costs[setting.target, cost]}
    names = [n for n in values if _task_of(n) == setting.task and n != setting.target]
    if not names:
        raise FlagError(f"--target={setting.target}: the table has no other seed of this task.")
    others = np.nanmean([values[name] for name in names], axis=0)
    return dataclasses.replace(table, seconds=seconds, costs={}), others


def source_histories(unit: Unit, setting: Setting, table: Table) -> tuple[TaskHistory, ...]:
    """Draws rows of one seed of each other task."""
    drawn = dataclasses.replace(unit, seed=unit.seed % _NUM_SOURCE_SEEDS)
    names = {_task_of(name): name for name in sorted(table.tasks(setting.split), reverse=True)}
    found = []
    for name in (name for task, name in sorted(names.items()) if task != setting.task):
        rows, _ = random_rows(table, drawn, name, setting.source_evaluations)
        scores = table.column(name, setting.split).values[rows]
        found.append(TaskHistory(name, table.space.rows[rows], scores))
    return tuple(found)


def _task_of(name: str) -> str:
    return name.rpartition("_seed")[0]


def regret_at(hours: float, paid: np.ndarray, true: np.ndarray, result: Mapping[str, Any]) -> float:
    """Returns the incumbent's regret in points: that of the best paid value which is in by then.

    Args:
      hours: on the clock.
      paid: `[N]` values that the search sees.
      true: `[N]` values that it is judged by.
      result: of a search.

    Returns:
      The regret; before the first result, that of the median architecture.
    """
    rows = np.array(result["rows"])[np.array(result["hours"]) <= hours]
    found = true[rows[np.argmax(paid[rows])]] if len(rows) else np.median(true)
    return float(true.max() - found)


def summarize(
    results: Mapping[Unit, Mapping[str, Any]], paid: np.ndarray, true: np.ndarray
) -> list[dict[str, Any]]:
    """Returns a row for each optimizer, number of workers and kind of speeds; see `regret_at`."""
    rows = []
    runs: dict[tuple[str, str], dict[str, list[Any]]] = {}
    for unit, result in results.items():
        schedule, _, place = unit.variant.partition("-")
        pair = runs.setdefault((unit.optimizer, place), {name: [] for name in _SCHEDULES})
        pair[schedule].append(result)
    for (optimizer, place), pairs in runs.items():
        whole = float(np.mean([result["hours"][-1] for result in pairs["rounds"]]))
        measures: dict[str, Callable[[Mapping[str, Any]], float]] = {
            "hours": lambda result: result["hours"][-1],
            "idle": lambda result: result["idle"],
        }
        for moment in _MOMENTS:
            hours = moment * whole
            measures[f"regret@{moment:g}"] = functools.partial(regret_at, hours, paid, true)
        workers, speeds = place.split("-")
        row: dict[str, Any] = {"optimizer": optimizer, "workers": int(workers), "speeds": speeds}
        for measure, of in measures.items():
            values = {name: np.array([[of(r) for r in its]]) for name, its in pairs.items()}
            found = statistics.compare(values["async"], values["rounds"])
            row[measure] = {
                **{name: float(its.mean()) for name, its in values.items()},
                **{f"{name}_ci95": statistics.interval(its) for name, its in values.items()},
                "difference": found.difference,
                "difference_ci95": [found.low, found.high],
            }
        rows.append(row)
    return rows


def shown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the rows as a Markdown table: rounds -> async, and the interval of the difference."""
    measures = [name for name in rows[0] if isinstance(rows[0][name], dict)]
    lines = [f"| speeds | workers | optimizer | {' | '.join(measures)} |"]
    lines.append("|---" * (3 + len(measures)) + "|")
    for row in rows:
        cells = []
        for measure in measures:
            scale = 100 if measure == "idle" else 1
            low, high = (scale * x for x in row[measure]["difference_ci95"])
            before, after = (scale * row[measure][name] for name in _SCHEDULES)
            cells.append(f"{before:.2f} -> {after:.2f} ({low:+.2f} to {high:+.2f})")
        names = (row["speeds"], str(row["workers"]), f"`{row['optimizer']}`")
        lines.append(f"| {' | '.join([*names, *cells])} |")
    return "\n".join(lines)


def main() -> None:
    """Runs what is missing and writes the results."""
    output, setting = _GRID.output, from_flags(flags.FLAGS, Setting)
    table, true = read_table(setting, _DIR.value)
    paid = table.column(setting.target, setting.split).values
    grid.check_setting(setting, output)
    places = itertools.product(_SPEEDS.value, map(int, _WORKERS.value), _SCHEDULES)
    variants = [f"{schedule}-{workers}-{speeds}" for speeds, workers, schedule in places]
    names = checked_optimizers(_OPTIMIZERS.value)
    units = grid.units_of(names, [setting.target], _GRID.seeds, variants)
    work = functools.partial(run_unit, setting, _DIR.value, output)
    if not grid.run(work, units, output, _GRID, "seeds"):
        return
    rows = summarize({unit: unit.read(output) for unit in units}, paid, true)
    commands.write_json(
        output / "schedules.json",
        {"setting": dataclasses.asdict(setting), "seeds": _GRID.seeds, "rows": rows},
    )
    print(shown(rows))


if __name__ == "__main__":
    commands.start("schedules", main)
