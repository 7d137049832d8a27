"""Share of an evaluation that is not training: cold, and warm with the same or other genotypes.

    python -m experiments.bench.evaluation_share --threads=1 --output=share.json

In each round a process with an empty folder of compiled programs evaluates architectures of its
own: the first one is cold, the others are warm with other genotypes. A second process then
evaluates the same ones from the folder: warm with the same genotypes. Training is the median
epoch, with its validation, times the number of epochs; the share is what remains of the wall
time from the start of an evaluation to its result. Not counted is the start of a process.
"""

import tempfile
from typing import Any

import numpy as np
from absl import flags

from experiments.bench.evaluators import EvaluationTask, Evaluator
from experiments.bench.machine import BenchFlags, shown_versions
from experiments.commands import start
from xfernas_jax.options import define_flags, from_flags

define_flags(flags, EvaluationTask)
_SET = flags.DEFINE_multi_string("set", [], "Changes one recipe value, as run.py's --set.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Pairs of processes.", lower_bound=1)
_GENOTYPES = flags.DEFINE_integer("genotypes", 3, "Of each round, at least 2.", lower_bound=2)
_SEED = flags.DEFINE_integer("seed", 0, "Of the drawn architectures.", lower_bound=0)
_BENCH = BenchFlags()

STATES = ("cold", "other", "same")
_PIECES = ("seconds", "training_seconds", "compile_seconds", "trace_seconds", "lower_seconds")


def measure(task: EvaluationTask) -> dict[str, list[dict[str, Any]]]:
    """Returns the evaluations of each state."""
    count = _GENOTYPES.value
    genotypes = task.genotypes(_ROUNDS.value * count, _SEED.value)
    found: dict[str, list[dict[str, Any]]] = {state: [] for state in STATES}
    for i in range(_ROUNDS.value):
        own = genotypes[i * count : (i + 1) * count]
        with tempfile.TemporaryDirectory() as cache:
            for states in (("cold", *["other"] * (count - 1)), ("same",) * count):
                with Evaluator("ours", task, cache) as evaluator:
                    for state, genotype in zip(states, own, strict=True):
                        answer = evaluator.evaluate(genotype, 1)
                        share = 1.0 - answer["training_seconds"] / answer["seconds"]
                        found[state].append({"genotype": genotype, "share": share, **answer})
    return found


def main() -> None:
    """Measures, prints and writes."""
    threads = _BENCH.begin()
    task = from_flags(flags.FLAGS, EvaluationTask, changes=tuple(_SET.value))
    print(shown_versions(), f" threads {threads}")
    found = measure(task)
    result: dict[str, Any] = {}
    for state, answers in found.items():
        shares = [answer["share"] for answer in answers]
        medians = {name: float(np.median([a[name] for a in answers])) for name in _PIECES}
        result[state] = {
            "median_share": float(np.median(shares)),
            "least_share": min(shares),
            "greatest_share": max(shares),
            **{f"median_{name}": value for name, value in medians.items()},
            "evaluations": answers,
        }
        print(
            f"{state:>5}: not training {100 * np.median(shares):.0f} % ({100 * min(shares):.0f} to "
            f"{100 * max(shares):.0f}, n = {len(shares)});  medians: "
            + "  ".join(f"{n.removesuffix('_seconds')} {v:.2f} s" for n, v in medians.items())
        )
    result |= {"recipe": task.recipe, "changes": task.changes, "threads": threads}
    _BENCH.end(result)


if __name__ == "__main__":
    start("evaluation_share", main)
