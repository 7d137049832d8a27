"""What a network costs beside its value: parameters, FLOPs, latency."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from xfernas_jax.nn.builders import find_builder
from xfernas_jax.nn.compile import variable_shapes
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.nn.programs import Programs
from xfernas_jax.registry import Registry, by_name
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.types import PyTree

_MIN_RUNS, _MIN_SECONDS = 11, 0.2
Infer = Callable[[PyTree, jax.Array], jax.Array]
"""From variables and images to logits; not compiled."""


class Architecture:
    """What a cost that is known before training looks at; nothing is compiled or run."""

    def __init__(self, programs: Programs, plan: Any) -> None:
        """Takes the plan of a network, and what fixes its size."""
        self._programs, self.plan = programs, plan
        self.image_shape = programs.image_shape

    @cached_property
    def num_params(self) -> int:
        """Trainable parameters."""
        return self._programs.of(self.plan).num_params

    @cached_property
    def network(self) -> nn.Module:
        """The module in its plain form."""
        return self._programs.own(self.plan)

    @cached_property
    def forward(self) -> Any:
        """The trace of classifying one image, for `flops_of` and `activations_of`."""
        return trace_forward(self.network, self.shapes, self.image_shape)

    @cached_property
    def shapes(self) -> Mapping[str, Any]:
        """Shapes of `params` and `batch_stats`."""
        return variable_shapes(self.network, self.image_shape)


@dataclasses.dataclass(frozen=True)
class Cost:
    """A number, finite and not negative, that a network costs; less is better.

    Attributes:
      name: as flags and records name it.
      unit: behind its values, or "".
      label: in words, for people.
      known: tells it of an `Architecture` before training; None where it has to be measured.
      measure: measures it, from `(infer, variables, images [1, H, W, C])`; see `Infer`.
    """

    name: str
    unit: str
    label: str
    known: Callable[[Architecture], float] | None = None
    measure: Callable[[Infer, PyTree, np.ndarray], float] | None = None

    def __post_init__(self) -> None:
        if (self.known is None) == (self.measure is None):
            raise ValueError(f"A cost is either known or measured. Got {self}.")


def trace_forward(
    network: nn.Module, variables: Mapping[str, Any], image_shape: tuple[int, int, int]
) -> Any:
    """Returns the trace (`jax.stages.Traced`) of classifying one image.

    Args:
      network: the module.
      variables: `params` and `batch_stats`, or their shapes.
      image_shape: (height, width, channels).
    """
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)

    def infer(variables: Any, images: jax.Array) -> jax.Array:
        return network.apply(variables, images)[0]

    return jax.jit(infer).trace(dict(variables), images)


def flops_of(forward: Any) -> float:
    """Returns the floating-point operations of a trace.

    XLA's own count of the program before it is optimised: a multiply-add is two. Operations such
    as square roots are not among them.
    """
    return float(dict(forward.lower().cost_analysis() or {}).get("flops", 0.0))


def activations_of(forward: Any) -> float:
    """Returns the numbers that a trace's convolutions and matrix products give.

    Activations as "Designing Network Design Spaces" (Radosavovic et al., 2020) counts them: what a
    training has to keep of each image grows with them.
    """
    return float(_activations(forward.jaxpr.jaxpr))


def _activations(program: Any) -> int:
    count = 0
    for equation in program.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            count += sum(value.aval.size for value in equation.outvars)
        for inner in equation.params.values():
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                count += _activations(inner)
    return count


def measure_latency(infer: Infer, variables: PyTree, images: np.ndarray) -> float:
    """Returns milliseconds of one call on the first device: the median of at least 11 calls.

    Compilation and the way of the variables to the device are not counted, that of the answer
    is not either.
    """
    arguments = jax.device_put((variables, images), jax.local_devices()[0])
    compiled = jax.jit(infer).lower(*arguments).compile()
    jax.block_until_ready(compiled(*arguments))
    times: list[float] = []
    while len(times) < _MIN_RUNS or sum(times) < _MIN_SECONDS:
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


PARAMS = Cost("params", "", "trainable parameters", known=lambda its: its.num_params)
COSTS = by_name(
    PARAMS,
    Cost(
        *("flops", "FLOPs", "operations for one image"),
        known=lambda its: flops_of(its.forward),
    ),
    Cost(
        *("activations", "", "numbers that layers give for one image"),
        known=lambda its: activations_of(its.forward),
    ),
    Cost("latency_ms", "ms", "latency of one image", measure=measure_latency),
)
"""Costs by name; `params` is recorded of every network."""


def find_cost(name: str) -> Cost:
    """Returns a cost by name, or a user's own by `module:NAME`.

    Raises:
      FlagError: there is no such cost, or it is no `Cost` of a name of its own.
    """
    return _FINDER.find(name)


class NetworkCosts:
    """Costs that follow from the architecture alone; each network is looked at once."""

    def __init__(
        self,
        space: Space,
        config: NetworkConfig,
        num_classes: int,
        image_shape: tuple[int, int, int],
        names: Sequence[str] = ("params", "flops"),
    ) -> None:
        """Takes what fixes the size of a network.

        Args:
          space: of the genotypes.
          config: of the networks.
          num_classes: of the classifier.
          image_shape: (height, width, channels).
          names: for `find_cost`; costs that have to be measured are left out.
        """
        # FLOPs are those of the plain form, whatever form computes the same values.
        plain = dataclasses.replace(config, depthwise="lax", scan_cells=False, remat=False)
        self._space = space
        # Shapes of a network that shares a program follow from those of the program.
        self._programs = Programs(plain, num_classes, image_shape, share=True)
        self._costs = {cost.name: cost.known for cost in map(find_cost, names)}
        self._found: dict[str, dict[str, float]] = {}

    def __call__(self, genotype: Genotype) -> Mapping[str, float]:
        """Returns the costs of an architecture by name; nothing is compiled or run."""
        key = self._space.key(genotype)
        if key not in self._found:
            its = Architecture(self._programs, self._space.plan(genotype))
            known = self._costs.items()
            self._found[key] = {name: float(tell(its)) for name, tell in known if tell}
        return self._found[key]

    def at_least(self, genotype: Genotype) -> Mapping[str, float]:
        """Returns lower bounds that cost no time; none where the network's builder has none."""
        plan = self._space.plan(genotype)
        bounds = getattr(find_builder(plan), "least_costs", None)
        return {} if bounds is None else bounds(plan, self._programs.image_shape)


_FINDER = Registry(
    "cost",
    "--costs",
    COSTS,
    "be a xfernas_jax.nn.costs.Cost with a name that none of ours has",
    lambda value: isinstance(value, Cost) and COSTS.get(value.name, value) == value,
)
