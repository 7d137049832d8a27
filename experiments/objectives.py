"""Searches with a cost beside accuracy, on a published table that has costs.

    python -m experiments.objectives --benchmark_dir=DIR --seeds=20 --jobs=2 --output=runs/costs

Two goals: the best architecture among the cheapest quarter (`limit`), and the Pareto set of
accuracy and the logarithm of the cost (`pareto`). A transfer optimizer and its twin differ in
sources only, random search stands beside them. Finished searches are kept, so a killed run goes on.
Writes `objectives.json` and prints tables. A value is, in percent and averaged over targets and
seeds: for `limit` the regret (best admitted - incumbent) / (best admitted - median admitted), at
most 100, 100 while nothing admitted was found; for `pareto` the hypervolume that is missing of the
whole table's, with the median accuracy and the highest cost as the reference point.
"""

import concurrent.futures
import dataclasses
import functools
import json
import math
import multiprocessing
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, flags

from experiments import optimizer_names, statistics
from experiments.commands import guarded
from experiments.tabular_units import single_threaded, task_index
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.tabular import Table, TabularEvaluator, load_table
from xfernas_jax.files import write_atomically
from xfernas_jax.history.goal import Goal
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.registry import SearchConfig, find_builder, make_optimizer

_DIR = flags.DEFINE_string("benchmark_dir", None, "Folder with a manifest.json.")
_TABLE = flags.DEFINE_string("table", "nasbench_graph", "Name of a table with costs.")
_SPLIT = flags.DEFINE_string("split", "valid", "Split whose values drive the search.")
_COST = flags.DEFINE_string("cost", "latency", "Cost: columns TASK_COST, or COST.")
_TARGETS = flags.DEFINE_list("targets", ["all"], "Tasks to search; the others are sources.")
_OPTIMIZERS = flags.DEFINE_list("optimizers", ["random", "nao", "xfer_nao"], "Optimizers.")
_SHARE = flags.DEFINE_float("share", 0.25, "Share of the table within the limit.", 1e-3, 1.0)
_SOURCE_EVALUATIONS = flags.DEFINE_integer("source_evaluations", 200, "Rows of each source.")
_BUDGET = flags.DEFINE_integer("budget", 50, "Evaluations of a search.", lower_bound=10)
_SEEDS = flags.DEFINE_integer("seeds", 20, "Seeds of each search, from 0.", lower_bound=2)
_JOBS = flags.DEFINE_integer("jobs", 1, "Processes; each uses one core.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the results.")

GOALS = ("limit", "pareto")
CHECKPOINTS = (10, 20, 50, 100)
_BATCH_SIZE, _NUM_INITIAL = 5, 10


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all searches share; written beside the results."""

    table: str
    split: str
    cost: str
    targets: tuple[str, ...]
    share: float
    source_evaluations: int
    budget: int


@dataclasses.dataclass(frozen=True, order=True)
class Unit:
    """A search."""

    goal: str
    optimizer: str
    target: str
    seed: int

    def file(self, output: pathlib.Path) -> pathlib.Path:
        """Returns where the evaluated rows lie."""
        folder = output / self.goal / optimizer_names.folder_of(self.optimizer)
        return folder / f"{self.target}-{self.seed}.json"


@functools.cache
def cached_table(folder: str, name: str, cost: str) -> Table:
    """Reads a table with its costs once in a process."""
    return load_table(folder, name, (cost,))


def goal_of(unit: Unit, setting: Setting, table: Table) -> Goal:
    """Returns the limit that the cheapest share of the table keeps, or the Pareto goal."""
    if unit.goal == "pareto":
        return Goal(pareto=setting.cost)
    limit = float(np.quantile(table.costs[unit.target, setting.cost], setting.share))
    return Goal(((setting.cost, limit),))


def source_histories(unit: Unit, setting: Setting, table: Table) -> tuple[TaskHistory, ...]:
    """Draws random rows of every other task, with their costs."""
    found = []
    for name in (task for task in table.tasks(setting.split) if task != unit.target):
        entropy = [unit.seed, task_index(table, unit.target), 4, task_index(table, name)]
        size = len(table.space.rows)
        rows = np.random.default_rng(entropy).choice(size, setting.source_evaluations, False)
        costs = table.costs[name, setting.cost][rows, None]
        scores = table.column(name, setting.split).values[rows]
        found.append(TaskHistory(name, table.space.rows[rows], scores, costs=costs))
    return tuple(found)


def run_unit(unit: Unit, setting: Setting, folder: str, output: pathlib.Path) -> None:
    """Searches, and writes the evaluated rows in order."""
    table = cached_table(folder, setting.table, setting.cost)
    benchmark = TabularEvaluator(table, unit.target, setting.split)
    is_transfer = optimizer_names.uses_sources(unit.optimizer)
    sources = source_histories(unit, setting, table) if is_transfer else ()
    config = SearchConfig(
        predictor=PredictorConfig(cache_dir=str(output / "source_fits")),
        num_initial=_NUM_INITIAL,
        goal=goal_of(unit, setting, table),
    )
    optimizer = make_optimizer(unit.optimizer, table.space, sources, config)
    rows: list[int] = []
    while len(rows) < setting.budget:
        rng = np.random.default_rng([unit.seed, task_index(table, unit.target), 2, len(rows)])
        suggestions = optimizer.suggest(rng, min(_BATCH_SIZE, setting.budget - len(rows)))
        genotypes = [suggestion.genotype for suggestion in suggestions]
        optimizer.observe([benchmark.evaluate(g, 0).evaluation for g in genotypes])
        rows += [table.space.row_of(genotype) for genotype in genotypes]
    write_atomically(unit.file(output), json.dumps({"rows": rows}).encode())


def regret_curve(
    values: np.ndarray, costs: np.ndarray, limit: float, rows: Sequence[int]
) -> np.ndarray:
    """Returns the regret in percent after each evaluation; see the module."""
    admitted = values[costs <= limit]
    scale = admitted.max() - np.median(admitted)
    found = np.where(costs[rows] <= limit, values[rows], -np.inf)
    return 100.0 * np.minimum((admitted.max() - np.maximum.accumulate(found)) / scale, 1.0)


def hypervolume(values: np.ndarray, costs: np.ndarray, reference: tuple[float, float]) -> float:
    """Returns the area that points dominate: larger values and smaller costs are better.

    Args:
      values: `[N]`.
      costs: `[N]`.
      reference: value and cost of the worst corner; points beyond it add nothing.
    """
    order = np.argsort(-values, kind="stable")
    area, lowest = 0.0, reference[1]
    for value, cost in zip(values[order], costs[order], strict=True):
        if value <= reference[0]:
            break
        if cost < lowest:  # dominates a strip of its own, up to its value
            area += (value - reference[0]) * (lowest - cost)
            lowest = cost
    return area


def missing_curve(values: np.ndarray, costs: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """Returns the missing hypervolume in percent after each evaluation; see the module."""
    logs = np.log(costs)
    reference = float(np.median(values)), float(logs.max())
    whole = hypervolume(values, logs, reference)
    found = [
        hypervolume(values[rows[: i + 1]], logs[rows[: i + 1]], reference) for i in range(len(rows))
    ]
    return 100.0 * (1.0 - np.array(found) / whole)


def curve_of(unit: Unit, setting: Setting, folder: str, output: pathlib.Path) -> np.ndarray:
    """Reads a finished search; returns its value after each evaluation."""
    table = cached_table(folder, setting.table, setting.cost)
    values = table.column(unit.target, setting.split).values
    costs = table.costs[unit.target, setting.cost]
    rows = json.loads(unit.file(output).read_text())["rows"]
    if unit.goal == "pareto":
        return missing_curve(values, costs, rows)
    (_, limit) = goal_of(unit, setting, table).limits[0]
    return regret_curve(values, costs, limit, rows)


def kept_limit(unit: Unit, setting: Setting, folder: str, output: pathlib.Path) -> np.ndarray:
    """Returns of each evaluation of a search whether it keeps the limit."""
    table = cached_table(folder, setting.table, setting.cost)
    (_, limit) = goal_of(unit, setting, table).limits[0]
    rows = json.loads(unit.file(output).read_text())["rows"]
    return table.costs[unit.target, setting.cost][rows] <= limit


def evaluations_to_match(curves: dict[Unit, np.ndarray], goal: str, at: int) -> dict[str, Any]:
    """Returns after how many evaluations other arms' mean curves are as good as `xfer_nao`'s."""
    means = {
        name: np.mean([v for u, v in curves.items() if (u.goal, u.optimizer) == (goal, name)], 0)
        for name in {unit.optimizer for unit in curves}
    }
    if "xfer_nao" not in means:
        return {}
    reached = {n: np.flatnonzero(curve <= means["xfer_nao"][at - 1]) for n, curve in means.items()}
    return {n: int(r[0]) + 1 if len(r) else None for n, r in sorted(reached.items())}


def summarize(curves: dict[Unit, np.ndarray], setting: Setting, seeds: int) -> dict[str, Any]:
    """Returns means with 95 % intervals, and twins compared, for each goal and checkpoint."""
    names = sorted({unit.optimizer for unit in curves})
    found: dict[str, Any] = {"setting": dataclasses.asdict(setting), "seeds": seeds}
    for goal in GOALS:
        found[goal] = {}
        for at in (c for c in CHECKPOINTS if c <= setting.budget):
            values = {
                name: np.array(
                    [
                        [curves[Unit(goal, name, target, s)][at - 1] for s in range(seeds)]
                        for target in setting.targets
                    ]
                )
                for name in names
            }
            rows: dict[str, Any] = {
                name: {"mean": float(v.mean()), "ci95": statistics.interval(v)}
                for name, v in values.items()
            }
            for name in names:
                twin = optimizer_names.without_sources(name)
                if twin != name and twin in values:
                    compared = statistics.compare(values[name], values[twin])
                    rows[name]["less_twin"] = dataclasses.asdict(compared)
            for name, needed in evaluations_to_match(curves, goal, at).items():
                rows[name]["evaluations_to_match_xfer_nao"] = needed
            found[goal][str(at)] = rows
    return found


def print_summary(summary: dict[str, Any]) -> None:
    """Prints a line for each goal and optimizer."""
    for goal in GOALS:
        for name in next(iter(summary[goal].values())):
            shown = "  ".join(
                f"@{at} {rows[name]['mean']:6.2f} [{rows[name]['ci95'][0]:.2f}, "
                f"{rows[name]['ci95'][1]:.2f}]"
                for at, rows in summary[goal].items()
            )
            print(f"{goal:>7} {name:>20}  {shown}")
        for at, rows in summary[goal].items():
            needed = {n: row.get("evaluations_to_match_xfer_nao", "-") for n, row in rows.items()}
            print(f"{goal:>7} evaluations to match xfer_nao @{at}: {needed}")
    print(f"share of evaluations that keep the limit, by tens: {summary['kept_limit']}")


def setting_from_flags() -> Setting:
    """Reads flags and table; every mistake is a `UserError`."""
    if not _DIR.value or not _OUTPUT.value:
        raise FlagError("This experiment needs --benchmark_dir and --output.")
    table = cached_table(_DIR.value, _TABLE.value, _COST.value)
    tasks = tuple(sorted(table.tasks(_SPLIT.value)))
    targets = tasks if _TARGETS.value == ["all"] else tuple(_TARGETS.value)
    for target in targets:
        table.column(target, _SPLIT.value)
    for name in _OPTIMIZERS.value:
        find_builder(name, "--optimizers")
    return Setting(
        _TABLE.value,
        _SPLIT.value,
        _COST.value,
        targets,
        _SHARE.value,
        _SOURCE_EVALUATIONS.value,
        _BUDGET.value,
    )


def main(argv: Sequence[str]) -> None:
    """Runs what is missing and writes the summary."""
    if len(argv) > 1:
        raise FlagError(f"Unknown argument {argv[1]!r}.")
    setting = setting_from_flags()
    folder, output = str(_DIR.value), pathlib.Path(str(_OUTPUT.value)).absolute()
    file, text = output / "setting.json", json.dumps(dataclasses.asdict(setting))
    if file.exists() and file.read_text() != text:
        raise FlagError(f"{output} holds results of another setting; choose another --output.")
    write_atomically(file, text.encode())
    units = [
        Unit(goal, name, target, seed)
        for target in setting.targets
        for seed in range(_SEEDS.value)
        for goal in GOALS
        for name in _OPTIMIZERS.value
    ]
    missing = [unit for unit in units if not unit.file(output).exists()]
    single_threaded()  # the children inherit it
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(_JOBS.value, mp_context=context) as pool:
        futures = [pool.submit(run_unit, unit, setting, folder, output) for unit in missing]
        every = max(math.ceil(len(futures) / 20), 1)
        for done, future in enumerate(concurrent.futures.as_completed(futures), start=1):
            future.result()
            if done % every == 0:
                print(f"{done}/{len(futures)} searches", flush=True)
    curves = {unit: curve_of(unit, setting, folder, output) for unit in units}
    summary = summarize(curves, setting, _SEEDS.value)
    kept: dict[str, list[np.ndarray]] = {}
    for unit in (unit for unit in units if unit.goal == "limit"):
        kept.setdefault(unit.optimizer, []).append(kept_limit(unit, setting, folder, output))
    summary["kept_limit"] = {
        name: [
            round(float(x.mean()), 2) for x in np.array_split(np.mean(rows, 0), len(rows[0]) // 10)
        ]
        for name, rows in kept.items()
    }
    write_atomically(output / "objectives.json", (json.dumps(summary, indent=1) + "\n").encode())
    print_summary(summary)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    app.run(guarded("objectives", main))
