"""From flags to the executor that trains."""

import pathlib
from typing import cast

import jax

from xfernas_jax.benchmarks.recipes import Recipe
from xfernas_jax.benchmarks.trained import check_fits
from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.progress import console
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.data.stream import Residence
from xfernas_jax.executors.base import Executor
from xfernas_jax.executors.devices import Devices, device_groups, find_devices
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.executors.local import LocalExecutor
from xfernas_jax.executors.setup import EvaluationSetup
from xfernas_jax.nn.programs import ProgramChoice
from xfernas_jax.space.base import Space


def devices_per_evaluation(devices: Devices) -> int:
    """Returns how many devices train one architecture, as the flags say."""
    return flags.DEVICES_PER_EVALUATION.value or (devices.count if devices.platform == "cpu" else 1)


def open_executor(
    space: Space,
    dataset: ImageDataset,
    recipe: Recipe,
    at_once: int,
    stopped_dir: pathlib.Path | None = None,
) -> Executor:
    """Returns an executor over this machine's devices.

    Where workers own the accelerators, this process keeps to the CPU: a predictor is small, and
    JAX would take most of a device's memory for it.

    Args:
      space: of the genotypes.
      dataset: loaded with `recipe.data`; workers load it by --dataset.
      recipe: how architectures are trained.
      at_once: evaluations that there are to run at the same time.
      stopped_dir: keeps the states of stopped evaluations.

    Raises:
      DeviceError: --devices_per_evaluation does not fit the machine, or the recipe.
      RecipeError: the recipe does not fit the space.
    """
    devices = find_devices()
    is_cpu = devices.platform == "cpu"
    size = devices_per_evaluation(devices)
    groups = device_groups(devices, size)
    check_fits(space, recipe, range(size))
    if len(groups) == 1:
        benchmark = inputs.benchmark(space, dataset, recipe, stopped_dir)
        choice = flags.COMPILE_AHEAD.value
        ahead = choice == "on" or (choice == "auto" and not is_cpu)
        return InProcessExecutor(benchmark, benchmark.prepare if ahead else None)
    if not is_cpu:
        jax.config.update("jax_platforms", "cpu")
    if at_once < len(groups):
        console.print(
            f"{len(groups)} evaluations fit side by side, but {at_once} are there at once."
        )
    setup = EvaluationSetup(
        flags.SPACE.value,
        flags.DATASET.value,
        flags.DATA_DIR.value,
        recipe,
        cast(ProgramChoice, flags.PROGRAMS.value),
        (inputs.compile_cache_folder(), flags.COMPILE_CACHE_GIB.value),
        cast(Residence, flags.DATA_RESIDENCE.value),
        None if stopped_dir is None else str(stopped_dir),
    )
    return LocalExecutor(setup, groups)
