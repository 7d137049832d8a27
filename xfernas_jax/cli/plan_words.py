"""What a command would do, in plain lines: pure functions of what the flags ask for."""

from xfernas_jax.data.base import ImageDataset
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.space.base import Space

_FEW = 100_000  # architectures that are worth counting
_TIME = "time: not known before the first training; its line tells how much is left"


def search_lines(
    plan: SearchPlan,
    space: Space,
    optimizer: str,
    num_sources: int,
    num_done: int,
    most_members: int = 1,
) -> list[str]:
    """Says what a search evaluates.

    Args:
      plan: its size and order.
      space: that it searches.
      optimizer: its name.
      num_sources: tasks that it learns from.
      num_done: evaluations that its study holds already.
      most_members: trainings whose mean may be handed over.
    """
    at_once = f"{plan.batch_size} at a time" if plan.schedule == "rounds" else plan.schedule
    lines = [
        f"plan: {optimizer} chooses {plan.budget_evaluations:,} architectures of "
        f"{_space(space)}, {at_once}",
        f"learns from: {_counted(num_sources, 'task') if num_sources else 'no other task'}",
    ]
    if not plan.budget_evaluations:
        lines = ["plan: no short trainings; the full training begins at once"]
    if num_done:
        lines.append(f"done before: {num_done:,} evaluations of this study")
    if plan.finishes:
        others = (
            f"and up to {plan.num_finalists} where time is left; the best of them by validation is "
            "tested once"
        )
        if most_members > 1:
            others = (
                f"as many as {most_members} times where there is time; the mean of their answers "
                "is handed over (--members) and tested once"
            )
        lines.append(f"then: the best is trained by the full recipe, {others}")
        return lines
    if plan.confirm_seeds:
        total = plan.num_finalists * plan.confirm_seeds
        tested = "; the best is tested once" if plan.reads_test else ""
        lines.append(
            f"then: the {plan.num_finalists} best are trained {_times(plan.confirm_seeds)} more "
            f"({total} trainings){tested}"
        )
    return [*lines, _TIME]


def collect_lines(
    space: Space, num_architectures: int, num_repeated: int, num_known: int = 0
) -> list[str]:
    """Says what a collection evaluates; `num_known` published networks come first."""
    where = f"architectures of {_space(space)}"
    what = f"random {where}"
    if num_known:
        what = f"{where}, up to {num_known} of them known networks and the others random"
    twice = f", {num_repeated:,} of them twice" if num_repeated else ""
    return [
        f"plan: {num_architectures:,} {what}{twice}",
        _TIME,
    ]


def train_lines(space: Space, num_params: int) -> list[str]:
    """Says what is trained alone."""
    return [
        f"plan: one network of {space.name} with {num_params:,} parameters; tested once at the end",
        _TIME,
    ]


def recipe_line(recipe: Recipe, dataset: ImageDataset, has_cells: bool = True) -> str:
    """Says what one training is.

    Args:
      recipe: of it.
      dataset: loaded as the recipe wants it.
      has_cells: whether the recipe sizes the networks of the space.
    """
    train, network = recipe.train, recipe.network
    height, width, _ = dataset.input_shape
    steps = len(dataset.train) // train.batch_size
    size = (
        f"; network: {_counted(network.num_stages, 'stage')} of "
        f"{_counted(network.num_cells, 'cell')}, {_counted(network.filters, 'filter')}"
    )
    return (
        f"each training (recipe {recipe.name}): {len(dataset.train):,} images of {height}x{width} "
        f"pixels, {_counted(train.epochs, 'epoch')} of {_counted(steps, 'step')} with "
        f"{train.batch_size} images, {train.optimizer}{size if has_cells else ''}"
    )


def _space(space: Space) -> str:
    tokens = space.all_tokens(_FEW)
    return space.name if tokens is None else f"{space.name} ({len(tokens):,} in all)"


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
