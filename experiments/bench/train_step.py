"""Times one training step of seven networks: the project's, and the same network in PyTorch.

    python -m experiments.bench.train_step --threads=1 --output=step.json

Each network is built twice from one plan and one set of initial values. First, parameter counts
and the losses of three steps must agree, which also compiles and warms up. Then rounds follow in
which all contenders take turns, so that a busy machine slows all of them; a figure is the median
over the rounds. PyTorch's eager figure is that of its faster memory layout. The ratio is PyTorch's
eager time over ours: above 1 ours is faster. `--compile` adds `torch.compile`, in the layout that
is faster eagerly; it compiles for minutes.
"""

import dataclasses
import importlib
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags

from experiments import commands
from experiments.bench.machine import BenchFlags, shown_versions
from experiments.bench.steps import (
    LAYOUTS,
    Case,
    Setup,
    Steps,
    TorchSteps,
    TwinError,
    check_losses,
    check_num_params,
    choose_cases,
    first_losses,
    start,
)
from xfernas_jax.nn.network import NetworkConfig

_NETWORKS = flags.DEFINE_list("networks", [], "Names of networks; default: all seven.")
_BATCH = flags.DEFINE_integer("batch", 64, "Examples in a step.", lower_bound=2)
_IMAGE_SIZE = flags.DEFINE_integer("image_size", 32, "Pixels of a side.", lower_bound=4)
_FILTERS = flags.DEFINE_integer("filters", 16, "Channels of the first stage.", lower_bound=1)
_NUM_CELLS = flags.DEFINE_integer("num_cells", 1, "Normal cells in each stage.", lower_bound=1)
_NUM_STAGES = flags.DEFINE_integer("num_stages", 3, "Stages.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Measurements, at least 5.", lower_bound=5)
_COMPILE = flags.DEFINE_bool("compile", False, "Also torch.compile; takes minutes.")
_BENCH = BenchFlags()

_ROUND_SECONDS = 0.2  # a contender's turn takes at least about that long


def seconds_per_step(steps: Steps, count: int) -> float:
    """Returns the wall time of a step, the mean of `count`."""
    begin = time.perf_counter()
    for _ in range(count):
        steps.advance()
    return (time.perf_counter() - begin) / count


def time_in_turns(contenders: Mapping[str, Steps], rounds: int) -> dict[str, float]:
    """Returns each contender's median milliseconds; every round starts with another one."""
    names = list(contenders)
    counts = {
        name: math.ceil(_ROUND_SECONDS / seconds_per_step(steps, 1))
        for name, steps in contenders.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(seconds_per_step(contenders[name], counts[name]))
    return {name: 1e3 * float(np.median(values)) for name, values in seconds.items()}


@dataclasses.dataclass
class Contenders:
    """The steps of one network by name, with what their first three told."""

    name: str
    steps: dict[str, Steps] = dataclasses.field(default_factory=dict)
    losses: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    first_seconds: dict[str, float] = dataclasses.field(default_factory=dict)

    def add(self, name: str, steps: Steps) -> None:
        """Runs the three checked steps and keeps the contender; the first one is JAX."""
        check_num_params(self.name, self.steps.get("jax", steps), name, steps)
        self.losses[name], self.first_seconds[name] = first_losses(steps)
        self.steps[name] = steps


def measure(case: Case, setup: Setup, rounds: int, compiled: bool) -> dict[str, Any]:
    """Checks and times one network; returns its row of the JSON file.

    Raises:
      TwinError: parameter counts or losses differ.
    """
    jax_steps, variables = start(case, setup)
    all_of = Contenders(case.name)
    all_of.add("jax", jax_steps)
    for layout in LAYOUTS:
        all_of.add(f"torch {layout}", TorchSteps(case, setup, variables, layout))
    if compiled:
        eager_seconds = {
            layout: min(seconds_per_step(all_of.steps[f"torch {layout}"], 1) for _ in range(3))
            for layout in LAYOUTS
        }
        faster = min(LAYOUTS, key=lambda layout: eager_seconds[layout])
        all_of.add("torch compiled", TorchSteps(case, setup, variables, faster, compiled=True))
    difference = check_losses(case.name, all_of.losses)
    times = time_in_turns(all_of.steps, rounds)
    eager, layout = min((times[f"torch {layout}"], layout) for layout in LAYOUTS)
    return {
        "name": case.name,
        "genotype": case.space.to_json(case.genotype),
        "num_params": jax_steps.num_params,
        "jax_ms": times["jax"],
        "torch_eager_ms": eager,
        "torch_layout": layout,
        **{f"torch_{layout}_ms": times[f"torch {layout}"] for layout in LAYOUTS},
        "torch_compile_ms": times.get("torch compiled"),
        "ratio": eager / times["jax"],
        "losses": all_of.losses["jax"],
        "largest_loss_difference": difference,
        "jax_first_step_seconds": all_of.first_seconds["jax"],
        "torch_compile_first_step_seconds": all_of.first_seconds.get("torch compiled"),
    }


def main() -> None:
    """Measures, prints and writes."""
    cases = choose_cases(_NETWORKS.value)
    threads = _BENCH.begin()
    torch = importlib.import_module("experiments.bench.torch_network").torch
    torch.set_num_threads(threads)
    network = NetworkConfig(_FILTERS.value, _NUM_CELLS.value, _NUM_STAGES.value)
    setup = Setup(network, _BATCH.value, _IMAGE_SIZE.value)
    print(shown_versions(torch=torch.__version__))
    print(
        f"threads {threads}, batch {setup.batch_size}, images of {setup.image_size} pixels, "
        f"{network.filters} filters, {network.num_stages} stages of {network.num_cells} cells"
    )
    rows = []
    for case in cases:
        rows.append(measure(case, setup, _ROUNDS.value, _COMPILE.value))
        print(line_of(rows[-1]), flush=True)
    mean = math.exp(sum(math.log(row["ratio"]) for row in rows) / len(rows))
    print(f"geometric mean of torch eager / jax: {mean:.3f} over {len(rows)} networks")
    result = {
        "networks": rows,
        "geometric_mean_ratio": mean,
        "threads": threads,
        "batch": setup.batch_size,
        "rounds": _ROUNDS.value,
        "image_size": setup.image_size,
        "network": dataclasses.asdict(network),
    }
    _BENCH.end(result, torch=torch.__version__)


def line_of(row: Mapping[str, Any]) -> str:
    """Formats a network's times."""
    compiled = row["torch_compile_ms"]
    return (
        f"{row['name']:>20}: jax {row['jax_ms']:8.1f} ms  "
        f"torch {row['torch_eager_ms']:8.1f} ms ({row['torch_layout']})  "
        + ("" if compiled is None else f"compiled {compiled:8.1f} ms  ")
        + f"ratio {row['ratio']:.3f}"
    )


if __name__ == "__main__":
    commands.start("train_step", main, TwinError)
