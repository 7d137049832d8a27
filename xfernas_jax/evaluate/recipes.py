"""Recipes: network size, data handling and training that together define a score.

`proxy` and `final` follow the settings of NAO's public TensorFlow code (25 epochs of a cosine
period of 100 with 32 filters; 600 epochs with 128 filters and cutout). `cpu` is ours, small
enough for a search on two cores; `cpu_two_cell` is its form for spaces with a reduction cell, which
`cpu`, of one stage, would not build. How well they rank is in `experiments/RECIPES.md`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from xfernas_jax.data.base import DataConfig
from xfernas_jax.errors import RecipeError
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.options import decisive, parse_changes, recorded
from xfernas_jax.registry import Registry
from xfernas_jax.space.base import Space
from xfernas_jax.space.graph import NetworkPlan, Plan
from xfernas_jax.train.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How architectures are trained and scored.

    Attributes:
      name: of the preset that it started from.
      network: size and regularisation.
      data: subsampling, size and augmentation of images.
      train: optimisation.
    """

    name: str
    network: NetworkConfig
    data: DataConfig
    train: TrainConfig

    def to_json(self) -> dict[str, Any]:
        """Returns every value as a JSON object, later ones only where they are no defaults.

        So recipes that were recorded before those existed are still the same.
        """
        return recorded(self)

    def decisive(self) -> dict[str, Any]:
        """Returns `to_json` without what changes speed or memory alone."""
        return decisive(self)

    def fingerprint(self) -> str:
        """Returns a hash of everything that changes the expected score, and nothing else."""
        value = self.decisive()
        del value["name"]
        text = json.dumps(value, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


RECIPES: dict[str, Recipe] = {
    "cpu": Recipe(
        "cpu",
        NetworkConfig(filters=8, num_cells=2, num_stages=1, stem_multiplier=1, bn_momentum=0.8),
        DataConfig(train_examples=512, valid_examples=2000, image_size=8),
        TrainConfig(epochs=16, batch_size=64, learning_rate=0.2, weight_decay=5e-4),
    ),
    "cpu_two_cell": Recipe(
        "cpu_two_cell",
        NetworkConfig(filters=8, num_cells=1, num_stages=2, stem_multiplier=1, bn_momentum=0.8),
        DataConfig(train_examples=512, valid_examples=2000, image_size=8),
        TrainConfig(epochs=8, batch_size=64, learning_rate=0.05, weight_decay=5e-4),
    ),
    "proxy": Recipe(
        "proxy",
        NetworkConfig(
            filters=32, num_cells=3, num_stages=3, drop_path_keep=0.7, auxiliary_weight=0.4
        ),
        DataConfig(augment="crop_flip", crop_padding=4, standardize="image"),
        TrainConfig(epochs=25, schedule_epochs=100),
    ),
    "final": Recipe(
        "final",
        NetworkConfig(
            filters=128,
            num_cells=6,
            num_stages=3,
            drop_path_keep=0.7,
            dropout_keep=0.6,
            auxiliary_weight=0.4,
        ),
        DataConfig(augment="crop_flip", crop_padding=4, cutout=16, standardize="image"),
        TrainConfig(epochs=600),
    ),
}


def recipe_from_json(value: Any) -> Recipe:
    """Reads what `Recipe.to_json` gave, also an earlier version's: new values take defaults.

    Raises:
      RecipeError: it is no recipe, or one of a later version.
    """
    parts = {"network": NetworkConfig, "data": DataConfig, "train": TrainConfig}
    try:
        built = {name: kind(**value[name]) for name, kind in parts.items()}
        return Recipe(str(value["name"]), **built)
    except (TypeError, KeyError) as error:
        raise RecipeError(
            f"A recorded recipe cannot be read ({error}); was it made by a later xfernas_jax?"
        ) from error


def default_recipe(space: Space) -> str:
    """Returns the recipe's name for a space: of networks with sizes of their own, or of cells."""
    if not is_read(space, "filters"):
        return "auto"
    return "cpu_two_cell" if has_reduction_cell(space) else "cpu"


def has_reduction_cell(space: Space) -> bool:
    """Tells whether genotypes of a space hold a reduction cell."""
    plan = plan_of_any(space)
    return isinstance(plan, NetworkPlan) and plan.reduction is not None


def is_read(space: Space, field: str) -> bool:
    """Tells whether the networks of a space read a field of `NetworkConfig`; see `nn.builders`."""
    reads = getattr(type(plan_of_any(space)), "reads", None)
    return reads is None or field in reads


def plan_of_any(space: Space) -> Plan:
    """Returns the plan of some architecture of a space, always the same one."""
    return space.plan(space.sample(np.random.default_rng(0)))


def get_recipe(name: str, changes: Sequence[str] = (), space: Space | None = None) -> Recipe:
    """Returns a recipe with changed values.

    Args:
      name: a key of `RECIPES`, or `module:NAME` of a recipe of your own.
      changes: texts such as "train.epochs=10" or "network.filters=16"; "null" is None.
      space: whose networks must read each value that is changed; what a preset says of cells is
        left aside in a space without any. None checks nothing.

    Raises:
      RecipeError: for an unknown preset or field, a value of the wrong type or range, or one that
        has no meaning in the space.
    """
    recipe = parse_changes(_PRESETS.find(name), changes, error=RecipeError)
    if space is not None:
        check_changes(changes, space)
    return recipe


def check_changes(changes: Sequence[str], space: Space) -> None:
    """Raises `RecipeError` for a changed value that the networks of a space do not read."""
    for change in changes:
        part, _, field = change.partition("=")[0].partition(".")
        if part == "network" and not is_read(space, field):
            raise RecipeError(
                f"--set={change:.80}: the networks of space {space.name!r} do not read "
                f"network.{field}, which sizes or regularises cells; leave it out, or give a "
                "--space of cells, such as nasbench201."
            )


_PRESETS = Registry(
    "recipe",
    "--recipe",
    RECIPES,
    "be an instance of xfernas_jax.evaluate.recipes.Recipe",
    lambda value: isinstance(value, Recipe),
    RecipeError,
)
