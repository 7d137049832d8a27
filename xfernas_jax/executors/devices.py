"""Which devices this machine has, and how they are divided among workers."""

import dataclasses
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping

import jax

from xfernas_jax.errors import DeviceError

_PROBE = "import jax; print(jax.default_backend(), jax.local_device_count())"
_PROBE_SECONDS = 300
_PLATFORMS = "jax_platforms"  # an option that type checkers do not know
_TPU_BOUNDS = {1: "1,1,1", 2: "1,2,1", 4: "2,2,1"}  # chips of a host, by their number


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of one platform that this machine has: cpu, gpu or tpu."""

    platform: str
    count: int


@dataclasses.dataclass(frozen=True)
class DeviceGroup:
    """What one worker owns.

    Attributes:
      name: for messages.
      environment: variables that show a process these devices and no others.
      cores: processor cores that the process keeps to; empty where it may use all.
    """

    name: str
    environment: Mapping[str, str]
    cores: tuple[int, ...] = ()


def find_devices() -> Devices:
    """Finds the devices that JAX uses by default.

    Where there may be accelerators a process of its own looks: a process that has looked holds
    their memory until it ends.

    Raises:
      DeviceError: JAX does not start.
    """
    platforms = getattr(jax.config, _PLATFORMS) or ""
    plugins = any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))
    if platforms == "cpu" or not plugins:
        return Devices(jax.default_backend(), jax.local_device_count())
    environment = {**os.environ, "JAX_PLATFORMS": platforms}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_PROBE_SECONDS,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise DeviceError(f"JAX does not find its devices: {lines[-1]:.300}")
    platform, count = done.stdout.split()[-2:]
    return Devices(platform, int(count))


def device_groups(devices: Devices, per_group: int) -> tuple[DeviceGroup, ...]:
    """Divides the devices evenly.

    Args:
      devices: of this machine.
      per_group: devices of each group.

    Raises:
      DeviceError: `per_group` does not divide the devices, or TPU chips cannot be grouped so.
    """
    if per_group < 1 or devices.count % per_group:
        fits = [n for n in range(1, devices.count + 1) if devices.count % n == 0]
        raise DeviceError(
            f"--devices_per_evaluation={per_group} does not divide the {devices.count} "
            f"{devices.platform} devices of this machine; choose one of "
            f"{', '.join(map(str, fits))}."
        )
    build = {"cpu": _cpu_group, "gpu": _gpu_group, "tpu": _tpu_group}[devices.platform]
    num_groups = devices.count // per_group
    return tuple(build(index, per_group, num_groups) for index in range(num_groups))


def _cpu_group(index: int, size: int, num_groups: int) -> DeviceGroup:
    """Gives a worker a share of the cores; XLA takes as many threads as it may use cores."""
    environment = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(size)}
    cores: tuple[int, ...] = ()
    if hasattr(os, "sched_getaffinity"):
        every = sorted(os.sched_getaffinity(0))
        cores = tuple(every[index::num_groups]) or (every[index % len(every)],)
    return DeviceGroup(f"CPU worker {index}", environment, cores)


def _gpu_group(index: int, size: int, num_groups: int) -> DeviceGroup:
    del num_groups
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    known = None if visible is None else [name.strip() for name in visible.split(",")]
    wanted = range(index * size, (index + 1) * size)
    names = [str(i) if known is None else known[i] for i in wanted]
    shown = ",".join(names)
    return DeviceGroup(f"GPU {shown}", {"CUDA_VISIBLE_DEVICES": shown})


def _tpu_group(index: int, size: int, num_groups: int) -> DeviceGroup:
    """Gives a worker chips of this host; not tried, there was no TPU."""
    del num_groups
    if size not in _TPU_BOUNDS:
        raise DeviceError(
            f"--devices_per_evaluation={size}: TPU chips can be grouped by "
            f"{', '.join(map(str, _TPU_BOUNDS))} only."
        )
    chips = ",".join(str(i) for i in range(index * size, (index + 1) * size))
    environment = {
        "TPU_VISIBLE_CHIPS": chips,
        "TPU_CHIPS_PER_PROCESS_BOUNDS": _TPU_BOUNDS[size],
        "TPU_PROCESS_BOUNDS": "1,1,1",
    }
    return DeviceGroup(f"TPU chips {chips}", environment)
