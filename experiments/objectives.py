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

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments import commands, grid, optimizer_names, statistics
from experiments.grid import Unit
from experiments.tabular_units import (
    TableFlags,
    cached_table,
    checked_optimizers,
    random_rows,
    search,
    task_index,
)
from xfernas_jax.evaluate.tabular import Table, TabularEvaluator
from xfernas_jax.history.goal import Goal
from xfernas_jax.options import define_flags, from_flags, option
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.seen import Seen

_GRID, _TABLE = grid.GridFlags(least_seeds=2), TableFlags("nasbench_graph")
_OPTIMIZERS = flags.DEFINE_list("optimizers", ["random", "nao", "xfer_nao"], "Optimizers.")

GOALS = ("limit", "pareto")
CHECKPOINTS = (10, 20, 50, 100)
_BATCH_SIZE, _NUM_INITIAL = 5, 10


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all searches share; written beside the results. The goal is a unit's variant."""

    table: str
    split: str
    targets: tuple[str, ...]
    cost: str = option("latency", "Cost: columns TASK_COST, or COST.")
    share: float = option(0.25, "Share of the table within the limit.", low=1e-3)
    source_evaluations: int = option(200, "Rows of each source.", low=1)
    budget: int = option(50, "Evaluations of a search.", low=10)


define_flags(flags, Setting)


def goal_of(unit: Unit, setting: Setting, table: Table) -> Goal:
    """Returns the limit that the cheapest share of the table keeps, or the Pareto goal."""
    if unit.variant == "pareto":
        return Goal(pareto=setting.cost)
    limit = float(np.quantile(table.costs[unit.target, setting.cost], setting.share))
    return Goal(((setting.cost, limit),))


def source_histories(unit: Unit, setting: Setting, table: Table) -> tuple[TaskHistory, ...]:
    """Draws random rows of every other task, with their costs."""
    found = []
    for name in (task for task in table.tasks(setting.split) if task != unit.target):
        rows, _ = random_rows(table, unit, name, setting.source_evaluations)
        costs = table.costs[name, setting.cost][rows, None]
        scores = table.column(name, setting.split).values[rows]
        found.append(TaskHistory(name, table.space.rows[rows], scores, costs=costs))
    return tuple(found)


def run_unit(setting: Setting, folder: str, output: pathlib.Path, unit: Unit) -> dict[str, Any]:
    """Searches, and returns the evaluated rows in order."""
    table = cached_table(folder, setting.table, setting.cost)
    is_transfer = optimizer_names.uses_sources(unit.optimizer)
    sources = source_histories(unit, setting, table) if is_transfer else ()
    predictor = PredictorConfig(cache_dir=str(output / "source_fits"))
    config = SearchConfig(predictor=predictor, num_initial=_NUM_INITIAL)
    found = search(
        make_optimizer(unit.optimizer, table.space, sources, config),
        TabularEvaluator(table, unit.target, setting.split),
        Seen(table.space, goal_of(unit, setting, table)),
        (unit.seed, task_index(table, unit.target), 2),
        setting.budget,
        _BATCH_SIZE,
    )
    return {"rows": [table.space.row_of(e.genotype) for e in found]}


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


def curve_of(unit: Unit, setting: Setting, table: Table, rows: Sequence[int]) -> np.ndarray:
    """Returns the value of a finished search after each evaluation."""
    values = table.column(unit.target, setting.split).values
    costs = table.costs[unit.target, setting.cost]
    if unit.variant == "pareto":
        return missing_curve(values, costs, rows)
    (_, limit) = goal_of(unit, setting, table).limits[0]
    return regret_curve(values, costs, limit, rows)


def kept_limit(
    rows: dict[Unit, Sequence[int]], setting: Setting, table: Table
) -> dict[str, list[float]]:
    """Returns for each optimizer the share of evaluations that keep the limit, by tens."""
    kept: dict[str, list[np.ndarray]] = {}
    for unit, its in rows.items():
        if unit.variant == "limit":
            (_, limit) = goal_of(unit, setting, table).limits[0]
            is_kept = table.costs[unit.target, setting.cost][its] <= limit
            kept.setdefault(unit.optimizer, []).append(is_kept)
    return {
        name: [
            round(float(x.mean()), 2) for x in np.array_split(np.mean(its, 0), len(its[0]) // 10)
        ]
        for name, its in kept.items()
    }


def evaluations_to_match(curves: dict[Unit, np.ndarray], goal: str, at: int) -> dict[str, Any]:
    """Returns after how many evaluations other arms' mean curves are as good as `xfer_nao`'s."""
    means = {
        name: np.mean([v for u, v in curves.items() if (u.variant, u.optimizer) == (goal, name)], 0)
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
            values = {}
            for name in names:
                units = grid.units_of([name], setting.targets, seeds, [goal])
                found_at = np.array([curves[unit][at - 1] for unit in units])
                values[name] = found_at.reshape(len(setting.targets), seeds)
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


def main() -> None:
    """Runs what is missing and writes the summary."""
    output, names = _GRID.output, checked_optimizers(_OPTIMIZERS.value)
    setting, folder = from_flags(flags.FLAGS, Setting, **_TABLE.chosen()), _TABLE.folder
    table = _TABLE.table(setting.cost)
    grid.check_setting(setting, output)
    units = grid.units_of(names, setting.targets, _GRID.seeds, GOALS)
    work = functools.partial(run_unit, setting, folder, output)
    if not grid.run(work, units, output, _GRID, "(target, seed) pairs"):
        return
    rows = {unit: unit.read(output)["rows"] for unit in units}
    curves = {unit: curve_of(unit, setting, table, its) for unit, its in rows.items()}
    summary = summarize(curves, setting, _GRID.seeds)
    summary["kept_limit"] = kept_limit(rows, setting, table)
    commands.write_json(output / "objectives.json", summary)
    print_summary(summary)


if __name__ == "__main__":
    commands.start("objectives", main)
