"""What `search` and `collect` score by: a recipe's trainings of a data set, or --objective."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.evaluations import open_executor
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.objective import RECIPE, ObjectiveEvaluator
from xfernas_jax.executors.base import Executor
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history.record import Task
from xfernas_jax.search.candidates import KnownCosts
from xfernas_jax.space.base import Space

# Flags that say how or where networks of ours are trained.
_OF_TRAININGS = (
    "dataset",
    "data_dir",
    "data_residence",
    "recipe",
    "set",
    "depthwise",
    "remat",
    "scan_cells",
    "programs",
    "early_stop",
    "costs",
    "max_params",
    "max_flops",
    "max_latency_ms",
    "pareto",
    "ray_address",
    "devices_per_evaluation",
    "compile_ahead",
)


@dataclasses.dataclass(frozen=True)
class Scoring:
    """What architectures are scored by, as the flags say.

    Attributes:
      task: what a study is about.
      recipe: fingerprint of the recipe.
      label: the recipe's name, for the log.
      config: of the study, in part: what decides scores.
      epochs: of a training.
      confirm_seeds: trainings of each finalist.
      is_trained: whether there are variables to keep and a test part to read.
      known_costs: see `SearchConfig`.
      open: opens the executor for a number of evaluations at once and a folder for unfinished
        ones; returns it and the number of devices of an evaluation.
    """

    task: Task
    recipe: str
    label: str
    config: Mapping[str, Any]
    epochs: int
    confirm_seeds: int
    is_trained: bool
    known_costs: KnownCosts | None
    open: Callable[[int, pathlib.Path], tuple[Executor, int]]


def scoring(space: Space) -> Scoring:
    """Returns what the flags name; loads the data, or the user's function."""
    address = flags.OBJECTIVE.value
    return _trained(space) if address is None else _objective(space, address)


def _trained(space: Space) -> Scoring:
    recipe = inputs.recipe(space)
    dataset = inputs.dataset(recipe)
    return Scoring(
        dataset.task,
        recipe.fingerprint(),
        recipe.name,
        {"recipe": recipe.to_json()},
        recipe.train.epochs,
        flags.CONFIRM_SEEDS.value,
        True,
        inputs.known_costs(space, dataset, recipe),
        lambda at_once, folder: open_executor(space, dataset, recipe, at_once, folder),
    )


def _objective(space: Space, address: str) -> Scoring:
    named = [name for name in _OF_TRAININGS if flags.given(name)]
    if flags.EXECUTOR.value == "ray":
        named.append("executor")
    if named:
        raise FlagError(
            f"--{named[0]} is about trainings of ours, but --objective={address} scores "
            "architectures, in this process; leave one of the two out."
        )
    benchmark = ObjectiveEvaluator(space, address)
    # Without a seed a function would only say the same again.
    confirm_seeds = flags.CONFIRM_SEEDS.value if benchmark.takes_seed else 0
    return Scoring(
        benchmark.task,
        RECIPE,
        "larger is better",
        {"objective": address},
        1,
        confirm_seeds,
        False,
        None,
        lambda at_once, folder: (InProcessExecutor(benchmark), 1),
    )
