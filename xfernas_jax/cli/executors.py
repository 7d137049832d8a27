"""From flags to the executor that evaluates: this machine's devices, Ray's, or a user's own."""

from collections.abc import Callable
from typing import Any

import jax

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.progress import console
from xfernas_jax.cli.scoring import Scoring, runtime
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.fits import check_fits
from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.evaluate.spec import TrainedSpec
from xfernas_jax.executors import ray_cluster
from xfernas_jax.executors.base import Executor
from xfernas_jax.executors.devices import device_groups, find_devices
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.executors.local import LocalExecutor
from xfernas_jax.executors.ray import RayExecutor
from xfernas_jax.executors.ray_resources import reserve
from xfernas_jax.registry import Registry

_UNFINISHED = "unfinished"  # folder of a study


def open_executor(scored: Scoring, study: str, at_once: int) -> tuple[Executor, int]:
    """Opens an executor; a user's function runs in this process.

    Args:
      scored: what evaluations are built from.
      study: whose evaluations they are.
      at_once: evaluations that there are to run at the same time.

    Returns:
      The executor, and how many devices train one architecture.

    Raises:
      DeviceError: --devices_per_evaluation does not fit the machine, the cluster or the recipe.
      RecipeError: the recipe does not fit the space.
      FlagError: there is no such executor.
      MissingExtraError: --executor=ray without Ray.
      ClusterError: no Ray at --ray_address.
    """
    spec = scored.spec
    if not isinstance(spec, TrainedSpec):
        return InProcessExecutor(spec.build()), 1
    how = runtime(inputs.folder_of(inputs.STUDIES, study, _UNFINISHED))
    name = flags.EXECUTOR.value
    if name != "ray" and flags.RAY_ADDRESS.value is not None:
        raise FlagError(f"--ray_address={flags.RAY_ADDRESS.value} needs --executor=ray.")
    opener = _EXECUTORS.find(name)
    if ":" in name:
        executor, size = opener(spec, how), flags.DEVICES_PER_EVALUATION.value or 1
    else:
        executor, size = opener(spec, how, scored.dataset)
    if executor.num_workers > 1 and at_once < executor.num_workers:
        console.print(
            f"{executor.num_workers} evaluations fit side by side, but {at_once} are there at once."
        )
    return executor, size


def _open_local(
    spec: TrainedSpec, how: Runtime, dataset: ImageDataset | None
) -> tuple[Executor, int]:
    """Opens an executor over this machine's devices.

    Where workers own the accelerators, this process keeps to the CPU: a predictor is small, and
    JAX would take most of a device's memory for it.
    """
    devices = find_devices()
    is_cpu = devices.platform == "cpu"
    size = flags.DEVICES_PER_EVALUATION.value or (devices.count if is_cpu else 1)
    groups = device_groups(devices, size)
    check_fits(spec.find_space(), spec.recipe, range(size))
    if len(groups) == 1:
        evaluator = spec.build(how, dataset=dataset)
        choice = flags.COMPILE_AHEAD.value
        ahead = choice == "on" or (choice == "auto" and not is_cpu)
        return InProcessExecutor(evaluator, evaluator.prepare if ahead else None), size
    if not is_cpu:
        jax.config.update("jax_platforms", "cpu")
    return LocalExecutor(spec, how, groups), size


def _open_ray(
    spec: TrainedSpec, how: Runtime, dataset: ImageDataset | None
) -> tuple[Executor, int]:
    """Opens an executor over the devices of a Ray cluster; this process keeps to the CPU."""
    del dataset  # workers load it
    size = flags.DEVICES_PER_EVALUATION.value or 1
    check_fits(spec.find_space(), spec.recipe, range(size))
    ray_cluster.connect(flags.RAY_ADDRESS.value)
    try:
        nodes = ray_cluster.living_nodes()
        reserved, num_workers = reserve(nodes, size)
        jax.config.update("jax_platforms", "cpu")
        executor = RayExecutor(spec, how, reserved, num_workers, ray_cluster.disconnect)
    except BaseException:
        ray_cluster.disconnect()
        raise
    console.print(f"Ray: room for {num_workers} workers with {reserved} each; nodes: {len(nodes)}")
    return executor, size


_EXECUTORS: Registry[Callable[..., Any]] = Registry(
    "executor",
    "--executor",
    {"local": _open_local, "ray": _open_ray},
    "be callable as NAME(spec, runtime)",
)
