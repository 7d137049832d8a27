"""The verb `collect`."""

from collections.abc import Callable
from contextlib import closing

from xfernas_jax.cli import flags, inputs, views
from xfernas_jax.cli.executors import open_executor
from xfernas_jax.cli.first_words import say_data_of, say_plan, training_lines
from xfernas_jax.cli.listening import listening
from xfernas_jax.cli.plan_words import collect_lines
from xfernas_jax.cli.progress import console
from xfernas_jax.cli.scoring import Scoring, recipe_name, scoring
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.auto import NAME as AUTO
from xfernas_jax.history.goal import Goal
from xfernas_jax.search.collect import collect_random
from xfernas_jax.search.desk import Desk
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.published import PUBLISHED
from xfernas_jax.space.registry import get_space


def collect() -> None:
    """Evaluates random architectures of a task, for later searches to learn from."""
    shown = views.Views() if flags.DRY_RUN.value else views.opened()
    space = get_space(flags.space_name())
    scored = scoring(space)
    limits = _limits()
    config = {"seed": flags.SEED.value, **scored.config}
    first = _references(space)
    if first:
        config["references"] = flags.REFERENCES.value
    if limits:
        config["goal"] = {"limits": dict(limits)}
    count, num_repeated = flags.NUM_ARCHITECTURES.value, flags.NUM_REPEATED.value
    if num_repeated > count:
        raise FlagError(
            f"--num_repeated={num_repeated} is above --num_architectures={count}; it counts those "
            "of them that are trained twice."
        )
    say_data_of(scored)
    if flags.DRY_RUN.value:
        say_plan([*training_lines(scored), *collect_lines(space, count, num_repeated, len(first))])
        return
    total = count + num_repeated
    spec = inputs.study_spec("collect", scored.task, space, scored.recipe, config)
    executor, _ = open_executor(scored, spec.name, total)
    with (
        closing(executor),
        inputs.open_storage() as storage,
        inputs.control(storage, spec.name),
    ):
        storage.create_or_open(spec)
        console.print(f"Study {spec.name}: {scored.task.dataset} in {space.name}, {scored.label}")
        record, goal = storage.record(spec.name), Goal(metric=scored.task.metric)
        with listening(total, executor, record, spec, goal, shown) as listener:
            desk = Desk(executor, record, spec.recipe, listener, runtime=scored.runtime_words)
            admits = _admits(scored, limits)
            collect_random(desk, count, flags.SEED.value, num_repeated, admits, first)
        record.set_result({"command": flags.command("collect")})
        shown.finish(space, record, spec, goal)
        console.print(f"The study {spec.name} holds {count} architectures.")


def _limits() -> tuple[tuple[str, float], ...]:
    """Returns the limits on what is known before a training: parameters and operations."""
    given = {"params": flags.MAX_PARAMS.value, "flops": flags.MAX_FLOPS.value}
    return tuple((name, float(limit)) for name, limit in given.items() if limit is not None)


def _references(space: Space) -> list[Genotype]:
    """Returns the networks to begin with: under --recipe=auto, the published ones of the space."""
    if flags.OBJECTIVE.value is not None or recipe_name(space) != AUTO:
        if flags.given("references"):
            raise FlagError(
                f"--references={flags.REFERENCES.value} is for trainings of --recipe=auto, such as "
                "those of --space=convnet; leave it out."
            )
        return []
    if flags.REFERENCES.value == "none":
        return []
    return [genotype for name, genotype in PUBLISHED.values() if name == space.name]


def _admits(scored: Scoring, limits: tuple[tuple[str, float], ...]) -> Callable[[Genotype], bool]:
    """Returns what tells whether an architecture is within limits."""
    if scored.known_costs is None:
        return lambda _: True
    known, goal = scored.known_costs, Goal(limits, metric=scored.task.metric)
    return lambda genotype: goal.admits(known(genotype))
