"""Searches the tasks of a published table, where an evaluation costs nothing.

    python -m experiments.tabular_search --benchmark_dir=DIR --table=transnas_micro --seeds=20
        --optimizers=random,nao,xfer_nao --jobs=2 --output=runs/micro  (one line)

Every source and seed has its own random history. Finished searches are kept in --output, so a run
that was killed goes on, and several processes or machines may share the work (--shard=1/4).
Writes `evaluations.csv`, `summary.json` (byte-identical for the same seeds whatever --jobs) and
`timings.json` (seconds of each search, from `timings/`, where each search leaves its own).
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments import commands, grid, optimizer_names, statistics
from experiments.grid import Unit
from experiments.incumbents import best_rows, percentiles
from experiments.tabular_units import (
    Setting,
    TableFlags,
    cached_table,
    checked_optimizers,
    chosen_tasks,
    run_unit,
)
from xfernas_jax.options import define_flags, from_flags

_GRID, _TABLE = grid.GridFlags(), TableFlags()
define_flags(flags, Setting)
_SOURCES = flags.DEFINE_list("sources", ["all"], "Source tasks; all means all other tasks.")
_BASELINE = flags.DEFINE_integer(
    "baseline_budget", None, "Evaluations of `random` and `nao`; by default --budget."
)
_OPTIMIZERS = flags.DEFINE_list(
    "optimizers", ["random", "nao", "xfer_nao"], "Optimizers, also module:NAME."
)

CHECKPOINTS = (1, 5, 10, 20, 30, 50, 100, 200, 500, 1000)


def setting_from_flags() -> Setting:
    """Reads flags and table; every mistake is a `UserError`."""
    table, chosen = _TABLE.table(), _TABLE.chosen()
    sources = chosen_tasks(table, chosen["split"], _SOURCES.value, "sources")
    found = from_flags(flags.FLAGS, Setting, sources=sources, baseline_budget=0, **chosen)
    most = len(table.space.rows)
    return dataclasses.replace(
        found,
        budget=min(found.budget, most),
        baseline_budget=min(_BASELINE.value or found.budget, most),
    )


def curves(units: Sequence[Unit], setting: Setting, folder: str, output: pathlib.Path) -> Any:
    """Writes the CSV; returns of each unit the incumbent's percentile and regret, decoded share."""
    table = cached_table(folder, setting.table)
    lines: list[list[Any]] = []
    result: dict[Unit, tuple[np.ndarray, np.ndarray, float | None]] = {}
    for unit in units:
        content = unit.read(output)
        rows = np.array(content["rows"])
        values = table.column(unit.target, setting.split).values
        best_row = best_rows(values[rows], rows)
        percentile = percentiles(values)[best_row]
        test = [""] * len(rows)
        if (unit.target, setting.test_split) in table.columns:
            test_values = table.column(unit.target, setting.test_split).values
            test = [f"{x:.6g}" for x in percentiles(test_values)[best_row]]
        regret = (values.max() - values[best_row]) / (values.max() - np.median(values))
        result[unit] = (percentile, regret, content.get("decoded_rows_share"))
        for i, row in enumerate(rows):
            shown = [f"{values[row]:.8g}", f"{values[best_row[i]]:.8g}", f"{percentile[i]:.6g}"]
            lines.append([unit.optimizer, unit.target, unit.seed, i + 1, *shown, test[i]])
    names = "optimizer target seed evaluation value incumbent"
    header = [*names.split(), "incumbent_percentile", "incumbent_test_percentile"]
    commands.write_csv(output / "evaluations.csv", header, lines)
    return result


def summarize(found: Any, setting: Setting, seeds: int) -> dict[str, Any]:
    """Makes the content of `summary.json`; optimizers with missing units are left out."""
    optimizers, matrices = {}, {}
    for name in sorted({unit.optimizer for unit in found}):
        units = [[Unit(name, target, seed) for seed in range(seeds)] for target in setting.targets]
        if not all(unit in found for row in units for unit in row):
            continue
        length = min(len(found[unit][0]) for row in units for unit in row)
        percentile = np.array([[found[u][0][:length] for u in row] for row in units])
        regret = np.array([[found[u][1][:length] for u in row] for row in units])
        matrices[name] = percentile
        at = [c for c in CHECKPOINTS if c <= length]
        decoded = [share for row in units for u in row if (share := found[u][2]) is not None]
        optimizers[name] = {
            "mean_percentile": {str(c): float(percentile[..., c - 1].mean()) for c in at},
            "ci95": {str(c): statistics.interval(percentile[..., c - 1]) for c in at},
            "median_percentile": {str(c): float(np.median(percentile[..., c - 1])) for c in at},
            "p90_percentile": {str(c): float(np.quantile(percentile[..., c - 1], 0.9)) for c in at},
            "normalised_regret": {str(c): float(regret[..., c - 1].mean()) for c in at},
            "decoded_rows_share": float(np.mean(decoded)) if decoded else None,
            "targets": {
                target: {"mean_percentile": {str(c): float(row[:, c - 1].mean()) for c in at}}
                for target, row in zip(setting.targets, percentile, strict=True)
            },
        }
    twins = {
        name: _twin(matrices[name], matrices[twin], matrices.get("random"), setting.targets)
        for name in matrices
        if (twin := optimizer_names.without_sources(name)) != name and twin in matrices
    }
    return {"table": setting.table, "seeds": seeds, "optimizers": optimizers, "twins": twins}


def _twin(
    ours: np.ndarray, theirs: np.ndarray, random: np.ndarray | None, targets: Sequence[str]
) -> dict[str, Any]:
    length = min(ours.shape[2], theirs.shape[2])
    at = [c for c in CHECKPOINTS if c <= length]
    pairs = {str(c): (ours[..., c - 1], theirs[..., c - 1]) for c in at}
    compared = {c: statistics.compare(*pair) for c, pair in pairs.items()}
    by_task = {
        (target, c): statistics.compare(mine[i : i + 1], its[i : i + 1])
        for i, target in enumerate(targets)
        for c, (mine, its) in pairs.items()
    }
    corrected = statistics.holm({f"{t} {c}": found.p_value for (t, c), found in by_task.items()})
    result: dict[str, Any] = {
        **_verdicts(compared),
        "p_value": statistics.holm({c: found.p_value for c, found in compared.items()}),
        "evaluations_to_match": {str(c): _needed(theirs, ours[..., c - 1].mean()) for c in at},
        "targets": {
            target: {
                **_verdicts({c: by_task[target, c] for c in pairs}),
                "p_value": {c: corrected[f"{target} {c}"] for c in pairs},
            }
            for target in targets
        },
    }
    if random is not None:
        result["random_evaluations_to_match"] = {
            str(c): _needed(random, ours[..., c - 1].mean()) for c in at
        }
    return result


def _verdicts(compared: Mapping[str, statistics.Comparison]) -> dict[str, Any]:
    return {
        "difference": {c: found.difference for c, found in compared.items()},
        "difference_ci95": {c: [found.low, found.high] for c, found in compared.items()},
        "non_inferior": {c: found.non_inferior for c, found in compared.items()},
    }


def _needed(curves_of: np.ndarray, wanted: float) -> int | None:
    """Returns the evaluations after which the mean curve is as good; None if it never is."""
    reached = np.flatnonzero(curves_of.mean((0, 1)) <= wanted)
    return int(reached[0]) + 1 if len(reached) else None


def main() -> None:
    """Runs what is missing and writes the results."""
    setting, output, folder = setting_from_flags(), _GRID.output, _TABLE.folder
    names, _ = checked_optimizers(_OPTIMIZERS.value), _GRID.shard  # before anything is written
    grid.check_setting(setting, output)
    units = grid.units_of(names, setting.targets, _GRID.seeds)
    work = functools.partial(run_unit, setting, folder, output)
    grid.run(work, units, output, _GRID, "(target, seed) pairs")
    known = sorted(Unit.of_file(path) for path in (output / "units").glob("*/*.json"))
    found = curves(known, setting, folder, output)
    summary = summarize(found, setting, _GRID.seeds)
    commands.write_json(output / "summary.json", summary)
    for name, row in summary["optimizers"].items():
        shown = "  ".join(f"@{c} {v:.3f}" for c, v in row["mean_percentile"].items())
        print(f"{name:>36}  {shown}")


if __name__ == "__main__":
    commands.start("tabular_search", main)
