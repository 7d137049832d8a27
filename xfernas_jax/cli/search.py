"""The verb `search`."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any

from absl import flags as absl_flags

from xfernas_jax.cli import (
    auto,
    flags,
    goals,
    initial,
    inputs,
    last_training,
    outcome,
    test_part,
    views,
)
from xfernas_jax.cli.executors import open_executor
from xfernas_jax.cli.first_words import say_data_of, say_plan, training_lines
from xfernas_jax.cli.listening import listening, network_names
from xfernas_jax.cli.no_result import no_result
from xfernas_jax.cli.plan_words import search_lines
from xfernas_jax.cli.progress import console
from xfernas_jax.cli.scoring import OF_PIXELS, Scoring, scoring
from xfernas_jax.cli.sources import Learned, choose_sources
from xfernas_jax.cli.timed import timed
from xfernas_jax.errors import FlagError, UserError
from xfernas_jax.executors.base import Executor
from xfernas_jax.history import Evaluation, Record, Storage, StudySpec
from xfernas_jax.history.goal import Goal
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.base import Optimizer
from xfernas_jax.search.desk import Desk
from xfernas_jax.search.early_stop import EarlyStop, make_early_stop
from xfernas_jax.search.outcome import Outcome
from xfernas_jax.search.phases.average import FEWEST_TO_COMPETE
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.registry import SearchConfig, find_builder, make_optimizer
from xfernas_jax.search.result import read_result
from xfernas_jax.search.schedule import make_schedule
from xfernas_jax.search.search import Search
from xfernas_jax.search.seen import Outlook, Seen
from xfernas_jax.search.sources import source_curves, task_histories
from xfernas_jax.search.surrogate_search import SurrogateSearch
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import get_space
from xfernas_jax.train.checkpoint import VariablesStore


@dataclasses.dataclass(frozen=True)
class _Asked:
    """What the flags ask for.

    Attributes:
      space: to search in.
      scored: what scores.
      goal: what may win, as the flags say.
      plan: size and order.
      spec: of the study.
    """

    space: Space
    scored: Scoring
    goal: Goal
    plan: SearchPlan
    spec: StudySpec

    @property
    def goal_of_search(self) -> Goal:
        """The goal without networks that could not be trained to the end in time.

        Limits on costs of pixels, which are for images of the final training, become those for
        images of the search.
        """
        decided, limits = self.scored.decided, dict(self.goal.limits)
        if decided is None:
            return self.goal
        if decided.shares is not None:
            limits["flops"] = min(decided.shares.max_work, limits.get("flops", math.inf))
        for name in OF_PIXELS:
            if name in limits:
                limits[name] *= decided.shrunk
        return dataclasses.replace(self.goal, limits=tuple(limits.items()))

    @functools.cached_property
    def outlook(self) -> Outlook | None:
        """What values of short trainings count for in the time that there is."""
        return last_training.outlook(self.scored, self.space)

    @property
    def at_once(self) -> int:
        """Evaluations that there are to run at the same time."""
        plan, is_in_rounds = self.plan, flags.SCHEDULE.value == "rounds"
        return plan.batch_size if is_in_rounds else plan.budget_evaluations

    def on(self, executor: Executor) -> "_Asked":
        """Returns the same with a schedule for the executor's workers, unless flags name one."""
        if flags.SCHEDULE.value or executor.num_workers == 1:
            return self
        console.print(
            f"{executor.num_workers} workers: none waits for another (--schedule=async); "
            "--schedule=rounds gives the same bits with any number of them."
        )
        return dataclasses.replace(self, plan=dataclasses.replace(self.plan, schedule="async"))


def search() -> dict[str, Any] | None:
    """Searches an architecture for one task, reusing the histories of others.

    Returns:
      The result, as it is recorded; None after a dry run.
    """
    if flags.DRY_RUN.value:
        _say_plan(_look())
        return None
    inputs.check_output()
    shown = views.opened()
    asked = _look()
    space, spec = asked.space, asked.spec
    executor, num_devices = open_executor(asked.scored, spec.name, asked.at_once)
    with (
        closing(executor),
        inputs.open_storage() as storage,
        _control_unless_finished(storage, asked),
    ):
        console.print(
            f"Study {spec.name}: {spec.task.dataset} in {space.name}, {asked.scored.label}"
        )
        learned = choose_sources(storage, space, spec, asked.plan.budget_evaluations > 0)
        asked = _recommended(asked, learned)
        optimizer = _optimizer(asked, learned)
        config = {**spec.config, "source_studies": learned.counts}
        storage.create_or_open(dataclasses.replace(spec, config=config))
        result, record = _finished(storage, asked), storage.record(spec.name)
        if result is not None:
            console.print("This study is finished; nothing is trained or tested again.")
        else:
            found = _run(asked.on(executor), learned, optimizer, executor, record, shown)
            result = {**found, "devices_per_evaluation": num_devices}
            record.set_result(result)
        shown.finish(space, record, spec, asked.goal_of_search, result)
    outcome.hand_over(space, result, spec.task.metric)
    return result


def _look() -> _Asked:
    """Reads flags and data, and says what was found."""
    asked = _asked()
    say_data_of(asked.scored)
    initial.say_start(asked.space)
    return asked


def _say_plan(asked: _Asked) -> None:
    """Says what the search would do; what is recorded already is read."""
    about = training_lines(asked.scored)
    with inputs.recorded_before() as storage:
        compares = asked.plan.budget_evaluations > 0
        learned = choose_sources(storage, asked.space, asked.spec, compares)
        done = [] if storage is None else _recorded(storage, asked.spec)
    asked = _recommended(asked, learned)
    _optimizer(asked, learned)  # a mistake shows
    name, counts = flags.OPTIMIZER.value, (len(learned.sources), len(done))
    members = 1 if asked.scored.decided is None else asked.scored.decided.most_members
    say_plan([*about, *search_lines(asked.plan, asked.space, name, *counts, members)])


def _recommended(asked: _Asked, learned: Learned) -> _Asked:
    """Returns the same beginning with what last trainings of other tasks recommend, if anything."""
    scored, space, decided = asked.scored, asked.space, asked.scored.decided
    if decided is None or initial.file() is not None:
        return asked
    found = last_training.recommended(scored, space, learned.last, asked.goal_of_search)
    if found is None:
        return asked
    decided = decided.beginning_with(last_training.BEST, found.genotype, space)
    standing = [found.genotype]
    if found.other is not None and decided.most_members >= FEWEST_TO_COMPETE:
        decided = decided.ending_with(last_training.OTHER, found.other, space)
        standing.append(found.other)
    console.print(found.words(space.describe(found.genotype)))
    plan = dataclasses.replace(asked.plan, first=decided.compared, standing=tuple(standing))
    return dataclasses.replace(
        asked, scored=dataclasses.replace(scored, decided=decided), plan=plan
    )


def _recorded(storage: Storage, spec: StudySpec) -> Sequence[Evaluation]:
    if storage.find(spec.name) is None:
        return []
    return [e for e in storage.evaluations(spec.name) if e.purpose == "search"]


def _asked() -> _Asked:
    find_builder(flags.OPTIMIZER.value)  # a mistake shows before the data is read
    space = get_space(flags.space_name())
    scored = scoring(space, is_search=True)
    plan = SearchPlan(
        flags.BUDGET.value,
        flags.BATCH_SIZE.value,
        flags.SEED.value,
        scored.confirm_seeds,
        schedule=flags.SCHEDULE.value or "rounds",
        reads_test=scored.is_trained,
    )
    if scored.decided is not None:
        plan = _as_decided(plan, scored.decided)
    else:
        _check_not_auto(scored)
        earlier = initial.genotype(space)
        plan = plan if earlier is None else dataclasses.replace(plan, first=(earlier,))
    make_schedule(plan.schedule, plan.budget_evaluations, plan.batch_size)  # a mistake shows
    goal = goals.goal(scored.task.metric)
    config = _config(scored, goal, plan)
    wishes = None if scored.decided is None else auto.wishes(config)
    spec = inputs.study_spec("search", scored.task, space, scored.recipe, config, wishes)
    return _Asked(space, scored, goal, plan, spec)


def _check_not_auto(scored: Scoring) -> None:
    """Raises for flags that only --recipe=auto uses."""
    ways_out = {
        "time_budget": "give --budget_evaluations",
        "references": "leave it out",
        "members": "leave it out",
    }
    for name, way_out in ways_out.items():
        if flags.given(name):
            raise FlagError(
                f"--{name}={absl_flags.FLAGS[name].value} is for trainings of --recipe=auto, such "
                f"as those of --space=convnet; with {scored.label} {way_out}."
            )


def _as_decided(plan: SearchPlan, decided: auto.Decided) -> SearchPlan:
    """Returns the plan of a search that ends in a final training."""
    shares = decided.shares
    if flags.given("confirm_seeds"):
        raise FlagError(
            "--confirm_seeds repeats short trainings; under --recipe=auto the best networks are "
            "trained by the full recipe instead. Leave it out."
        )
    if flags.given("members") and (shares is None or flags.PARETO.value):
        raise FlagError(
            f"--members={flags.MEMBERS.value} divides a --time_budget among trainings of the one "
            "network that is handed over; give such a time and no --pareto, or leave it out."
        )
    if flags.given("batch_size") and shares is not None and flags.SCHEDULE.value != "rounds":
        raise FlagError(
            "--batch_size is of rounds, and in a time budget networks are suggested one at a time; "
            "give --schedule=rounds too, or leave it out."
        )
    num_evaluations = plan.budget_evaluations
    if shares is not None and not flags.given("budget_evaluations"):
        num_evaluations = shares.num_evaluations
    return dataclasses.replace(
        plan,
        budget_evaluations=num_evaluations,
        schedule=flags.SCHEDULE.value or ("rounds" if shares is None else "async"),
        finishes=True,
        first=decided.compared,
    )


def _run(
    asked: _Asked,
    learned: Learned,
    optimizer: Optimizer,
    executor: Executor,
    record: Record,
    shown: views.Views,
) -> dict[str, Any]:
    """Searches to the end and returns the result; `UserError` where nothing may win."""
    scored, spec, goal = asked.scored, asked.spec, asked.goal_of_search
    known = (scored.known_costs, asked.outlook, scored.num_valid)
    start = Seen(asked.space, goal, learned.prior, (), *known)
    variables = inputs.folder_of(inputs.STUDIES, spec.name) / "variables"
    keeper = VariablesStore(variables) if scored.is_trained else None
    total, early_stop = asked.plan.budget_evaluations, _early_stop(scored, learned)
    goals_of_both = goal, asked.goal
    plan = timed(asked.plan, scored, asked.space, goals_of_both, record, executor.num_workers)
    if plan.finishes and isinstance(optimizer, SurrogateSearch):
        plan = dataclasses.replace(plan, suggests_first=optimizer.trusts_sources)
    references = () if scored.decided is None else scored.decided.references
    name_of = network_names(asked.space, references, plan.suggests_first)
    listens = (total, executor, record, spec, goal, shown, plan.clock)
    num_after = 0 if plan.finishes else min(total, plan.num_finalists) * plan.confirm_seeds
    with listening(*listens, name_of, num_after) as listener:
        desk = Desk(executor, record, spec.recipe, listener, keeper, scored.runtime_words)
        found = Search(optimizer, desk, plan, start, early_stop).run()
    if found is None:
        raise UserError(no_result(spec.name, record.evaluations(), asked.goal))
    seen = start.then(desk.recorded("search"))
    names = learned.names(bool(seen.evaluations) or not plan.first, bool(plan.standing))
    return {
        **outcome.to_json(spec, asked.space, names, found),
        "references": _references(asked, record, found),
        "test_part": test_part.keep(spec, scored.dataset, found),
        "num_valid": scored.num_valid,
        # Where the optimizer was never asked, it need not learn its sources for this.
        "relations": outcome.relations(optimizer, seen) if seen.evaluations else None,
    }


def _references(asked: _Asked, record: Record, found: Outcome) -> list[dict[str, Any]]:
    """Returns the values of the known networks, in the search and after a final training."""
    decided = asked.scored.decided
    named = () if decided is None else decided.references
    return outcome.references(asked.space, named, record.evaluations(), found)


def _config(scored: Scoring, goal: Goal, plan: SearchPlan) -> dict[str, Any]:
    """Returns what a rerun must repeat; what came later only where it is no default.

    So searches that were begun before it existed are still the same.
    """
    config = {
        "optimizer": flags.OPTIMIZER.value,
        "encoder": flags.ENCODER.value,
        "surrogate": flags.SURROGATE.value,
        "sources": flags.SOURCES.value,
        "reuse_target": flags.REUSE_TARGET.value,
        "batch_size": plan.batch_size,
        "seed": plan.seed,
        "confirm_seeds": plan.confirm_seeds,
        **scored.config,
    }
    if goal.costs:
        config["goal"] = {"limits": dict(goal.limits), "pareto": goal.pareto}
    later = {
        "architecture_numbers": flags.ARCHITECTURE_NUMBERS,
        "early_stop": flags.EARLY_STOP,
        "members": flags.MEMBERS,
        "schedule": flags.SCHEDULE,
    }
    return {
        **config,
        **{name: flag.value for name, flag in later.items() if flag.value != flag.default},
    }


def _early_stop(scored: Scoring, learned: Learned) -> EarlyStop | None:
    rule = flags.EARLY_STOP.value
    # With learned shares asha saves less; see experiments/EARLY_STOP.md.
    curves = source_curves(learned.sources) if rule == "median" else ()
    return make_early_stop(rule, scored.epochs, curves, scored.task.metric)


def _optimizer(asked: _Asked, learned: Learned) -> Optimizer:
    cache = str(inputs.folder_of("predictor_cache"))
    config = SearchConfig(
        surrogate=flags.SURROGATE.value,
        predictor=PredictorConfig(encoder=flags.ENCODER.value, cache_dir=cache),
        architecture_numbers=inputs.architecture_numbers(),
        task_numbers=asked.spec.task.numbers,
    )
    costs = asked.goal_of_search.costs
    histories = task_histories(asked.space, learned.sources, costs, asked.outlook)
    return make_optimizer(flags.OPTIMIZER.value, asked.space, histories, config)


def _finished(storage: Storage, asked: _Asked) -> dict[str, Any] | None:
    """Returns the result of a study that there is nothing to add to, else None."""
    study = asked.spec.name
    spec = storage.find(study)
    if spec is None or spec.kind != "search":  # a collection has another kind of result
        return None
    recorded = storage.result(study)
    if recorded is None:
        return None
    result = read_result(recorded, f"Study {study!r}")
    is_timed = asked.scored.decided is not None and asked.scored.decided.shares is not None
    if result["num_evaluations"] < asked.plan.budget_evaluations and not is_timed:
        return None
    words, evaluations = asked.scored.runtime_words, storage.record(study).evaluations()
    if any(e.status == "broken" and e.result.runtime != words for e in evaluations):
        return None  # they are tried again under the options of today
    return result


def _control_unless_finished(storage: Storage, asked: _Asked) -> AbstractContextManager[None]:
    """Controls the study; one that is only read again may be another's."""
    if _finished(storage, asked) is not None:
        return nullcontext()
    return inputs.control(storage, asked.spec.name)
