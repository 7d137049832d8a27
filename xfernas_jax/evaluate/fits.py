"""Whether a recipe can train the architectures of a space."""

from collections.abc import Sequence

from xfernas_jax.errors import RecipeError
from xfernas_jax.evaluate.recipes import Recipe, has_reduction_cell, is_read, plan_of_any
from xfernas_jax.nn.builders import find_builder
from xfernas_jax.space.base import Space
from xfernas_jax.train.parallel import check_divides
from xfernas_jax.types import Device


def check_fits(space: Space, recipe: Recipe, devices: Sequence[Device]) -> None:
    """Checks that a recipe can train a space's architectures on so many devices.

    Raises:
      DeviceError: when the devices do not divide a batch size.
      RecipeError: when a space has a reduction cell that the recipe never builds, or equal cells
        shall compile as one and it has none.
      SpaceError: when no network can be built from the space's plans.
    """
    find_builder(plan_of_any(space))
    if recipe.network.num_stages == 1 and has_reduction_cell(space):
        raise RecipeError(
            f"Recipe {recipe.name!r} has network.num_stages=1, which builds no reduction cell, "
            f"but genotypes of {space.name!r} hold one; take --recipe=cpu_two_cell or "
            "--set=network.num_stages=2."
        )
    if recipe.network.scan_cells and not is_read(space, "scan_cells"):
        raise RecipeError(
            f"scan_cells compiles equal cells as one, but networks of space {space.name!r} have no "
            "such cells; leave --scan_cells and network.scan_cells out."
        )
    check_divides(recipe.train.batch_size, devices, "train.batch_size")
    check_divides(recipe.train.eval_batch_size, devices, "train.eval_batch_size")
