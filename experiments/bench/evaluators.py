"""Evaluations in processes of their own, one for each way of doing them, that take turns.

    python -m experiments.bench.evaluators WAY SPACE DATASET CACHE RECIPE [CHANGE]...

reads lines `{"genotype", "seed"}` from its input and answers each by a line of what it measured.
"""

import dataclasses
import importlib
import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from experiments.bench import naive
from experiments.bench.machine import limit_threads
from xfernas_jax.data import ImageDataset, load_dataset
from xfernas_jax.evaluate.recipes import Recipe, get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.history import Job
from xfernas_jax.nn.programs import ProgramChoice
from xfernas_jax.options import option
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.registry import get_space
from xfernas_jax.train.compile_cache import use_compile_cache

WAYS = ("ours", "own", "naive", "torch")
"""As `run.py` does; so with a program for each network; a plain Flax training; PyTorch."""

_EVENTS = {  # of JAX, by our name for what they time
    "trace": "/jax/core/compile/jaxpr_trace_duration",
    "lower": "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "compile": "/jax/core/compile/backend_compile_duration",
}

Measured = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class EvaluationTask:
    """What is evaluated: names of space, data set and recipe, and changes of the recipe."""

    space: str = option("nasbench201", "Search space.")
    dataset: str = option("digits", "Data set.")
    recipe: str = option("cpu", "Recipe.")
    changes: tuple[str, ...] = ()

    def genotypes(self, count: int, seed: int) -> list[Any]:
        """Draws different architectures, as JSON."""
        space, rng = get_space(self.space), np.random.default_rng(seed)
        drawn: dict[str, Any] = {}
        while len(drawn) < count:
            genotype = space.sample(rng)
            drawn[repr(space.plan(genotype))] = space.to_json(genotype)
        return list(drawn.values())


class Evaluator:
    """A process that evaluates architectures in one way, one after another."""

    def __init__(self, way: str, task: EvaluationTask, cache: str = "") -> None:
        """Starts it; `cache` is its folder of compiled programs, if it has one."""
        words = [sys.executable, "-m", "experiments.bench.evaluators", way, task.space]
        words += [task.dataset, cache, task.recipe, *task.changes]
        self._name = " ".join(words)
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Evaluator":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def evaluate(self, genotype: Any, seed: int) -> Measured:
        """Evaluates a genotype (as JSON) and waits for the answer: see `measure`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"genotype": genotype, "seed": seed}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self._name} ended; see its message above.")
        return json.loads(answer)


def measure(way: str, space: Space, dataset: ImageDataset, recipe: Recipe) -> Callable[..., Any]:
    """Returns a function from genotype and seed to wall seconds from start to result.

    Its answer holds `seconds`, `valid_accuracy`, and for our own way also `training_seconds`
    (the median epoch with its validation, times their number) and the seconds of JAX's events.
    """
    if way in ("naive", "torch"):
        function = naive.evaluate_in_torch if way == "torch" else naive.evaluate_in_flax

        def plainly(genotype: Genotype, seed: int) -> Measured:
            start = time.perf_counter()
            accuracy = function(space, dataset, recipe, genotype, seed)
            return {"seconds": time.perf_counter() - start, "valid_accuracy": accuracy}

        return plainly
    programs: ProgramChoice = "own" if way == "own" else "auto"
    benchmark = TrainedEvaluator(space, dataset, recipe, programs=programs)
    events: dict[str, float] = defaultdict(float)

    def on_event(event: str, duration_secs: float, **_: str | int) -> None:
        events[event] += duration_secs

    jax.monitoring.register_event_duration_secs_listener(on_event)

    def ours(genotype: Genotype, seed: int) -> Measured:
        events.clear()
        job, ends = Job(0, genotype, space.key(genotype), seed), []
        start = time.perf_counter()
        scored = benchmark.evaluate(job, lambda *_: ends.append(time.perf_counter()))
        seconds = time.perf_counter() - start
        epoch = float(np.median(np.diff(ends))) if len(ends) > 1 else float("nan")
        return {
            "seconds": seconds,
            "valid_accuracy": scored.result.value,
            "training_seconds": epoch * len(ends),
            **{f"{name}_seconds": events[event] for name, event in _EVENTS.items()},
        }

    return ours


def main(words: list[str]) -> None:
    """Answers until the input ends."""
    way, space_name, dataset_name, cache, recipe_name, *changes = words
    jax.config.update("jax_platforms", "cpu")
    if cache:
        use_compile_cache(cache)
    if way == "torch":
        importlib.import_module("experiments.bench.torch_network").torch.set_num_threads(
            limit_threads(0)
        )
    space, recipe = get_space(space_name), get_recipe(recipe_name, changes)
    evaluate = measure(way, space, load_dataset(dataset_name, recipe.data), recipe)
    for line in sys.stdin:
        asked = json.loads(line)
        answer = evaluate(space.from_json(asked["genotype"]), asked["seed"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
