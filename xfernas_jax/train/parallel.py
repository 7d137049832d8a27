"""Data parallelism over local devices by `jax.pmap`: the one file that knows of it.

A step is written for one device plus an axis name (`train/step.py`); a move to `jit` or
`shard_map` changes this file alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from xfernas_jax.errors import DeviceError
from xfernas_jax.types import Device

AXIS = "devices"


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
    """Compiles a step for the devices; every argument has a leading device axis.

    Returns:
      The parallel function, with `lower` as those of `jax.jit` have.
    """
    return jax.pmap(step, axis_name=AXIS, devices=devices, donate_argnums=donate)


def _sharding(devices: Sequence[Device]) -> jax.NamedSharding:
    """Returns the sharding that `pmap` gives its results: an equal one never recompiles."""
    return jax.NamedSharding(jax.sharding.Mesh(np.array(devices), (AXIS,)), jax.P(AXIS))


def replicate(tree: Any, devices: Sequence[Device]) -> Any:
    """Puts a copy of every array (NumPy, JAX or key) on every device."""

    def copies(x: Any) -> Any:
        if isinstance(x, jax.Array):
            return jnp.broadcast_to(x[None], (len(devices), *x.shape))
        return np.broadcast_to(np.asarray(x)[None], (len(devices), *np.shape(x)))

    return jax.device_put(jax.tree.map(copies, tree), _sharding(devices))


def unreplicate(tree: Any) -> Any:
    """Takes the first device's copy to the host as NumPy arrays, in one transfer."""
    first = jax.device_get(jax.tree.map(lambda x: x.addressable_data(0), tree))
    return jax.tree.map(lambda x: x[0], first)


def shard_batch(batch: tuple[np.ndarray, ...], devices: Sequence[Device]) -> tuple[jax.Array, ...]:
    """Divides arrays `[B, ...]` into `[devices, B / devices, ...]` on the devices, in order."""
    count = len(devices)
    shares = tuple(x.reshape(count, len(x) // count, *x.shape[1:]) for x in batch)
    return jax.device_put(shares, _sharding(devices))


def shard_table(table: np.ndarray, devices: Sequence[Device]) -> jax.Array:
    """Divides a `[steps, B]` table into `[devices, steps, B / devices]` on the devices.

    Device `d` gets the columns from `d * B / devices` on, so position in the global batch is
    device index times local size plus local position.
    """
    steps, batch = table.shape
    shares = table.reshape(steps, len(devices), batch // len(devices)).swapaxes(0, 1)
    return jax.device_put(np.ascontiguousarray(shares), _sharding(devices))
