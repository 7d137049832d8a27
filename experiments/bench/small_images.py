"""Times what the choices for steps on a CPU gain: small images, and the level of LLVM.

    python -m experiments.bench.small_images --threads=1 --output=small.json

First convolutions, forward and with both gradients, by XLA and by `nn/conv.py`, taking turns; where
the kernel fits into the result the two are the same program. Then known networks of space convnet
for images of 16 pixels: seconds until a step has compiled, and of a step, with LLVM at XLA's own
level and at the one that trainings take.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from jax import lax

from experiments import commands
from experiments.bench.machine import BenchFlags, shown_versions
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.speed import noise_images
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.history.record import Job
from xfernas_jax.nn.conv import convolve
from xfernas_jax.space.published import find_published
from xfernas_jax.space.registry import get_space
from xfernas_jax.train import parallel

_ROUNDS = flags.DEFINE_integer("rounds", 7, "Measurements of each convolution.", lower_bound=3)
_COMPILED = flags.DEFINE_list(
    "networks", ["vgg_small", "resnet8", "mobilenet_like"], "Published networks of space convnet."
)
_BENCH = BenchFlags()

_BATCH = 32
_SHAPES = (  # side of the image, of the kernel, stride, channels, filters
    (16, 3, 1, 16, 16),
    (8, 3, 1, 32, 32),
    (8, 5, 2, 32, 64),
    (4, 5, 1, 64, 64),
    (4, 5, 2, 64, 128),
    (2, 3, 1, 128, 128),
    (1, 5, 1, 128, 128),
)
_LEVEL = "xla_backend_optimization_level"


def convolution(shape: tuple[int, int, int, int, int]) -> dict[str, Any]:
    """Times one convolution with both gradients."""
    side, kernel, stride, channels, filters = shape
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(_BATCH, side, side, channels)), jnp.float32)
    w = jnp.asarray(rng.normal(size=(kernel, kernel, channels, filters)), jnp.float32)

    def by_xla(x: jax.Array, w: jax.Array) -> jax.Array:
        names = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, w, (stride, stride), "SAME", dimension_numbers=names)

    def both(forward: Callable[..., jax.Array]) -> Callable[[], None]:
        def loss(x: jax.Array, w: jax.Array) -> jax.Array:
            return jnp.square(forward(x, w)).sum()

        step = jax.jit(jax.grad(loss, (0, 1))).lower(x, w)
        compiled = parallel.compile_lowered(step)
        return lambda: jax.block_until_ready(compiled(x, w))

    runs = [both(by_xla), both(lambda x, w: convolve(x, w, (stride, stride)))]
    times: list[list[float]] = [[], []]
    for i in range(_ROUNDS.value + 1):
        for j in np.roll([0, 1], i):
            begin = time.perf_counter()
            for _ in range(5):
                runs[j]()
            if i:  # the first round warms up
                times[j].append((time.perf_counter() - begin) / 5)
    ratios = [a / b for a, b in zip(*times, strict=True)]
    return {
        "shape": shape,
        "xla_ms": 1e3 * statistics.median(times[0]),
        "ours_ms": 1e3 * statistics.median(times[1]),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
    }


def network(name: str, level: int | None) -> dict[str, Any]:
    """Times the start and the epochs of a training; `level` None is XLA's own."""
    options = {key: its for key, its in parallel.CPU_OPTIONS.items() if key != _LEVEL}
    if level is not None:
        options[_LEVEL] = level
    space, (_, genotype) = get_space("convnet"), find_published(name)
    noise = noise_images((16, 16, 3), 10, (640, 32, 32))
    recipe = auto.search_recipe(noise, mirror=True)
    ends = [time.perf_counter()]
    with mock.patch.object(parallel, "CPU_OPTIONS", options):
        evaluator = TrainedEvaluator(space, noise, recipe, jax.devices())
        job = Job(0, genotype, space.key(genotype), 0)
        evaluator.evaluate(job, lambda *_: ends.append(time.perf_counter()))
    epochs = [b - a for a, b in itertools.pairwise(ends[1:])]
    return {
        "name": name,
        "level": level,
        "start_seconds": ends[1] - ends[0],
        "epoch_seconds": statistics.median(epochs),
    }


def main() -> None:
    """Measures, prints and writes."""
    threads = _BENCH.begin()
    print(shown_versions(), f" threads {threads}")
    rows = [convolution(shape) for shape in _SHAPES]
    for row in rows:
        side, kernel, stride, channels, filters = row["shape"]
        low, high = row["ratio_range"]
        print(
            f"{side}x{side} by {kernel}x{kernel}, stride {stride}, {channels} to {filters}: XLA "
            f"{row['xla_ms']:.2f} ms, ours {row['ours_ms']:.2f} ms, "
            f"XLA / ours {row['ratio']:.1f} ({low:.1f} to {high:.1f})",
            flush=True,
        )
    networks = []
    for name in _COMPILED.value:
        for level in (None, int(parallel.CPU_OPTIONS[_LEVEL])):
            row = network(name, level)
            networks.append(row)
            print(
                f"{name:>16} level {level or 'of XLA'}: {row['start_seconds']:.1f} s to the end of "
                f"the first epoch, {row['epoch_seconds']:.2f} s an epoch",
                flush=True,
            )
    _BENCH.end({"convolutions": rows, "networks": networks, "threads": threads})


if __name__ == "__main__":
    commands.start("small_images", main)
