"""What a training step takes of memory, for each activation of an image.

    python -m experiments.bench.step_memory --side=32 --batch=64 --output=memory.json

Compiles the training of known networks of space convnet and of random ones; nothing is trained. The
bytes are those that XLA plans for the step beside its arguments. From them comes the constant by
which a search leaves out what does not fit (`evaluate/auto.py`).
"""

from typing import Any
from unittest import mock

import jax
import numpy as np
from absl import flags

from experiments import commands
from experiments.bench.machine import BenchFlags, shown_versions
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.speed import noise_images
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.nn.costs import NetworkCosts
from xfernas_jax.space.base import Genotype
from xfernas_jax.space.published import PUBLISHED
from xfernas_jax.space.registry import get_space
from xfernas_jax.train import parallel
from xfernas_jax.train.memory import step_bytes

_SIDE = flags.DEFINE_integer("side", 32, "Pixels of an image's side.", 8)
_BATCH = flags.DEFINE_integer("batch", 64, "Images of a step.", 1)
_RANDOM = flags.DEFINE_integer("num_random", 5, "Random networks.", 0)
_BENCH = BenchFlags()


def measure(name: str, genotype: Genotype, side: int, batch: int) -> dict[str, Any]:
    """Returns what a network's step takes."""
    space = get_space("convnet")
    noise = noise_images((side, side, 3), 10, (batch, 8, 8))
    recipe = auto.final_recipe(noise, mirror=True, side=side)  # of as many images as a batch has
    costs = NetworkCosts(space, recipe.network, 10, (side, side, 3), ("activations",))
    found: list[int] = []
    with mock.patch.object(parallel, "check_step", lambda step, _: found.append(step_bytes(step))):
        TrainedEvaluator(space, noise, recipe, jax.devices()[:1]).prepare(genotype)
    activations = costs(genotype)["activations"]
    used = recipe.train.batch_size
    return {
        "name": name,
        "network": space.describe(genotype),
        "batch": used,
        "activations": activations,
        "step_bytes": found[0],
        "bytes_per_activation": found[0] / used / activations,
    }


def main() -> None:
    """Compiles, prints and writes."""
    _BENCH.begin()
    print(shown_versions())
    known = [(name, its) for name, (space, its) in PUBLISHED.items() if space == "convnet"]
    space = get_space("convnet")
    seeds = range(_RANDOM.value)
    drawn = [(f"random {i}", space.sample(np.random.default_rng(i))) for i in seeds]
    rows = []
    for name, genotype in (*known, *drawn):
        rows.append(row := measure(name, genotype, _SIDE.value, _BATCH.value))
        print(
            f"{name:<15} {row['activations']:>9,.0f} activations  {row['step_bytes'] / 1e6:>7.1f} "
            f"MB  {row['bytes_per_activation']:.1f} bytes each  {row['network']}",
            flush=True,
        )
    _BENCH.end({"rows": rows})


if __name__ == "__main__":
    commands.start("step_memory", main)
