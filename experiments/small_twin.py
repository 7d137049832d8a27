"""Small-scale twins of the CIFAR experiments, on real images, small enough for two cores.

    python -m experiments.small_twin --images_dir=DIR --targets=cifar10_subset
        --output_dir=runs/small_twin --jobs=2  (one line)
    python -m experiments.small_twin --images_dir=DIR --targets=flowers17_16x16 ...

`cifar10_subset` (natural colour images, 10 classes) stands for CIFAR-10, `flowers17_16x16` (17
classes, 40 examples each) for CIFAR-100. Sources are collected first, then every arm searches the
target under every seed, trains its best again and reads the test part once. All arms differ in
the optimizer alone, and share one record of trainings (`evaluation_cache.py`): the same network
under the same seed is trained once. Everything is recorded as it finishes, so the same command goes
on after a kill, and trains nothing when it is run again.

Writes `evaluations.csv`, `summary.json`, `table.md`, `incumbents.png` and `.svg`, which depend on
what was measured alone, and `costs.json` (evaluations, seconds, machine).
"""

import functools
import os
import pathlib
import platform
from collections.abc import Sequence

from absl import flags

from experiments import commands, grid, small_results
from experiments.grid import Unit
from experiments.small_tasks import check_present
from experiments.small_units import (
    Setting,
    collect_source,
    read_costs,
    read_noise,
    read_runs,
    run_unit,
)
from experiments.tabular_units import checked_optimizers
from xfernas_jax.errors import FlagError, UserError
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.files import write_atomically
from xfernas_jax.options import define_flags, from_flags
from xfernas_jax.space.registry import get_space
from xfernas_jax.train.compile_cache import use_compile_cache

_GRID = grid.GridFlags(seeds=5, shards=False)
flags.DEFINE_alias("output_dir", "output")
define_flags(flags, Setting)
_TARGETS = flags.DEFINE_list(
    "targets",
    ["cifar10_subset", "flowers17_16x16"],
    "Data sets to search: files in --images_dir, or what `run.py --dataset` takes.",
)
_SOURCES = flags.DEFINE_list(
    "sources",
    ["fashion_mnist", "mnist_5k", "notmnist_10k"],
    "Data sets whose random architectures `xfer_` optimizers learn from.",
)
_OPTIMIZERS = flags.DEFINE_list("optimizers", ["random", "nao", "xfer_nao"], "The arms.")
_SET = flags.DEFINE_multi_string("set", [], "Changes one recipe value: PART.FIELD=VALUE.")

_CHECKPOINTS = (10, 20, 30)


def setting_from_flags() -> Setting:
    """Reads the flags; every mistake is a `UserError`, before anything is trained."""
    lists = {"targets": _TARGETS, "sources": _SOURCES, "optimizers": _OPTIMIZERS}
    given = {"changes": tuple(_SET.value), "sources": tuple(_SOURCES.value)}
    setting = from_flags(flags.FLAGS, Setting, folder=str(_GRID.output), **given)
    get_space(setting.space)
    get_recipe(setting.recipe, setting.changes)
    checked_optimizers(_OPTIMIZERS.value)
    for name, values in lists.items():
        if len(set(values.value)) != len(values.value):
            raise FlagError(f"--{name}: a name is given twice.")
    if both := sorted(set(_TARGETS.value) & set(_SOURCES.value)):
        raise FlagError(f"{both[0]} is among --targets and --sources; no target is a source.")
    for name in (*_TARGETS.value, *_SOURCES.value):
        check_present(name, setting.images_dir)
    return setting


def _say(line: str) -> None:
    print(line, flush=True)


def run_source(setting: Setting, dataset: str) -> int:
    """Collects one source in a process of its own; returns the trainings done."""
    use_compile_cache(f"{setting.folder}/compile_cache", 1.0)
    return collect_source(setting, dataset, _say)


def run_group(setting: Setting, units: Sequence[Unit]) -> int:
    """Runs the arms of one target and seed, which share most; returns the trainings done."""
    use_compile_cache(f"{setting.folder}/compile_cache", 1.0)
    return sum(run_unit(unit, setting, _say) for unit in units)


def run_all(setting: Setting, units: Sequence[Unit]) -> int:
    """Collects, then searches, in --jobs processes; returns the trainings done.

    What is done is in the record, so units have no files here.
    """
    collect = functools.partial(run_source, setting)
    trained = sum(grid.in_processes(collect, setting.sources, _GRID.jobs, "sources"))
    work, groups = functools.partial(run_group, setting), grid.groups_of(units)
    return trained + sum(grid.in_processes(work, groups, _GRID.jobs, "(target, seed) pairs"))


def write_results(setting: Setting, units: Sequence[Unit], trained: int) -> str:
    """Writes all files; returns the table."""
    folder = pathlib.Path(setting.folder)
    runs = read_runs(setting, units)
    at = [c for c in _CHECKPOINTS if c <= setting.budget] or [setting.budget]
    summary = small_results.summarize(runs, at)
    shown = small_results.table(summary)
    small_results.write_evaluations(runs, folder / "evaluations.csv")
    commands.write_json(folder / "summary.json", summary)
    write_atomically(folder / "table.md", (shown.strip() + "\n").encode())
    small_results.draw(runs, folder / "incumbents.png")
    noise = read_noise(setting, sorted({unit.target for unit in units}))
    shown += "".join(
        f"\nnoise of trainings, {target}: {100 * its['seeds']:.1f} points between seeds of one "
        f"network, {100 * its['networks']:.1f} between networks"
        for target, its in noise.items()
    )
    machine = {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "processor": platform.machine(),
        "python": platform.python_version(),
        "jobs": _GRID.jobs,
    }
    more = {"noise": noise, "trained_now": trained, "machine": machine}
    commands.write_json(folder / "costs.json", {**read_costs(setting, units), **more})
    return shown


def main() -> None:
    """Runs what is missing and writes the results."""
    setting = setting_from_flags()
    units = grid.units_of(_OPTIMIZERS.value, _TARGETS.value, _GRID.seeds)
    try:
        pathlib.Path(setting.folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output={setting.folder}: {error.strerror}.") from error
    trained = run_all(setting, units)
    _say(f"{trained} trainings now; all others were in the record.")
    _say(write_results(setting, units, trained))


if __name__ == "__main__":
    commands.start("small_twin", main)
