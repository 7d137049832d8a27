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

import concurrent.futures
import json
import multiprocessing
import os
import pathlib
import platform
from collections.abc import Sequence
from typing import Any

from absl import app, flags

from experiments.commands import guarded
from experiments.small_units import Setting, Unit
from experiments.tabular_units import single_threaded
from xfernas_jax.errors import FlagError, UserError
from xfernas_jax.files import write_atomically

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
_IMAGES = flags.DEFINE_string("images_dir", None, "Folder with files such as usps/usps.npz.")
_OUTPUT = flags.DEFINE_string("output_dir", None, "Folder of the record and the results.")
_OPTIMIZERS = flags.DEFINE_list("optimizers", ["random", "nao", "xfer_nao"], "The arms.")
_SEEDS = flags.DEFINE_integer("seeds", 5, "Seeds of each search, from 0.", lower_bound=1)
_BUDGET = flags.DEFINE_integer("budget_evaluations", 30, "Of each search.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", 5, "Suggestions at once.", lower_bound=1)
_ARCHITECTURES = flags.DEFINE_integer(
    "source_architectures", 50, "Random architectures of each source.", lower_bound=2
)
_CONFIRM = flags.DEFINE_integer("confirm_seeds", 1, "Trainings of a finalist.", lower_bound=1)
_FINALISTS = flags.DEFINE_integer("num_finalists", 3, "Trained again at the end.", lower_bound=1)
_SPACE = flags.DEFINE_string("space", "nasbench201", "Search space.")
_RECIPE = flags.DEFINE_string("recipe", "cpu", "Recipe of every training.")
_SET = flags.DEFINE_multi_string("set", [], "Changes one recipe value: PART.FIELD=VALUE.")
_JOBS = flags.DEFINE_integer("jobs", 1, "Processes; each uses one core.", lower_bound=1)

_CHECKPOINTS = (10, 20, 30)


def setting_from_flags() -> Setting:
    """Reads the flags; every mistake is a `UserError`, before anything is trained."""
    from experiments.small_tasks import check_present
    from xfernas_jax.evaluate.recipes import get_recipe
    from xfernas_jax.search.registry import find_builder
    from xfernas_jax.space.registry import get_space

    if not _OUTPUT.value:
        raise FlagError("This experiment needs --output_dir.")
    get_space(_SPACE.value)
    get_recipe(_RECIPE.value, _SET.value)
    for name in _OPTIMIZERS.value:
        find_builder(name, "--optimizers")
    for name, values in (
        ("targets", _TARGETS.value),
        ("sources", _SOURCES.value),
        ("optimizers", _OPTIMIZERS.value),
    ):
        if len(set(values)) != len(values):
            raise FlagError(f"--{name}: a name is given twice.")
    if both := sorted(set(_TARGETS.value) & set(_SOURCES.value)):
        raise FlagError(f"{both[0]} is among --targets and --sources; no target is a source.")
    for name in (*_TARGETS.value, *_SOURCES.value):
        check_present(name, _IMAGES.value)
    return Setting(
        folder=str(pathlib.Path(_OUTPUT.value).absolute()),
        images_dir=_IMAGES.value,
        space=_SPACE.value,
        recipe=_RECIPE.value,
        changes=tuple(_SET.value),
        sources=tuple(_SOURCES.value),
        source_architectures=_ARCHITECTURES.value,
        budget=_BUDGET.value,
        batch_size=_BATCH.value,
        confirm_seeds=_CONFIRM.value,
        num_finalists=_FINALISTS.value,
    )


def _say(line: str) -> None:
    print(line, flush=True)


def run_source(setting: Setting, dataset: str) -> int:
    """Collects one source in a process of its own; returns the trainings done."""
    from experiments.small_units import collect_source

    _use_compile_cache(setting)
    return collect_source(setting, dataset, _say)


def run_group(setting: Setting, units: Sequence[Unit]) -> int:
    """Runs the arms of one target and seed, which share most; returns the trainings done."""
    from experiments.small_units import run_unit

    _use_compile_cache(setting)
    return sum(run_unit(unit, setting, _say) for unit in units)


def _use_compile_cache(setting: Setting) -> None:
    from xfernas_jax.train.compile_cache import use_compile_cache

    use_compile_cache(f"{setting.folder}/compile_cache", 1.0)


def run_all(setting: Setting, units: Sequence[Unit]) -> int:
    """Collects, then searches, in --jobs processes; returns the trainings done."""
    groups: dict[tuple[str, int], list[Unit]] = {}
    for unit in units:
        groups.setdefault((unit.target, unit.seed), []).append(unit)
    single_threaded()  # the children inherit it
    trained = 0
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(_JOBS.value, mp_context=context) as pool:
        collections = [pool.submit(run_source, setting, name) for name in setting.sources]
        trained += sum(future.result() for future in collections)
        searches = [pool.submit(run_group, setting, group) for group in groups.values()]
        for done, future in enumerate(concurrent.futures.as_completed(searches), start=1):
            trained += future.result()
            _say(f"{done}/{len(groups)} (target, seed) pairs")
    return trained


def write_results(setting: Setting, units: Sequence[Unit], trained: int) -> str:
    """Writes all files; returns the table."""
    from experiments import small_results
    from experiments.small_units import read_costs, read_noise, read_runs

    folder = pathlib.Path(setting.folder)
    runs = read_runs(setting, units)
    at = [c for c in _CHECKPOINTS if c <= setting.budget] or [setting.budget]
    summary = small_results.summarize(runs, at)
    shown = small_results.table(summary)
    small_results.write_evaluations(runs, folder / "evaluations.csv")
    _write_json(folder / "summary.json", summary)
    write_atomically(folder / "table.md", (shown.strip() + "\n").encode())
    small_results.draw(runs, folder / "incumbents.png")
    noise = read_noise(setting, sorted({unit.target for unit in units}))
    shown += "".join(
        f"\nnoise of trainings, {target}: {100 * its['seeds']:.1f} points between seeds of one "
        f"network, {100 * its['networks']:.1f} between networks"
        for target, its in noise.items()
    )
    costs = {
        **read_costs(setting, units),
        "noise": noise,
        "trained_now": trained,
        "machine": _machine(),
    }
    _write_json(folder / "costs.json", costs)
    return shown


def _machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "processor": platform.machine(),
        "python": platform.python_version(),
        "jobs": _JOBS.value,
    }


def _write_json(file: pathlib.Path, value: Any) -> None:
    write_atomically(file, (json.dumps(value, indent=1) + "\n").encode())


def main(argv: Sequence[str]) -> None:
    """Runs what is missing and writes the results."""
    if len(argv) > 1:
        raise FlagError(f"Unknown argument {argv[1]!r}.")
    setting = setting_from_flags()
    units = [
        Unit(target, seed, optimizer)
        for target in _TARGETS.value
        for seed in range(_SEEDS.value)
        for optimizer in _OPTIMIZERS.value
    ]
    try:
        pathlib.Path(setting.folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output_dir={setting.folder}: {error.strerror}.") from error
    trained = run_all(setting, units)
    _say(f"{trained} trainings now; all others were in the record.")
    _say(write_results(setting, units, trained))


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    app.run(guarded("small_twin", main))
