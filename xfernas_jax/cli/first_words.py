"""What is printed before anything is trained: the data, and with --dry_run the plan."""

from collections.abc import Iterable

from xfernas_jax.cli import flags
from xfernas_jax.cli.plan_words import recipe_line
from xfernas_jax.cli.program import one_line
from xfernas_jax.cli.progress import console
from xfernas_jax.cli.scoring import Scoring
from xfernas_jax.data.base import DataConfig, ImageDataset
from xfernas_jax.data.facts import data_facts
from xfernas_jax.data.words import data_lines
from xfernas_jax.evaluate.fits import check_fits
from xfernas_jax.evaluate.recipes import is_read
from xfernas_jax.evaluate.spec import TrainedSpec

_UNTOUCHED = "Dry run: nothing was trained and nothing written."


def say_data(dataset: ImageDataset, config: DataConfig, *, is_timed: bool = False) -> None:
    """Prints what was found in a data set, and what a recipe does with it.

    `is_timed` says that the time decided on the size of the images.
    """
    for line in data_lines(data_facts(dataset), config, is_timed=is_timed):
        console.print(one_line(line))


def say_data_of(scored: Scoring) -> None:
    """Does so for what architectures are scored by; a function of the user's has no data."""
    if isinstance(scored.spec, TrainedSpec) and scored.dataset is not None:
        recipe = scored.spec.final or scored.spec.recipe
        decided = scored.decided
        is_timed = decided is not None and decided.shares is not None
        say_data(scored.dataset, recipe.data, is_timed=is_timed)
        for line in () if decided is None else decided.lines:
            console.print(one_line(line))


def training_lines(scored: Scoring) -> list[str]:
    """Says what one training is; a recipe that cannot train the space's networks is an error."""
    if not isinstance(scored.spec, TrainedSpec) or scored.dataset is None:
        return []
    recipe, space = scored.spec.final or scored.spec.recipe, scored.spec.find_space()
    check_fits(space, recipe, range(flags.DEVICES_PER_EVALUATION.value or 1))
    return [recipe_line(recipe, scored.dataset, is_read(space, "filters"))]


def say_plan(lines: Iterable[str]) -> None:
    """Prints what would be done, and that it was not."""
    for line in (*lines, _UNTOUCHED):
        console.print(one_line(line))
