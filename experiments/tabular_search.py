"""Searches the tasks of a published table, where an evaluation costs nothing.

    python -m experiments.tabular_search --benchmark_dir=DIR --table=transnas_micro --seeds=20
        --optimizers=random,nao,xfer_nao --jobs=2 --output=runs/micro  (one line)

Every source and seed has its own random history. Finished searches are kept in --output, so a run
that was killed goes on, and several processes or machines may share the work (--shard=1/4).
Writes `evaluations.csv`, `summary.json` (byte-identical for the same seeds whatever --jobs) and
`timings.json` (seconds of each search, from `timings/`, where each search leaves its own).
"""

import concurrent.futures
import csv
import dataclasses
import io
import json
import multiprocessing
import os
import pathlib
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import app, flags

from experiments import optimizer_names, statistics
from experiments.commands import guarded
from experiments.tabular_units import Setting, Unit, cached_table, run_unit, single_threaded
from xfernas_jax.errors import FlagError
from xfernas_jax.files import write_atomically
from xfernas_jax.search.registry import find_builder

_DIR = flags.DEFINE_string("benchmark_dir", None, "Folder with a manifest.json.")
_TABLE = flags.DEFINE_string("table", "transnas_micro", "Name of a table in the manifest.")
_SPLIT = flags.DEFINE_string("split", "valid", "Split whose values drive the search.")
_TEST = flags.DEFINE_string("test_split", "test", "Split that is only reported.")
_TARGETS = flags.DEFINE_list("targets", ["all"], "Tasks to search.")
_SOURCES = flags.DEFINE_list("sources", ["all"], "Source tasks; all means all other tasks.")
_SOURCE_EVALUATIONS = flags.DEFINE_integer(
    "source_evaluations", 200, "Random architectures of each source.", lower_bound=0
)
_NUM_SOURCES = flags.DEFINE_integer(
    "num_sources", None, "Sources used, drawn by seed and target; by default all.", lower_bound=0
)
_BUDGET = flags.DEFINE_integer("budget", 100, "Evaluations of a search.", lower_bound=1)
_BASELINE = flags.DEFINE_integer(
    "baseline_budget", None, "Evaluations of `random` and `nao`; by default --budget."
)
_BATCH = flags.DEFINE_integer("batch_size", 5, "Suggestions at once.", lower_bound=1)
_INITIAL = flags.DEFINE_integer(
    "initial_random", 10, "Start rows of optimizers without sources.", lower_bound=1
)
_SEEDS = flags.DEFINE_integer("seeds", 20, "Seeds of each search, from 0.", lower_bound=1)
_OPTIMIZERS = flags.DEFINE_list(
    "optimizers", ["random", "nao", "xfer_nao"], "Optimizers, also module:NAME."
)
_CORRUPT = flags.DEFINE_enum(
    "corrupt_sources",
    "none",
    ["none", "shuffle", "negate", "one_shuffled", "one_negated"],
    "How source scores are made wrong.",
)
_SURROGATE = flags.DEFINE_string("surrogate", "head", "Surrogate: head or joint.")
_ENCODER = flags.DEFINE_string("encoder", "mlp", "Encoder: mlp or lstm.")
_JOBS = flags.DEFINE_integer("jobs", 1, "Processes; each uses one core.", lower_bound=1)
_SHARD = flags.DEFINE_string("shard", "1/1", "Which part of the searches to run: I/N.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the results.")

CHECKPOINTS = (10, 20, 50, 100, 200, 500, 1000)


def setting_from_flags() -> Setting:
    """Reads flags and table; every mistake is a `UserError`."""
    if not _DIR.value or not _OUTPUT.value:
        raise FlagError("This experiment needs --benchmark_dir and --output.")
    table = cached_table(_DIR.value, _TABLE.value)
    tasks = tuple(sorted(table.tasks(_SPLIT.value)))

    def chosen(names: Sequence[str], flag: str) -> tuple[str, ...]:
        if list(names) == ["all"]:
            return tasks
        for name in names:
            table.column(name, _SPLIT.value)
        if len(set(names)) != len(names):
            raise FlagError(f"--{flag}: a task is named twice.")
        return tuple(names)

    for name in _OPTIMIZERS.value:
        find_builder(name, "--optimizers")
    return Setting(
        table=_TABLE.value,
        split=_SPLIT.value,
        test_split=_TEST.value,
        targets=chosen(_TARGETS.value, "targets"),
        sources=chosen(_SOURCES.value, "sources"),
        source_evaluations=_SOURCE_EVALUATIONS.value,
        budget=min(_BUDGET.value, len(table.space.rows)),
        baseline_budget=min(_BASELINE.value or _BUDGET.value, len(table.space.rows)),
        batch_size=_BATCH.value,
        initial_random=_INITIAL.value,
        corrupt_sources=_CORRUPT.value,
        surrogate=_SURROGATE.value,
        encoder=_ENCODER.value,
        num_sources=_NUM_SOURCES.value,
    )


def check_output(setting: Setting, output: pathlib.Path) -> None:
    """Writes the setting, or raises where the folder holds results of another one."""
    file = output / "setting.json"
    text = json.dumps(dataclasses.asdict(setting), indent=1)
    old, new = json.loads(file.read_text() if file.exists() else text), json.loads(text)
    if fields := [name for name in new if old.get(name) != new[name]]:
        raise FlagError(
            f"{output} holds results of another setting ({', '.join(fields)}); choose another "
            "--output, or delete the folder."
        )
    if not file.exists():
        try:
            write_atomically(file, text.encode())
        except OSError as error:
            raise FlagError(f"--output={output} cannot be written ({error.strerror}).") from error


def run_group(units: Sequence[Unit], setting: Setting, folder: str, output: pathlib.Path) -> None:
    """Runs the optimizers of one target and seed, which share the sources' fit; keeps the times."""
    for unit in units:
        start = time.monotonic()
        run_unit(unit, setting, folder, output)
        entry = {f"{unit.optimizer}/{unit.target}/{unit.seed}": round(time.monotonic() - start, 3)}
        file = output / "timings" / unit.file(output).relative_to(output / "units")
        write_atomically(file, json.dumps(entry).encode())


def write_timings(output: pathlib.Path) -> None:
    """Writes `timings.json` from the units' own files; keeps what it said of others."""
    whole = output / "timings.json"
    timings = json.loads(whole.read_text()) if whole.exists() else {}
    for file in (output / "timings").glob("*/*.json"):
        timings |= json.loads(file.read_text())
    write_atomically(whole, json.dumps(timings, indent=1, sort_keys=True).encode())


def shard_from_flags() -> tuple[int, int]:
    """Returns I and N of --shard=I/N."""
    numbers = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", _SHARD.value)
    index, parts = (int(x) for x in numbers.groups()) if numbers else (1, 0)
    if index > parts:
        raise FlagError(f"--shard={_SHARD.value}: the form is I/N, such as 1/4.")
    return index, parts


def run_all(units: Sequence[Unit], setting: Setting, folder: str, output: pathlib.Path) -> None:
    """Runs the units of this shard that are not finished, in --jobs processes."""
    index, parts = shard_from_flags()
    groups: dict[tuple[str, int], list[Unit]] = {}
    for unit in units:
        groups.setdefault((unit.target, unit.seed), []).append(unit)
    shard = [group for i, group in enumerate(groups.values()) if i % parts == index - 1]
    missing = [[unit for unit in group if not unit.file(output).exists()] for group in shard]
    mine = [group for group in missing if group]
    context = multiprocessing.get_context("spawn")
    single_threaded()  # the children inherit it
    with concurrent.futures.ProcessPoolExecutor(_JOBS.value, mp_context=context) as pool:
        futures = [pool.submit(run_group, group, setting, folder, output) for group in mine]
        for done, future in enumerate(concurrent.futures.as_completed(futures), start=1):
            future.result()
            print(f"{done}/{len(mine)} (target, seed) pairs", flush=True)
    write_timings(output)


def curves(units: Sequence[Unit], setting: Setting, folder: str, output: pathlib.Path) -> Any:
    """Writes the CSV; returns of each unit the incumbent's percentile and regret, decoded share."""
    table = cached_table(folder, setting.table)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = "optimizer target seed evaluation value incumbent"
    writer.writerow([*names.split(), "incumbent_percentile", "incumbent_test_percentile"])
    result: dict[Unit, tuple[np.ndarray, np.ndarray, float | None]] = {}
    for unit in units:
        content = json.loads(unit.file(output).read_text())
        rows = np.array(content["rows"])
        values = table.column(unit.target, setting.split).values
        best_row = _incumbents(values[rows], rows)
        percentile = _percentiles(values)[best_row]
        has_test = (unit.target, setting.test_split) in table.columns
        test = None
        if has_test:
            test_values = table.column(unit.target, setting.test_split).values
            test = _percentiles(test_values)[best_row]
        regret = (values.max() - values[best_row]) / (values.max() - np.median(values))
        result[unit] = (percentile, regret, content.get("decoded_rows_share"))
        for i, row in enumerate(rows):
            shown = "" if test is None else f"{test[i]:.6g}"
            writer.writerow(
                [
                    unit.optimizer,
                    unit.target,
                    unit.seed,
                    i + 1,
                    f"{values[row]:.8g}",
                    f"{values[best_row[i]]:.8g}",
                    f"{percentile[i]:.6g}",
                    shown,
                ]
            )
    write_atomically(output / "evaluations.csv", text.getvalue().encode())
    return result


def _incumbents(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the row of the best value so far; the earlier one at a tie."""
    best = np.maximum.accumulate(values)
    is_new = np.concatenate([[True], values[1:] > best[:-1]])
    return rows[np.maximum.accumulate(np.where(is_new, np.arange(len(rows)), 0))]


def _percentiles(values: np.ndarray) -> np.ndarray:
    """Returns the share of strictly better architectures, in percent, for each row."""
    order = np.sort(values)
    return 100.0 * (len(values) - np.searchsorted(order, values, side="right")) / len(values)


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
        "not_worse": {c: found.not_worse for c, found in compared.items()},
    }


def _needed(curves_of: np.ndarray, wanted: float) -> int | None:
    """Returns the evaluations after which the mean curve is as good; None if it never is."""
    reached = np.flatnonzero(curves_of.mean((0, 1)) <= wanted)
    return int(reached[0]) + 1 if len(reached) else None


def main(argv: Sequence[str]) -> None:
    """Runs what is missing and writes the results."""
    if len(argv) > 1:
        raise FlagError(f"Unknown argument {argv[1]!r}.")
    setting = setting_from_flags()
    shard_from_flags()  # before anything is written
    folder, output = str(_DIR.value), pathlib.Path(str(_OUTPUT.value)).absolute()
    check_output(setting, output)
    units = [
        Unit(name, target, seed)
        for target in setting.targets
        for seed in range(_SEEDS.value)
        for name in _OPTIMIZERS.value
    ]
    run_all(units, setting, folder, output)
    known = sorted(Unit.of_file(path) for path in (output / "units").glob("*/*.json"))
    found = curves(known, setting, folder, output)
    summary = summarize(found, setting, _SEEDS.value)
    write_atomically(output / "summary.json", (json.dumps(summary, indent=1) + "\n").encode())
    for name, row in summary["optimizers"].items():
        shown = "  ".join(f"@{c} {v:.3f}" for c, v in row["mean_percentile"].items())
        print(f"{name:>36}  {shown}")


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    app.run(guarded("tabular_search", main))
