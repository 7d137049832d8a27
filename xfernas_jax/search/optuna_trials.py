"""What a user's Optuna trials tell a search: observations of the target, histories of sources."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from xfernas_jax.errors import StudyError
from xfernas_jax.history.names import near_names
from xfernas_jax.history.record import Evaluation, Job, Result, Status
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.sources import scored_history
from xfernas_jax.space.categorical import Assignment, CategoricalSpace, Value, is_value_set

Parameters = Mapping[str, tuple[Value, ...]]
"""The values of each parameter, by name."""


@dataclasses.dataclass(frozen=True)
class SourceStudy:
    """The complete trials of another study.

    Attributes:
      name: of the study.
      sign: 1 where a larger value is better, else -1.
      trials: those with a finite value, in the order of their numbers.
    """

    name: str
    sign: float
    trials: tuple[FrozenTrial, ...]


def sign_of(study: Study) -> float:
    """Returns what a value of the study is multiplied by so that larger is better."""
    return 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0


def read_sources(study: Study, wanted: str | Sequence[str | Study]) -> tuple[SourceStudy, ...]:
    """Reads the studies that may teach something about `study`, which is never one of them.

    Studies of several objectives are left out.

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
        if len(source.directions) == 1:
            trials = source.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            kept = tuple(t for t in trials if t.value is not None and math.isfinite(t.value))
            found.append(SourceStudy(source.study_name, sign_of(source), kept))
    return tuple(found)


def learnable(distributions: Mapping[str, BaseDistribution]) -> dict[str, tuple[Value, ...]]:
    """Returns the categorical parameters with at least two values, by name."""
    return {
        name: tuple(distribution.choices)
        for name, distribution in distributions.items()
        if isinstance(distribution, CategoricalDistribution)
        and len(distribution.choices) > 1
        and is_value_set(distribution.choices)
    }


def source_histories(
    space: CategoricalSpace, sources: Iterable[SourceStudy]
) -> tuple[TaskHistory, ...]:
    """Returns what each source says of the space; values of equal assignments are averaged.

    A trial counts that has every parameter of the space with the same values; it may have others.
    A source with fewer than two different assignments is left out.
    """
    histories = []
    for source in sources:
        pairs = [
            (genotype, source.sign * trial.value)
            for trial in source.trials
            if (genotype := assignment(space, trial)) is not None and trial.value is not None
        ]
        histories.append(scored_history(space, source.name, pairs))
    return tuple(history for history in histories if history is not None)


def likely_parameters(
    sources: Iterable[SourceStudy], known: Mapping[str, BaseDistribution]
) -> Parameters | None:
    """Guesses the parameters of a study of which only some are known: those of most source trials.

    Returns None where no source trial has all the known categorical ones.
    """
    fixed = {
        name: choices
        for name, distribution in known.items()
        if isinstance(distribution, CategoricalDistribution)
        and len(choices := tuple(distribution.choices)) > 1
    }
    counts: dict[tuple[tuple[str, tuple[Value, ...]], ...], int] = {}
    for source in sources:
        for trial in source.trials:
            found = learnable(trial.distributions)
            if all(_same_values(found.get(name, ()), fixed[name]) for name in fixed):
                key = tuple(sorted(found.items(), key=lambda item: item[0]))
                counts[key] = counts.get(key, 0) + 1
    if not counts or not fixed:
        return None
    return dict(max(counts, key=lambda key: (counts[key], len(key), repr(key))))


def assignment(space: CategoricalSpace, trial: FrozenTrial) -> Assignment | None:
    """Returns a trial's genotype; None where it lacks a parameter or has it with other values."""
    for name, values in space.parameters.items():
        distribution = trial.distributions.get(name)
        if not isinstance(distribution, CategoricalDistribution) or not _same_values(
            tuple(distribution.choices), values
        ):
            return None
    # By index: a database may give back 1 for 1.0.
    indices = [
        int(trial.distributions[name].to_internal_repr(trial.params[name]))
        for name in space.parameters
    ]
    return Assignment(
        tuple(values[i] for values, i in zip(space.parameters.values(), indices, strict=True))
    )


def observation(space: CategoricalSpace, trial: FrozenTrial, sign: float) -> Evaluation | None:
    """Returns what a finished trial of the target tells; None where it is not of the space.

    A failed trial counts as the worst, and so does one without a finite value. A pruned one is
    not tried again, and what it had reached is taken for no final value.
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
    if not curve:
        status = "failed"
    value = curve[-1] if status == "complete" else None
    job = Job(trial.number, genotype, space.key(genotype), trial.number)
    return Evaluation(job, Result(status, value, curve), "optuna")


def _same_values(first: tuple[Value, ...], second: tuple[Value, ...]) -> bool:
    """Tells whether the values are the same, also by type: 1 is not True."""
    return first == second and [type(x) for x in first] == [type(x) for x in second]
