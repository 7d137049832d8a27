"""What a worker takes of a node of Ray: devices, and a share of the cores. Nothing heavy."""

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xfernas_jax.errors import DeviceError

_PLATFORMS = {"gpu": "GPU", "tpu": "TPU", "cpu": "CPU"}  # and Ray's names, the preferred first


@dataclasses.dataclass(frozen=True)
class Reservation:
    """The devices that Ray keeps for one worker.

    Attributes:
      platform: cpu, gpu or tpu.
      count: of the devices, all on one node.
    """

    platform: str
    count: int

    @property
    def options(self) -> dict[str, Any]:
        """Returns the options of a Ray actor that reserves them."""
        if self.platform == "tpu":
            return {"num_cpus": 0, "resources": {"TPU": self.count}}
        accelerators = self.count if self.platform == "gpu" else 0
        return {"num_cpus": self.count - accelerators, "num_gpus": accelerators}

    @property
    def environment(self) -> dict[str, str]:
        """Returns the variables that JAX needs to see them and nothing else."""
        if self.platform != "cpu":
            return {}
        return {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(self.count)}

    def __str__(self) -> str:
        return f"{self.count} {self.platform.upper()}{'' if self.count == 1 else 's'}"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an actor has started: its node's id and host name, and its process number."""

    node: str
    host: str
    process: int


def free_share(taken: Iterable[int]) -> int:
    """Returns the first number that is not taken: a worker's share of its node's cores."""
    used = set(taken)
    return next(number for number in itertools.count() if number not in used)


def cores_of_share(every: Sequence[int], share: int, count: int) -> list[int]:
    """Returns `count` cores of a node, other ones for every share while there are enough."""
    return sorted({every[(share * count + i) % len(every)] for i in range(count)})


def reserve(nodes: Iterable[Mapping[str, float]], per_evaluation: int) -> tuple[Reservation, int]:
    """Chooses what each worker reserves, and how many workers the cluster has room for.

    Args:
      nodes: the resources of each living node by Ray's names. Where one has accelerators, the
        CPUs of all are left alone.
      per_evaluation: devices that train one architecture, all on one node.

    Raises:
      DeviceError: no node has so many.
    """
    every = list(nodes)
    for platform, resource in _PLATFORMS.items():
        counts = [int(node.get(resource, 0)) for node in every]
        if not any(counts):
            continue
        num_workers = sum(count // per_evaluation for count in counts)
        if not num_workers:
            raise DeviceError(
                f"--devices_per_evaluation={per_evaluation}: no node of the Ray cluster has so "
                f"many {resource}s; the largest has {max(counts)}."
            )
        return Reservation(platform, per_evaluation), num_workers
    raise DeviceError("The nodes of the Ray cluster offer no CPU, GPU or TPU.")
