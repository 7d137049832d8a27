"""Times training steps one by one and fused into a loop inside one compiled program.

    python -m experiments.bench.fused_steps --threads=1 --output=fused.json

Networks and batches are of the size of the recipe `cpu`. All forms take turns in every round; a
round takes as many steps, an epoch of that recipe several times over, and waits once at their end,
as a training does.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments import commands
from experiments.bench.machine import BenchFlags, shown_versions
from experiments.bench.steps import Case, JaxSteps, Setup, choose_cases, start
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.recipes import RECIPES

_NETWORKS = flags.DEFINE_list(
    "networks", ["nasbench201_best", "nasbench201_random0", "nao5_random0"], "Names of networks."
)
_FUSED = flags.DEFINE_list("fused", ["8"], "Steps in a compiled loop; 1 is always measured.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Measurements, at least 5.", lower_bound=5)
_BENCH = BenchFlags()

_NUM_STEPS = 64  # of a round


def measure(case: Case, fused: Sequence[int]) -> list[dict[str, Any]]:
    """Returns a row for each number of fused steps."""
    recipe = RECIPES["cpu"]
    setup = Setup(recipe.network, recipe.train.batch_size, recipe.data.image_size or 8)
    _, variables = start(case, setup)
    forms, compile_seconds = [JaxSteps(case, setup, variables, count) for count in fused], []
    for form in forms:
        begin = time.perf_counter()
        form.take(form.fused)
        compile_seconds.append(time.perf_counter() - begin)
        form.take(_NUM_STEPS)
    seconds: list[list[float]] = [[] for _ in forms]
    for i in range(_ROUNDS.value):
        for j in np.roll(np.arange(len(forms)), i):
            begin = time.perf_counter()
            forms[j].take(_NUM_STEPS)
            seconds[j].append((time.perf_counter() - begin) / _NUM_STEPS)
    return [
        {
            "name": case.name,
            "fused": form.fused,
            "step_ms": 1e3 * float(np.median(times)),
            "step_ms_range": [1e3 * min(times), 1e3 * max(times)],
            "ratio": float(np.median(np.array(seconds[0]) / np.array(times))),
            "first_call_seconds": first,
        }
        for form, times, first in zip(forms, seconds, compile_seconds, strict=True)
    ]


def main() -> None:
    """Measures, prints and writes."""
    threads = _BENCH.begin()
    counts = [1, *map(int, _FUSED.value)]
    if any(count < 1 or _NUM_STEPS % count for count in counts):
        raise FlagError(f"--fused: divisors of {_NUM_STEPS}. Got {_FUSED.value}.")
    print(shown_versions(), f" threads {threads}")
    rows = []
    for case in choose_cases(_NETWORKS.value):
        for row in measure(case, counts):
            rows.append(row)
            low, high = row["step_ms_range"]
            print(
                f"{row['name']:>20} fused {row['fused']:2}: {row['step_ms']:.2f} ms a step "
                f"({low:.2f} to {high:.2f}), one by one / fused {row['ratio']:.2f}, "
                f"first call {row['first_call_seconds']:.1f} s",
                flush=True,
            )
    _BENCH.end({"steps": rows, "threads": threads})


if __name__ == "__main__":
    commands.start("fused_steps", main)
