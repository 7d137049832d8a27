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

import jax
import numpy as np
from absl import app, flags

from experiments.bench.comparison import AccuracyError, compare
from experiments.bench.evaluators import WAYS, EvaluationTask, Evaluator
from experiments.bench.machine import check_output, limit_threads, write_result
from experiments.commands import guarded
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.trained import versions

_SPACE = flags.DEFINE_string("space", "nasbench201", "Search space.")
_DATASET = flags.DEFINE_string("dataset", "digits", "Data set.")
_RECIPE = flags.DEFINE_string("recipe", "cpu", "Recipe.")
_SET = flags.DEFINE_multi_string("set", [], "Changes one recipe value, as run.py's --set.")
_GENOTYPES = flags.DEFINE_integer("genotypes", 10, "Architectures, at least 6.", lower_bound=6)
_SEED = flags.DEFINE_integer("seed", 0, "Of the drawn architectures.", lower_bound=0)
_TORCH = flags.DEFINE_bool("torch", True, "Whether PyTorch takes part.")
_THREADS = flags.DEFINE_integer("threads", 0, "Processor cores of each; 0: all.", lower_bound=0)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file.")


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


def main(argv: Sequence[str]) -> None:
    """Measures, prints and writes."""
    if extra := argv[1:]:
        raise FlagError(f"evaluations_per_hour takes flags only. Got {extra}.")
    jax.config.update("jax_platforms", "cpu")
    if _OUTPUT.value:
        check_output(_OUTPUT.value)
    threads = limit_threads(_THREADS.value)
    task = EvaluationTask(_SPACE.value, _DATASET.value, _RECIPE.value, tuple(_SET.value))
    ways = WAYS if _TORCH.value else WAYS[:-1]
    print("  ".join(f"{name} {version}" for name, version in versions()), f" threads {threads}")
    rows = measure(task, ways)
    ours = 3600.0 / float(np.mean([row["ours"]["seconds"] for row in rows]))
    result = {
        "ours": {"evaluations_per_hour": ours},
        **{way: compare(way, rows) for way in ways[1:]},
        "evaluations": rows,
        "recipe": task.recipe,
        "changes": task.changes,
        "threads": threads,
        "versions": dict(versions()),
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
    if _OUTPUT.value:
        write_result(_OUTPUT.value, result)


if __name__ == "__main__":
    app.run(guarded("evaluations_per_hour", main, AccuracyError))
