"""Data parallelism by `jax.pmap` over devices of one or many hosts: the one file that knows of it.

A step is written for one device plus an axis name (`train/step.py`); a move to `jit` or
`shard_map` changes this file alone. `devices` are those of all hosts, in the same order in every
process; arrays hold what the devices of this process have.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from xfernas_jax.errors import DeviceError
from xfernas_jax.train.memory import check_step
from xfernas_jax.types import Device

AXIS = "devices"
CPU_OPTIONS: Mapping[str, str | int] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT",
    "xla_backend_optimization_level": 1,
}
"""Of XLA, for steps on a CPU; see `compile_step`."""


def check_divides(batch_size: int, devices: Sequence[Device], what: str) -> None:
    """Raises `DeviceError` unless the devices divide a batch evenly."""
    if batch_size % len(devices):
        raise DeviceError(
            f"{what} is {batch_size}, which {len(devices)} devices do not divide; choose a "
            f"multiple of {len(devices)} or fewer devices."
        )


def parallel(
    step: Callable[..., Any], devices: Sequence[Device], donate: tuple[int, ...] = ()
) -> Any:
    """Compiles a step for the devices; arguments have a leading axis of this process's devices.

    Returns:
      The parallel function, with `lower` as those of `jax.jit` have.
    """
    return jax.pmap(step, axis_name=AXIS, devices=devices, donate_argnums=donate)


def own_devices(devices: Sequence[Device]) -> list[Device]:
    """Returns the devices of this process, in order."""
    own = jax.process_index()
    return [device for device in devices if device.process_index == own]


def compile_step(step: Any, devices: Sequence[Device], *arguments: Any) -> Callable[..., Any]:
    """Compiles a step of `parallel` for arguments of these shapes and placements.

    `devices` are those that `parallel` got. Raises `MemoryError` where the step does not fit.

    On a CPU XLA computes matrix products by its library YNN, and convolutions by Eigen: that was
    measured to be faster than YNN for both, which is its default (experiments/bench/RESULTS.md).
    LLVM optimizes at level 1, not at XLA's own: networks start about a fifth sooner, and their
    steps take up to a tenth longer, so short trainings gain (experiments/bench/small_images.py).
    """
    lowered = step.lower(*arguments)
    if jax.default_backend() != "cpu":
        check_step(lowered.compile(), own_devices(devices))
        return step  # which keeps what was compiled
    compiled = compile_lowered(lowered)
    check_step(compiled, own_devices(devices))
    return compiled if jax.process_count() == 1 else _of_shares(compiled)


def compile_lowered(lowered: Any) -> Callable[..., Any]:
    """Compiles what was lowered for a CPU with `CPU_OPTIONS`, where this JAX knows them."""
    try:
        return lowered.compile(compiler_options=dict(CPU_OPTIONS))
    except jax.errors.JaxRuntimeError as error:  # another version may not know an option
        if "compile option" not in str(error):
            raise
        return lowered.compile()


def _of_shares(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a compiled step that takes and gives each process' own shares, as `pmap` does.

    So many hosts have the options of one, and with them its bits.
    """
    mesh, spec = jax.sharding.Mesh(np.array(jax.devices()), (AXIS,)), jax.P(AXIS)

    def call(*arguments: Any) -> Any:
        whole = multihost_utils.host_local_array_to_global_array(arguments, mesh, spec)
        return multihost_utils.global_array_to_host_local_array(compiled(*whole), mesh, spec)

    return call


def _sharding(devices: Sequence[Device]) -> jax.NamedSharding:
    """Returns the sharding that `pmap` gives its results: an equal one never recompiles."""
    mesh = jax.sharding.Mesh(np.array(own_devices(devices)), (AXIS,))
    return jax.NamedSharding(mesh, jax.P(AXIS))


def replicate(tree: Any, devices: Sequence[Device]) -> Any:
    """Puts a copy of every array (NumPy, JAX or key) on every device of this process."""
    count = len(own_devices(devices))

    def copies(x: Any) -> Any:
        if isinstance(x, jax.Array):
            return jnp.broadcast_to(x[None], (count, *x.shape))
        return np.broadcast_to(np.asarray(x)[None], (count, *np.shape(x)))

    return jax.device_put(jax.tree.map(copies, tree), _sharding(devices))


def unreplicate(tree: Any) -> Any:
    """Takes this process's first copy to the host as NumPy arrays, in one transfer."""
    first = jax.device_get(jax.tree.map(lambda x: x.addressable_data(0), tree))
    return jax.tree.map(lambda x: x[0], first)


def own_columns(table: np.ndarray, devices: Sequence[Device]) -> np.ndarray:
    """Returns the columns of a `[steps, B]` table that the devices of this process take.

    Device `d` gets the columns from `d * B / devices` on, so position in the global batch is
    device index times local size plus local position.
    """
    steps, own = len(table), jax.process_index()
    is_own = [device.process_index == own for device in devices]
    return table.reshape(steps, len(devices), -1)[:, is_own].reshape(steps, -1)


def shard_batch(batch: tuple[np.ndarray, ...], devices: Sequence[Device]) -> tuple[jax.Array, ...]:
    """Divides arrays of the rows of `own_columns` evenly among the devices of this process."""
    count = len(own_devices(devices))
    shares = tuple(x.reshape(count, len(x) // count, *x.shape[1:]) for x in batch)
    return jax.device_put(shares, _sharding(devices))


def shard_table(table: np.ndarray, devices: Sequence[Device]) -> jax.Array:
    """Puts each device's `[steps, B / devices]` columns of a `[steps, B]` table on it."""
    own = own_columns(table, devices)
    count = len(own_devices(devices))
    shares = own.reshape(len(own), count, -1).swapaxes(0, 1)
    return jax.device_put(np.ascontiguousarray(shares), _sharding(devices))
