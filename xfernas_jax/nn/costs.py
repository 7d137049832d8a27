"""What a network costs beside its accuracy: parameters, FLOPs, latency."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from xfernas_jax.nn.compile import compile_network, variable_shapes
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.nn.programs import Programs
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.types import PyTree

COSTS = ("params", "flops", "latency_ms")
_MIN_RUNS, _MIN_SECONDS = 11, 0.2


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
          names: of `COSTS`; those that have to be measured are left out.
        """
        # FLOPs are those of the plain form, whatever form computes the same values.
        plain = dataclasses.replace(config, depthwise="lax", scan_cells=False, remat=False)
        self._space, self._config, self._num_classes = space, plain, num_classes
        # Shapes of a network that shares a program follow from those of the program.
        self._programs = Programs(plain, num_classes, image_shape, share=True)
        self._image_shape, self._names = image_shape, tuple(names)
        self._known: dict[str, dict[str, float]] = {}

    def __call__(self, genotype: Genotype) -> Mapping[str, float]:
        """Returns the costs of an architecture by name; nothing is compiled or run."""
        key = self._space.key(genotype)
        if key not in self._known:
            self._known[key] = self._look_at(genotype)
        return self._known[key]

    def _look_at(self, genotype: Genotype) -> dict[str, float]:
        found = {}
        if "params" in self._names:
            found["params"] = float(self._programs.of(self._space.plan(genotype)).num_params)
        if "flops" in self._names:
            network = compile_network(self._space, genotype, self._config, self._num_classes)
            variables = variable_shapes(network, self._image_shape)
            found["flops"] = count_flops(network, variables, self._image_shape)
        return found


def count_flops(
    network: nn.Module, variables: Mapping[str, Any], image_shape: tuple[int, int, int]
) -> float:
    """Returns the floating-point operations of classifying one image.

    XLA's own count of the program before it is optimised: a multiply-add is two. Operations such
    as square roots are not among them.

    Args:
      network: the module.
      variables: `params` and `batch_stats`, or their shapes.
      image_shape: (height, width, channels).
    """
    images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)

    def infer(variables: Any, images: jax.Array) -> jax.Array:
        return network.apply(variables, images)[0]

    analysis = jax.jit(infer).lower(dict(variables), images).cost_analysis()
    return float(dict(analysis or {}).get("flops", 0.0))


def measure_latency(
    infer: Callable[[PyTree, jax.Array], jax.Array], variables: PyTree, images: np.ndarray
) -> float:
    """Returns milliseconds of one call on the first device: the median of at least 11 calls.

    Compilation and the way of the variables to the device are not counted, that of the answer
    is not either.

    Args:
      infer: from variables and images to logits.
      variables: of the network.
      images: `[B, height, width, channels]`.
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
