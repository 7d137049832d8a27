"""A search space of your own with its own networks.

    python examples/own_space.py

The space is of sizes of an MLP on flattened images. `--space=own_space:SPACE` names it, and its
plan names the Flax module that is built of it.
"""

import argparse
import dataclasses
import os
import pathlib
import subprocess
import sys
from typing import ClassVar

import flax.linen as nn
import jax

from xfernas_jax import CategoricalSpace
from xfernas_jax.nn.initializers import dense_init
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space import Assignment


@dataclasses.dataclass(frozen=True)
class MlpPlan:
    """What a network is made of; equal plans are the same network."""

    builder: ClassVar[str] = "own_space:Mlp"
    width: int
    depth: int
    activation: str


class MlpSpace(CategoricalSpace):
    """Each choice of values is a network."""

    def plan(self, genotype: Assignment) -> MlpPlan:
        return MlpPlan(**self.named(genotype))


SPACE = MlpSpace(
    "mlp", {"width": [16, 32, 64], "depth": [1, 2, 3], "activation": ["relu", "gelu", "tanh"]}
)


class Mlp(nn.Module):
    """A network of the space; `xfernas_jax/nn/builders.py` says what it must be like."""

    plan: MlpPlan
    config: NetworkConfig
    num_classes: int
    axis_name: str | None = None

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        positions: jax.Array | None = None,
        progress: jax.Array | float = 1.0,
        train: bool = False,
    ) -> tuple[jax.Array, None]:
        x = images.reshape(images.shape[0], -1)
        for _ in range(self.plan.depth):
            x = getattr(nn, self.plan.activation)(
                nn.Dense(self.plan.width, kernel_init=dense_init)(x)
            )
        return nn.Dense(self.num_classes, kernel_init=dense_init)(x), None


def main() -> None:
    """Searches the space by its name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", default="runs")
    words = [
        *("search", "--dataset=digits", "--space=own_space:SPACE", "--study=mlp"),
        *("--budget_evaluations=6", "--batch_size=3", "--confirm_seeds=1"),
        *("--set=train.epochs=5", f"--workdir={parser.parse_args().workdir}"),
    ]
    here = str(pathlib.Path(__file__).parent)  # where `own_space` is found
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, "-m", "xfernas_jax", *words],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
