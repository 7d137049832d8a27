"""Evaluations per hour: ours beside a plain Flax training, and the same evaluations in PyTorch.

"own" is ours without the program that small networks share.

    python -m experiments.bench.evaluations_per_hour --threads=1 --output=hour.json

Each way has a process of its own, which evaluates one more architecture first to warm up. Then
all take turns at each architecture, every time in another order, none seen before by any. A time
is wall seconds from the start of an evaluation to its result; ours has the cache of compiled
programs on, as `run.py` does. The ratio is the other way's seconds over ours: above 1 ours is
faster. All draw their initial values each in their own way, so their accuracies are equal up
to seed noise only: the mean difference must lie within three of its standard errors.
"""

import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments.bench.comparison import AccuracyError, compare
from experiments.bench.evaluators import WAYS, EvaluationTask, Evaluator
from experiments.bench.machine import BenchFlags, shown_versions
from experiments.commands import start
from xfernas_jax.options import define_flags, from_flags

define_flags(flags, EvaluationTask)
_SET = flags.DEFINE_multi_string("set", [], "Changes one recipe value, as run.py's --set.")
_GENOTYPES = flags.DEFINE_integer("genotypes", 10, "Architectures, at least 6.", lower_bound=6)
_SEED = flags.DEFINE_integer("seed", 0, "Of the drawn architectures.", lower_bound=0)
_TORCH = flags.DEFINE_bool("torch", True, "Whether PyTorch takes part.")
_BENCH = BenchFlags()


def measure(task: EvaluationTask, ways: Sequence[str]) -> list[dict[str, Any]]:
    """Lets all ways evaluate all architectures; returns a row for each architecture."""
    first, *genotypes = task.genotypes(_GENOTYPES.value + 1, _SEED.value)
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        caches = {"ours": cache, "own": cache}
        evaluators = {way: Evaluator(way, task, caches.get(way, "")) for way in ways}
        try:
            for evaluator in evaluators.values():
                evaluator.evaluate(first, 0)
            for i, genotype in enumerate(genotypes):
                turn = i % len(ways)
                order = [*ways[turn:], *ways[:turn]]
                row = {way: evaluators[way].evaluate(genotype, 1) for way in order}
                rows.append({"genotype": genotype, **row})
                print("  ".join(f"{way} {row[way]['seconds']:6.2f} s" for way in ways), flush=True)
        finally:
            for evaluator in evaluators.values():
                evaluator.close()
    return rows


def main() -> None:
    """Measures, prints and writes."""
    threads = _BENCH.begin()
    task = from_flags(flags.FLAGS, EvaluationTask, changes=tuple(_SET.value))
    ways = WAYS if _TORCH.value else WAYS[:-1]
    print(shown_versions(), f" threads {threads}")
    rows = measure(task, ways)
    ours = 3600.0 / float(np.mean([row["ours"]["seconds"] for row in rows]))
    result = {
        "ours": {"evaluations_per_hour": ours},
        **{way: compare(way, rows) for way in ways[1:]},
        "evaluations": rows,
        "recipe": task.recipe,
        "changes": task.changes,
        "threads": threads,
    }
    print(f"ours: {ours:.0f} evaluations per hour")
    for way in ways[1:]:
        found = result[way]
        print(
            f"{way}: {found['evaluations_per_hour']:.0f} per hour; median ratio "
            f"{found['median_ratio']:.2f} ({found['least_ratio']:.2f} to "
            f"{found['greatest_ratio']:.2f}), of totals {found['ratio_of_totals']:.2f}; accuracy "
            f"{found['mean_accuracy_difference']:+.4f} +- {found['its_standard_error']:.4f}"
        )
    _BENCH.end(result)


if __name__ == "__main__":
    start("evaluations_per_hour", main, AccuracyError)
