"""From flags to the executor that trains."""

import os
import pathlib
from typing import cast

import jax

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.progress import console
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.data.stream import Residence
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.evaluate.trained import check_fits
from xfernas_jax.executors import ray_cluster
from xfernas_jax.executors.base import Executor
from xfernas_jax.executors.devices import device_groups, find_devices
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.executors.local import LocalExecutor
from xfernas_jax.executors.ray import RayExecutor
from xfernas_jax.executors.ray_resources import reserve
from xfernas_jax.executors.setup import EvaluationSetup
from xfernas_jax.nn.programs import ProgramChoice
from xfernas_jax.space.base import Space


def open_executor(
    space: Space,
    dataset: ImageDataset,
    recipe: Recipe,
    at_once: int,
    unfinished_dir: pathlib.Path,
) -> tuple[Executor, int]:
    """Opens an executor over this machine's devices, or over a Ray cluster's.

    Where workers own the accelerators, this process keeps to the CPU: a predictor is small, and
    JAX would take most of a device's memory for it.

    Args:
      space: of the genotypes.
      dataset: loaded with `recipe.data`; workers load it by --dataset.
      recipe: how architectures are trained.
      at_once: evaluations that there are to run at the same time.
      unfinished_dir: keeps the states of evaluations that stop or are cut off.

    Returns:
      The executor, and how many devices train one architecture.

    Raises:
      DeviceError: --devices_per_evaluation does not fit the machine, the cluster or the recipe.
      RecipeError: the recipe does not fit the space.
      MissingExtraError: --executor=ray without Ray.
      ClusterError: no Ray at --ray_address.
    """
    address = flags.RAY_ADDRESS.value
    if flags.EXECUTOR.value == "ray":
        return _open_ray(space, recipe, at_once, _setup(recipe, unfinished_dir), address)
    if address is not None:
        raise FlagError(f"--ray_address={address} needs --executor=ray.")
    devices = find_devices()
    is_cpu = devices.platform == "cpu"
    size = flags.DEVICES_PER_EVALUATION.value or (devices.count if is_cpu else 1)
    groups = device_groups(devices, size)
    check_fits(space, recipe, range(size))
    if len(groups) == 1:
        benchmark = inputs.benchmark(space, dataset, recipe, unfinished_dir)
        choice = flags.COMPILE_AHEAD.value
        ahead = choice == "on" or (choice == "auto" and not is_cpu)
        return InProcessExecutor(benchmark, benchmark.prepare if ahead else None), size
    if not is_cpu:
        jax.config.update("jax_platforms", "cpu")
    _say_at_once(len(groups), at_once)
    return LocalExecutor(_setup(recipe, unfinished_dir), groups), size


def _open_ray(
    space: Space, recipe: Recipe, at_once: int, setup: EvaluationSetup, address: str | None
) -> tuple[Executor, int]:
    size = flags.DEVICES_PER_EVALUATION.value or 1
    check_fits(space, recipe, range(size))
    ray_cluster.connect(address)
    try:
        nodes = ray_cluster.living_nodes()
        reserved, num_workers = reserve(nodes, size)
        jax.config.update("jax_platforms", "cpu")
        executor = RayExecutor(setup, reserved, num_workers, ray_cluster.disconnect)
    except BaseException:
        ray_cluster.disconnect()
        raise
    console.print(f"Ray: room for {num_workers} workers with {reserved} each; nodes: {len(nodes)}")
    _say_at_once(num_workers, at_once)
    return executor, size


def _say_at_once(num_workers: int, at_once: int) -> None:
    if at_once < num_workers:
        console.print(
            f"{num_workers} evaluations fit side by side, but {at_once} are there at once."
        )


def _setup(recipe: Recipe, unfinished_dir: pathlib.Path) -> EvaluationSetup:
    """Returns what workers need, as the flags say."""
    return EvaluationSetup(
        flags.SPACE.value,
        flags.DATASET.value,
        flags.DATA_DIR.value,
        recipe,
        cast(ProgramChoice, flags.PROGRAMS.value),
        (os.path.abspath(inputs.compile_cache_folder()), flags.COMPILE_CACHE_GIB.value),
        cast(Residence, flags.DATA_RESIDENCE.value),
        str(unfinished_dir),
        flags.EVALUATION_CHECKPOINT_SECONDS.value or None,
        inputs.recorded_costs(),
    )
