"""Whether a training step fits in memory: told before it runs, in words and not by a dead process.

Operating systems end a process that takes more than there is, without a word.
"""

from collections.abc import Sequence
from typing import Any

from xfernas_jax.memory import free_memory
from xfernas_jax.types import Device


def check_step(compiled: Any, devices: Sequence[Device]) -> None:
    """Raises `MemoryError` where a compiled step takes more than is free.

    Args:
      compiled: what `lower(...).compile()` gives; its data and state are in memory already.
      devices: of this process, each of which runs the step.
    """
    needed = step_bytes(compiled)
    if devices[0].platform == "cpu":  # all of them share one memory
        needed *= len(devices)
    free = free_on(devices)
    if free is not None and needed > free:
        raise MemoryError(
            f"a training step of this network takes {_gib(needed)}, and {_gib(free)} are free"
        )


def free_on(devices: Sequence[Device]) -> int | None:
    """Returns the free bytes of the device that has the fewest; None where none tells.

    Devices that are CPUs have one memory, which is counted once.
    """
    if devices[0].platform == "cpu":
        return free_memory()
    known = [stats for device in devices if (stats := device.memory_stats())]
    free = [s["bytes_limit"] - s.get("bytes_in_use", 0) for s in known if "bytes_limit" in s]
    return min(free, default=None)


def _gib(num_bytes: int) -> str:
    """Returns bytes in words."""
    return f"{num_bytes / 2**30:,.1f} GiB"


def step_bytes(compiled: Any) -> int:
    """Returns the bytes on a device that a step takes beside its arguments; 0 where unknown."""
    found = compiled.memory_analysis()
    if found is None:
        return 0
    new = found.output_size_in_bytes - found.alias_size_in_bytes  # the rest is given away for it
    return found.temp_size_in_bytes + max(0, new)
