"""Which program trains a network: its own, or the one that many networks share."""

import dataclasses
import math
from collections.abc import Hashable, Mapping
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

import flax.linen as nn

from xfernas_jax.nn import shared
from xfernas_jax.nn.builders import build_network
from xfernas_jax.nn.compile import (
    Leaf,
    Variables,
    count_params,
    draw_variables,
    initial_variables,
    variable_leaves,
    variable_shapes,
)
from xfernas_jax.nn.initializers import Path
from xfernas_jax.nn.network import Network, NetworkConfig
from xfernas_jax.nn.stack import join_cells, part_cells
from xfernas_jax.space.graph import NetworkPlan, Plan

ProgramChoice = Literal["auto", "own", "shared"]

LARGEST_SHARED_WORK = 5e10
"""Multiply-adds of a training up to which `auto` takes the shared program.

It computes every edge of a cell, used or not, and compiles once. The recipe `cpu`, a fifth of this
bound, was measured to gain (experiments/bench/RESULTS.md); the bound itself was not.
"""


@runtime_checkable
class Program(Protocol):
    """The module that is compiled for a network, and how variables enter and leave it.

    Variables outside are always those of the network's own module, so records, checkpoints of a
    search and exports do not depend on the program.
    """

    @property
    def key(self) -> Hashable:
        """Equal for networks that run with the same compiled program."""
        ...

    @property
    def name(self) -> str:
        """Says which kind it is; states of a training fit programs of the same name only."""
        ...

    @property
    def module(self) -> nn.Module: ...

    @property
    def num_params(self) -> int:
        """The network's own trainable parameters; nothing is drawn or compiled."""
        ...

    def initial_variables(self, seed: int) -> Variables:
        """Draws the network's initial values; the same ones in every program."""
        ...

    def enter(self, variables: Mapping[str, Any]) -> Variables: ...

    def leave(self, variables: Mapping[str, Any]) -> Variables: ...


@dataclasses.dataclass(frozen=True)
class _NetworkProgram:
    """What the programs of one network alone have in common.

    Attributes:
      plan: of the network.
      own: its own module.
      image_shape: (height, width, channels).
    """

    plan: Plan
    own: nn.Module
    image_shape: tuple[int, int, int]

    @property
    def num_params(self) -> int:
        return count_params(variable_shapes(self.own, self.image_shape))

    def initial_variables(self, seed: int) -> Variables:
        return initial_variables(self.own, self.image_shape, seed)


class OwnProgram(_NetworkProgram):
    """A network's own module; see `Program`."""

    name = "own"

    @property
    def key(self) -> Hashable:
        return self.plan

    @property
    def module(self) -> nn.Module:
        return self.own

    def enter(self, variables: Mapping[str, Any]) -> Variables:
        return dict(variables)

    leave = enter


@dataclasses.dataclass(frozen=True)
class ScannedProgram(_NetworkProgram):
    """A network whose equal cells are one scanned cell; see `Program` and `nn/stack.py`."""

    own: Network
    name = "scanned"

    @property
    def key(self) -> Hashable:
        return self.name, self.plan

    @property
    def module(self) -> Network:
        return self.own.clone(config=dataclasses.replace(self.own.config, scan_cells=True))

    def enter(self, variables: Mapping[str, Any]) -> Variables:
        return join_cells(self.module.scanned_cells(), variables)

    def leave(self, variables: Mapping[str, Any]) -> Variables:
        return part_cells(self.module.scanned_cells(), variables)


@dataclasses.dataclass(frozen=True)
class SharedProgram:
    """The program of `nn/shared.py` for one of its networks; see `Program`."""

    plan: NetworkPlan
    module: Network
    leaves: Mapping[Path, Leaf]
    key = name = "shared"

    @property
    def num_params(self) -> int:
        leaves = shared.own_leaves(self.plan, self.leaves).items()
        return sum(math.prod(leaf.shape) for path, leaf in leaves if path[0] == "params")

    def initial_variables(self, seed: int) -> Variables:
        return draw_variables(shared.own_leaves(self.plan, self.leaves), seed)

    def enter(self, variables: Mapping[str, Any]) -> Variables:
        return shared.widen(self.plan, variables, self.leaves)

    def leave(self, variables: Mapping[str, Any]) -> Variables:
        return shared.narrow(self.plan, variables)


@dataclasses.dataclass(frozen=True)
class Programs:
    """Chooses programs for networks of one size.

    Attributes:
      config: of the networks.
      num_classes: of the classifier.
      image_shape: (height, width, channels).
      axis_name: see `Network`.
      share: whether networks share a program where they can.
    """

    config: NetworkConfig
    num_classes: int
    image_shape: tuple[int, int, int]
    axis_name: str | None = None
    share: bool = False

    def of(self, plan: Plan) -> Program:
        """Returns the program of a network."""
        if self.share and isinstance(plan, NetworkPlan) and shared.can_share(plan, self.config):
            return SharedProgram(plan, self._shared, self._shared_leaves)
        own = self.own(plan)
        if self.config.scan_cells and isinstance(own, Network):
            return ScannedProgram(plan, own, self.image_shape)
        return OwnProgram(plan, own, self.image_shape)

    def own(self, plan: Plan) -> nn.Module:
        """Returns a network's own module, whatever program trains it."""
        return build_network(plan, self._unrolled, self.num_classes, self.axis_name)

    @property
    def _unrolled(self) -> NetworkConfig:
        return dataclasses.replace(self.config, scan_cells=False)

    @cached_property
    def _shared(self) -> Network:
        return shared.SharedNetwork(
            shared.WIDE_PLAN, self._unrolled, self.num_classes, self.axis_name
        )

    @cached_property
    def _shared_leaves(self) -> Mapping[Path, Leaf]:
        return variable_leaves(self._shared, self.image_shape)


def shared_work(config: NetworkConfig, image_shape: tuple[int, int, int], examples: int) -> float:
    """Returns the multiply-adds of the shared cells' convolutions over a training.

    Args:
      config: of the networks.
      image_shape: (height, width, channels).
      examples: forward and backward passes in all: examples of an epoch times epochs.
    """
    total, (height, width, _), filters = 0.0, image_shape, config.filters
    for _ in range(config.num_stages):
        total += config.num_cells * height * width * 9 * filters * 6 * filters
        height, width, filters = -(-height // 2), -(-width // 2), 2 * filters
    return 3 * total * examples
