"""The one builder of evaluations: from flags to a spec of what scores, and how it runs."""

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from absl import flags as absl_flags

from xfernas_jax.cli import auto, flags, goals, initial, inputs
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.data.facts import task_facts
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.auto import NAME as AUTO
from xfernas_jax.evaluate.auto import work
from xfernas_jax.evaluate.recipes import default_recipe, get_recipe
from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.evaluate.spec import ObjectiveSpec, TrainedSpec
from xfernas_jax.history.record import Task
from xfernas_jax.nn.costs import NetworkCosts
from xfernas_jax.options import flag_names, from_flags
from xfernas_jax.search.seen import KnownCosts
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.train.scores import TrainedMetric, find_metric

OF_PIXELS = ("flops", "activations")  # costs that grow with the pixels of an image

# Flags that say how or where networks of ours are trained.
_OF_TRAININGS = (
    *("dataset", "data_dir", "metric", "recipe", "set", "initial_variables", "early_stop"),
    *("costs", "max_params", "max_flops", "max_latency_ms", "max_cost", "pareto"),
    *("ray_address", "devices_per_evaluation", "compile_ahead"),
    *(name for name in flag_names(Runtime) if name != "compile_cache_gib"),
)


@dataclasses.dataclass(frozen=True)
class Scoring:
    """What architectures are scored by, as the flags say.

    Attributes:
      spec: from which evaluators are built.
      task: what a study is about.
      recipe: fingerprint of the recipe.
      label: the recipe's name, for the log.
      config: of the study, in part: what decides values.
      epochs: of a training.
      confirm_seeds: trainings of each finalist.
      known_costs: see `Seen`.
      dataset: of trainings, loaded.
      decided: by --recipe=auto; None under another recipe.
    """

    spec: TrainedSpec | ObjectiveSpec
    task: Task
    recipe: str
    label: str
    config: Mapping[str, Any]
    epochs: int
    confirm_seeds: int
    known_costs: KnownCosts | None = None
    dataset: ImageDataset | None = None
    decided: auto.Decided | None = None

    @property
    def is_trained(self) -> bool:
        """Whether there are variables to keep and a test part to read."""
        return isinstance(self.spec, TrainedSpec)

    @property
    def num_valid(self) -> int | None:
        """The images that architectures are compared on; None for a function of the user's."""
        if not isinstance(self.spec, TrainedSpec) or self.dataset is None:
            return None
        count = len(self.dataset.valid)
        return min(count, self.spec.recipe.data.valid_examples or count)

    @property
    def runtime_words(self) -> str:
        """The neutral options in words; what broke under them waits for others."""
        words, devices = self.spec.runtime_text(runtime()), flags.DEVICES_PER_EVALUATION.value
        return f"{words} devices={devices}".strip() if devices else words


def scoring(space: Space, *, is_search: bool = False) -> Scoring:
    """Returns what the flags name; loads the data, or the user's function.

    Args:
      space: of the genotypes.
      is_search: whether a search asks, which ends in a final training.
    """
    address = flags.OBJECTIVE.value
    if address is not None:
        return _objective(address)
    if is_search and recipe_name(space) == AUTO:
        return _decided(space)
    return _trained(space)


def recipe_name(space: Space) -> str:
    """Returns --recipe, or the default of a space."""
    return flags.RECIPE.value or default_recipe(space)


def trained_spec(space: Space, name: str, *, is_final: bool = False) -> TrainedSpec:
    """Returns the trainings that the flags name; the recipe is by default one that fits the space.

    Args:
      space: of the genotypes.
      name: of it, for `get_space`.
      is_final: whether --recipe=auto is the one of a last training, or that of a search.
    """
    name_of_recipe = recipe_name(space)
    if name_of_recipe == AUTO:
        recipe = auto.recipe_by_data(space, is_final=is_final)
    else:
        recipe = get_recipe(name_of_recipe, initial.changes(), space)
    return TrainedSpec(
        name,
        flags.DATASET.value,
        flags.DATA_DIR.value,
        recipe,
        flags.METRIC.value,
        goals.recorded_costs(),
        initial=initial.file(),
    )


def runtime(unfinished_dir: pathlib.Path | None = None) -> Runtime:
    """Returns how trainings use the machine.

    Args:
      unfinished_dir: keeps the states of evaluations that stop or are cut off.
    """
    return from_flags(
        absl_flags.FLAGS,
        Runtime,
        compile_cache=os.path.abspath(inputs.compile_cache_folder()),
        unfinished_dir=None if unfinished_dir is None else str(unfinished_dir),
    )


def _trained(space: Space) -> Scoring:
    spec = trained_spec(space, flags.space_name())
    metric, recipe, dataset = find_metric(spec.metric), spec.recipe, spec.load()
    return Scoring(
        spec,
        _task(dataset, metric),
        recipe.fingerprint(),
        recipe.name,
        {"recipe": recipe.decisive()},
        recipe.train.epochs,
        flags.CONFIRM_SEEDS.value,
        spec.known_costs(dataset, goals.limited_costs()),
        dataset,
    )


def _task(dataset: ImageDataset, metric: TrainedMetric) -> Task:
    """Returns what a study is about, with what is known of it before any training."""
    return dataclasses.replace(dataset.task, metric=metric.plain(), facts=task_facts(dataset))


def _decided(space: Space) -> Scoring:
    """Returns trainings of two fidelities, as --recipe=auto decides."""
    decided = auto.decide(space)
    limited = (*goals.limited_costs(), "flops", "activations")
    spec = TrainedSpec(
        flags.space_name(),
        flags.DATASET.value,
        flags.DATA_DIR.value,
        decided.search,
        flags.METRIC.value,
        tuple(sorted({*goals.recorded_costs(), "flops"})),
        decided.final,
        initial.file(),
    )
    metric, dataset = find_metric(spec.metric), decided.dataset
    known = spec.known_costs(dataset, tuple(dict.fromkeys(limited)))
    return Scoring(
        spec,
        _task(dataset, metric),
        decided.search.fingerprint(),
        AUTO,
        decided.config,
        decided.search.train.epochs,
        0,
        None if known is None else _as_searched(known, decided),
        dataset,
        decided,
    )


def _as_searched(known: NetworkCosts, decided: auto.Decided) -> KnownCosts:
    """Returns costs of the final training with those of pixels in the scale of the search's images.

    So they compare with those that evaluations and sources record. What does not fit into memory
    or time costs infinitely many FLOPs, and so is refused wherever these have a limit.
    """
    most_work = math.inf if decided.shares is None else decided.shares.max_work

    def fits(costs: Mapping[str, float]) -> bool:
        return costs["activations"] <= decided.most_activations and work(costs) <= most_work

    def scaled(genotype: Genotype) -> Mapping[str, float]:
        least = known.at_least(genotype)
        if least and not fits(least):
            return {"flops": math.inf}
        costs = known(genotype)
        own = {
            name: cost * (decided.shrunk if name in OF_PIXELS else 1.0)
            for name, cost in costs.items()
        }
        return own if fits(costs) else {**own, "flops": math.inf}

    return scaled


def _objective(address: str) -> Scoring:
    named = [name for name in _OF_TRAININGS if flags.given(name)]
    if flags.EXECUTOR.value != "local":
        named.append("executor")
    if named:
        raise FlagError(
            f"--{named[0]} is about trainings of ours, but --objective={address} scores "
            "architectures, in this process; leave one of the two out."
        )
    spec = ObjectiveSpec(flags.space_name(), address)
    evaluator = spec.build()
    # Without a seed a function would only say the same again.
    confirm_seeds = flags.CONFIRM_SEEDS.value if evaluator.takes_seed else 0
    config, label = {"objective": address}, "larger is better"
    return Scoring(spec, evaluator.task, evaluator.recipe, label, config, 1, confirm_seeds)
