"""What a user's Optuna trials tell a search: observations of the target, histories of sources."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from xfernas_jax.errors import StudyError
from xfernas_jax.history.names import near_names
from xfernas_jax.history.record import Evaluation, Job, Result, Status
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.optuna_numbers import OptunaSpace, Parameters, learnable
from xfernas_jax.search.sources import scored_history
from xfernas_jax.space.categorical import Assignment, CategoricalSpace, Value

_ValueKey = tuple[str, Any]
_HUGE = 1e150  # beyond which a value of a source counts as this: means and squares stay finite


@dataclasses.dataclass(frozen=True)
class SourceStudy:
    """The complete trials of another study.

    Attributes:
      name: of the study.
      sign: 1 where a larger value is better, else -1.
      trials: those with a finite value, in the order of their numbers.
      flaw: why it cannot teach anything, in words; else empty.
    """

    name: str
    sign: float
    trials: tuple[FrozenTrial, ...]
    flaw: str = ""


def sign_of(study: Study) -> float:
    """Returns what a value of the study is multiplied by so that larger is better."""
    return 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0


def read_sources(study: Study, wanted: str | Sequence[str | Study]) -> tuple[SourceStudy, ...]:
    """Reads the studies that may teach something about `study`, which is never one of them.

    Args:
      study: the target.
      wanted: "all" (every other study of the target's storage), names of studies of that storage,
        or studies of any storage.

    Raises:
      StudyError: a named study does not exist, or is the target.
    """
    storage = study._storage
    names = [summary.study_name for summary in optuna.get_all_study_summaries(storage)]
    if isinstance(wanted, str):
        if wanted != "all":
            raise StudyError(f"sources is 'all', or a list of studies. Got {wanted!r:.80}.")
        wanted = sorted(name for name in names if name != study.study_name)
    found = []
    for source in wanted:
        if isinstance(source, str):
            if source == study.study_name or source not in names:
                others = [name for name in names if name != study.study_name]
                raise StudyError(
                    f"{source!r} is no other study of the storage of {study.study_name!r}; "
                    f"{near_names(source, others)}."
                )
            source = optuna.load_study(study_name=source, storage=storage)
        elif source._storage is storage and source.study_name == study.study_name:
            continue
        found.append(_read(source))
    return tuple(found)


def _read(source: Study) -> SourceStudy:
    if len(source.directions) > 1:
        words = f"it has {len(source.directions)} objectives, and here there is one"
        return SourceStudy(source.study_name, 1.0, (), words)
    trials = source.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    valued = [t for t in trials if t.value is not None and math.isfinite(t.value)]
    kept = tuple(trial for trial in valued if not is_infeasible(trial))
    flaw = "" if kept else "it has no complete trial with a finite value within its constraints"
    return SourceStudy(source.study_name, sign_of(source), kept, flaw)


def source_histories(
    space: CategoricalSpace, sources: Iterable[SourceStudy]
) -> tuple[TaskHistory, ...]:
    """Returns what each source says of the space; values of equal assignments are averaged.

    A trial counts that has one of its values for every parameter of the space; what else its study
    had to choose from, and in which order, does not matter, nor do other parameters. Of numbers it
    counts whether a value lies in the range; one that a trial lacks altogether is taken as the
    middle of the range. A source with fewer than two different assignments is left out; see
    `why_silent`.
    """
    histories = []
    for source in sources:
        pairs = [
            (genotype, min(max(source.sign * trial.value, -_HUGE), _HUGE))
            for trial in source.trials
            if (genotype := assignment(space, trial, lenient=True)) is not None
            and trial.value is not None
        ]
        histories.append(scored_history(space, source.name, pairs))
    return tuple(history for history in histories if history is not None)


def why_silent(space: CategoricalSpace, source: SourceStudy) -> str:
    """Says why a source has no history for `source_histories`."""
    if source.flaw:
        return source.flaw
    had: dict[str, set[_ValueKey] | None] = {}  # by parameter; None where it was not categorical
    shown: dict[str, list[Any]] = {}
    for trial in source.trials:
        for name, distribution in trial.distributions.items():
            values = None
            if isinstance(distribution, CategoricalDistribution):
                values = {*map(value_key, distribution.choices), *(had.get(name) or ())}
            had[name] = values
            shown.setdefault(name, []).append(trial.params[name])
    axes = space.axes if isinstance(space, OptunaSpace) else {}
    for name, values in space.parameters.items():
        if name not in had:
            if name in axes and not axes.keys().isdisjoint(had):
                continue  # a number that it lacks is no reason
            return f"its trials lack the parameter {name!r}; they have {', '.join(map(repr, had))}"
        found = had[name]
        if name in axes:
            if all(axes[name].level(value) is None for value in shown[name]):
                return _no_number(name, axes[name].distribution, shown[name])
            continue
        if found is None:
            return f"its {name!r} is no categorical parameter"
        if not found & set(map(value_key, values)):
            return f"its {name!r} has none of the values {', '.join(map(repr, values))}"
    return "fewer than two of its trials differ in these parameters and have their values"


def _no_number(name: str, distribution: Any, values: Sequence[Any]) -> str:
    """Says why none of a source's values is a number of the target's range."""
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if not numbers:
        return f"its {name!r} is no number"
    return (
        f"its {name!r} lies from {min(numbers):g} to {max(numbers):g}, and here it goes from "
        f"{distribution.low:g} to {distribution.high:g}"
    )


def likely_parameters(
    sources: Iterable[SourceStudy], known: Mapping[str, BaseDistribution]
) -> Parameters | None:
    """Guesses the parameters of a study of which only some are known: those of most source trials.

    Returns None where no source trial has all the known categorical ones, or none of the known.
    """
    given = learnable(known)
    fixed = {
        name: distribution.choices
        for name, distribution in known.items()
        if isinstance(distribution, CategoricalDistribution) and len(distribution.choices) > 1
    }
    counts: dict[tuple[tuple[str, BaseDistribution], ...], int] = {}
    for source in sources:
        for trial in source.trials:
            found = learnable(trial.distributions)
            if not given.keys() & found.keys():
                continue
            if all(_same_values(_choices(found.get(name)), fixed[name]) for name in fixed):
                known_order = {name: given.get(name, each) for name, each in found.items()}
                key = tuple(sorted(known_order.items(), key=lambda item: item[0]))
                counts[key] = counts.get(key, 0) + 1
    if not counts:
        return None
    return dict(max(counts, key=lambda key: (counts[key], len(key), repr(key))))


def _choices(distribution: BaseDistribution | None) -> tuple[Value, ...]:
    return distribution.choices if isinstance(distribution, CategoricalDistribution) else ()


def assignment(
    space: CategoricalSpace, trial: FrozenTrial, lenient: bool = False
) -> Assignment | None:
    """Returns a trial's genotype; None where it lacks a parameter or has none of its values.

    Args:
      space: of the genotype.
      trial: of any study.
      lenient: whether it may lack numbers, if it has some parameter of the space.
    """
    axes = space.axes if isinstance(space, OptunaSpace) else {}
    if lenient and trial.distributions.keys().isdisjoint(space.parameters):
        return None
    found = []
    for name, values in space.parameters.items():
        distribution = trial.distributions.get(name)
        if name in axes:
            middle = values[len(values) // 2] if lenient and distribution is None else None
            level = middle if distribution is None else axes[name].level(trial.params[name])
            if level is None:
                return None
            found.append(level)
            continue
        if not isinstance(distribution, CategoricalDistribution):
            return None
        # By index: a database may give back 1 for 1.0.
        value = distribution.choices[int(distribution.to_internal_repr(trial.params[name]))]
        same = [known for known in values if value_key(known) == value_key(value)]
        if not same:
            return None
        found.append(same[0])
    return Assignment(tuple(found))


def is_infeasible(trial: FrozenTrial) -> bool:
    """Tells whether a trial breaks a constraint: one above 0, as Optuna defines it."""
    return any(value > 0.0 for value in trial.constraints.values())


def observation(space: CategoricalSpace, trial: FrozenTrial, sign: float) -> Evaluation | None:
    """Returns what a finished trial of the target tells; None where it is not of the space.

    A failed trial counts as the worst, and so does one without a finite value or that breaks a
    constraint. A pruned one is not tried again; what it had reached is no
    final value.
    """
    genotype = assignment(space, trial)
    if genotype is None:
        return None
    status: Status = "failed"
    values: list[float] = []
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        status, values = "complete", [trial.value]
    elif trial.state == TrialState.PRUNED:
        status, values = "stopped", [*trial.intermediate_values.values()]
    curve = tuple(sign * value for value in values if math.isfinite(value))
    if not curve or is_infeasible(trial):
        status = "failed"
    value = curve[-1] if status == "complete" else None
    job = Job(trial.number, genotype, space.key(genotype), trial.number)
    return Evaluation(job, Result(status, value, curve), "optuna")


def value_key(value: Any) -> "_ValueKey":
    """Returns what equal values have in common: 1 and 1.0 are the same, True is another."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return ("number" if is_number else type(value).__name__), value


def _same_values(first: tuple[Value, ...], second: tuple[Value, ...]) -> bool:
    """Tells whether the values are the same, in any order."""
    return set(map(value_key, first)) == set(map(value_key, second))
