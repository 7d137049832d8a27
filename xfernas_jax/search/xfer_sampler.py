"""`XferSampler`: our transfer search as a sampler of Optuna."""

import collections
import dataclasses
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.logging import get_logger
from optuna.samplers import BaseSampler, RandomSampler
from optuna.samplers._base import _process_constraints_after_trial
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import SCORE
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.base import Optimizer, suggest
from xfernas_jax.search.cube import CubeSearch
from xfernas_jax.search.optuna_numbers import (
    NUM_LEVELS,
    OptunaSpace,
    Parameters,
    adapted,
    learnable,
    study_space,
    study_values,
)
from xfernas_jax.search.optuna_trials import (
    SourceStudy,
    assignment,
    likely_parameters,
    observation,
    read_sources,
    sign_of,
    source_histories,
    why_silent,
)
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.seen import Seen
from xfernas_jax.space.categorical import Assignment, CategoricalSpace, Value, plain_values

_logger = get_logger("optuna.xfernas_jax")  # below Optuna's own, so that it is shown as they are
_MAX_SEARCHES = 8
_NUM_NETWORK_LEVELS = 16  # of a number, for an optimizer that sees tokens
_UNKEPT = ("_lock", "_read", "_searches", "_drawn", "_guesses")
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class XferSampler(BaseSampler):
    """Suggests parameters by what other studies found, and by the study itself.

    The other studies may have another objective and direction: what they have in common with the
    target is learned, and where they tell nothing of it, that is learned too. A complete trial
    teaches if it has, for all the categorical parameters of the target, one of their values (1 and
    1.0 are the same), and if its numbers lie in the target's ranges; the ranges, scales and steps
    of its own study do not matter, and numbers that it lacks are no hindrance. A study that is
    named and teaches nothing is warned of, with the reason.

    Categorical parameters, ints and floats (log scales and steps too) are suggested together;
    conditional parameters come from the independent sampler. Where all are categorical, a network
    learns the sources. Where there are numbers, Gaussian processes over the unit cube do, which
    know that neighbours are alike: 256 levels of a wide range are told apart, and within its level
    a value is drawn.

    Suggestions depend on the seed, the sources, the finished trials and the trials that run, so a
    study that was interrupted goes on as if it had not been. No combination (of levels) is
    suggested twice while there are new ones. Failed trials count as the worst value; pruned trials
    are not tried again and teach no value.

    Of categorical parameters, three of five trials in a row take the best by prediction, and two
    the best of one plausible score function each; with numbers, all but the first take what is
    expected to improve most. Once every combination was tried, they are random. A study of several
    objectives is refused with `ValueError`.
    """

    def __init__(
        self,
        sources: str | Sequence[str | Study] = "all",
        *,
        seed: int | None = None,
        optimizer: str | None = None,
        config: SearchConfig | None = None,
        search_space: Mapping[str, Any] | None = None,
        independent_sampler: BaseSampler | None = None,
        constraints_func: Callable[[FrozenTrial], Sequence[float]] | None = None,
    ) -> None:
        """Nothing is read yet; sources are read once, at the first suggestion for a study.

        Args:
          sources: "all" (every other study of the study's storage), names of such studies, or
            `optuna.Study` objects of any storage. An empty list: no transfer.
          seed: of everything random; by default a new one.
          optimizer: see `search.registry.make_optimizer`; "xfer_nao" by default, and for studies
            with numbers `search.cube.CubeSearch`. A named one, or one with a surrogate other than
            "head", sees 16 levels of each number.
          config: of the optimizer, such as its predictor and `num_initial`.
          search_space: the parameters, by name: a list of values, as for
            `optuna.samplers.GridSampler`, or a distribution of Optuna.
            By default those that all complete trials have; before there are any, those of the
            source trials that have the parameters suggested so far.
          independent_sampler: of all other parameters; by default random, by the seed.
          constraints_func: as for Optuna's samplers: what it returns for a trial breaks a
            constraint where it is above 0, and the trial counts as the worst value. So do trials
            with `Trial.set_constraint`, which needs nothing here.
        """
        self._wanted = sources
        self._seed = int(np.random.SeedSequence(seed).generate_state(1)[0])
        self._optimizer = optimizer
        self._config = SearchConfig() if config is None else config
        self._given = None if search_space is None else _given_parameters(search_space)
        self._independent_sampler = independent_sampler
        self._constraints_func = constraints_func
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in _UNKEPT}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._read: dict[str, tuple[Any, tuple[SourceStudy, ...]]] = {}
        self._searches: collections.OrderedDict[Any, _Search] = collections.OrderedDict()
        self._drawn: set[tuple[str, str]] = set()  # studies and parameters of which it was said
        self._guesses: dict[tuple[str, int], Mapping[str, Value]] = {}  # for trials that run

    def reseed_rng(self) -> None:
        """Reseeds the given independent sampler; our own draws have seeds of their own."""
        if self._independent_sampler is not None:
            self._independent_sampler.reseed_rng()

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Returns the parameters that are suggested together."""
        self._raise_error_if_multi_objective(study)
        return self._together(study)

    def _together(self, study: Study) -> dict[str, BaseDistribution]:
        if self._given is not None:
            return dict(self._given)
        space = IntersectionSearchSpace(include_pruned=True).calculate(study)
        return {name: space[name] for name in sorted(learnable(space))}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Returns values of all parameters of a search space."""
        self._raise_error_if_multi_objective(study)
        parameters = learnable(search_space)
        suggested = self._suggest(study, trial, parameters) if parameters else None
        values: dict[str, Any] = dict(suggested or {})
        for name, distribution in search_space.items():
            if name not in values:
                values[name] = self._independent(study, trial, name, distribution)
        return {name: values[name] for name in search_space}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Returns a value of one parameter.

        Before a trial is complete, it is suggested by the sources.
        """
        self._raise_error_if_multi_objective(study)
        guess = self._guess(study, trial, param_name, param_distribution)
        if guess is not None:
            return guess[param_name]
        return self._independent(study, trial, param_name, param_distribution)

    def _independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        sampler = self._independent_sampler
        self._say_drawn(study, name, distribution)
        if sampler is None:  # one for each draw, so that no state is shared or lost
            entropy = [self._seed, trial.number, zlib.crc32(name.encode())]
            sampler = RandomSampler(int(np.random.SeedSequence(entropy).generate_state(1)[0]))
        return sampler.sample_independent(study, trial, name, distribution)

    def _say_drawn(self, study: Study, name: str, distribution: BaseDistribution) -> None:
        """Says once of each parameter that is not learned who draws it."""
        if distribution.single() or (study.study_name, name) in self._drawn:
            return
        why = "has other values than texts, numbers, booleans and None"
        if learnable({name: distribution}):
            why = "is not in all trials with the same values"
            ended = (TrialState.COMPLETE, TrialState.PRUNED)
            if self._given is not None and name not in self._given:
                why = "is not in search_space"
            elif name in self._together(study) or not study.get_trials(
                deepcopy=False, states=ended
            ):
                return  # a random start, or all was tried
        self._drawn.add((study.study_name, name))
        how = "at random"
        if self._independent_sampler is not None:
            how = f"by {type(self._independent_sampler).__name__}"
        _logger.info(f"XferSampler: {name!r} {why}, so it is drawn {how}.")

    def _guess(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Mapping[str, Value] | None:
        """Returns what the sources suggest for a study whose parameters are not known yet.

        None where they suggest nothing, or not what the trial has already.
        """
        if self._given is not None or not learnable({name: distribution}):
            return None
        # What ends while this trial is asked for its parameters, one by one, changes nothing.
        ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        if any(_ended_before(other, trial) for other in ended):
            return None
        held = self._guesses.get((study.study_name, trial.number))
        if held is not None:
            return adapted(held, name, distribution)
        known = {**trial.distributions, name: distribution}
        parameters = likely_parameters(self._sources(study), known)
        if parameters is None or name not in parameters:
            return None
        guess = self._suggest(study, trial, parameters)
        if guess is None or any(
            trial.params[other] != guess[other] for other in trial.params if other in guess
        ):
            return None
        if not all(isinstance(each, CategoricalDistribution) for each in parameters.values()):
            # Its ranges may be others than the sources', and then all would be guessed anew.
            self._guesses[study.study_name, trial.number] = guess
        return guess

    def _suggest(
        self, study: Study, trial: FrozenTrial, parameters: Parameters
    ) -> dict[str, Value] | None:
        """Returns values of all parameters; None where every combination was tried."""
        sources = self._sources(study)
        with self._lock:  # the trials too: what another thread was given must not be forgotten
            trials = sorted(study.get_trials(deepcopy=False), key=lambda t: t.number)
            search = self._search(study, parameters, sources)
            found = search.suggest(trial.number, trials, sign_of(study), self._seed)
            if found is None:
                return None
            return study_values(search.space, found, (self._seed, trial.number))

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Asks for the constraints of a trial."""
        self._guesses.pop((study.study_name, trial.number), None)
        if self._constraints_func is not None:
            _process_constraints_after_trial(self._constraints_func, study, trial, state)
        if self._independent_sampler is not None:
            self._independent_sampler.after_trial(study, trial, state, values)

    def _sources(self, study: Study) -> tuple[SourceStudy, ...]:
        """Reads the sources of a study, once."""
        with self._lock:
            read = self._read.get(study.study_name)
            if read is None or read[0] is not study._storage:
                read = (study._storage, read_sources(study, self._wanted))
                self._read[study.study_name] = read
            return read[1]

    def _search(
        self, study: Study, parameters: Parameters, sources: tuple[SourceStudy, ...]
    ) -> "_Search":
        key = (study.study_name, tuple(parameters.items()), id(sources))
        search = self._searches.pop(key, None)
        if search is None:
            is_cube = self._optimizer is None and self._config.surrogate == "head"
            space = study_space(parameters, NUM_LEVELS if is_cube else _NUM_NETWORK_LEVELS)
            histories = source_histories(space, sources)
            self._say(study, space, sources, {h.name: len(h.scores) for h in histories})
            search = _Search(space, self._make_optimizer(space, histories, is_cube), sources)
        self._searches[key] = search
        while len(self._searches) > _MAX_SEARCHES:
            self._searches.popitem(last=False)
        return search

    def _make_optimizer(
        self, space: CategoricalSpace, histories: Sequence[TaskHistory], is_cube: bool
    ) -> Optimizer:
        config = self._config
        if isinstance(space, OptunaSpace) and is_cube:
            return CubeSearch(space, histories, config.num_initial, config.predictor.num_starts)
        if isinstance(space, OptunaSpace) and config.surrogate == "head":
            numbers = config.architecture_numbers or space.coordinates
            config = dataclasses.replace(config, architecture_numbers=numbers)
        return make_optimizer(self._optimizer or "xfer_nao", space, histories, config)

    def _say(
        self,
        study: Study,
        space: CategoricalSpace,
        sources: Sequence[SourceStudy],
        counts: Mapping[str, int],
    ) -> None:
        """Says what is learned from, and warns of what was named and teaches nothing."""
        names = [f"{name} ({count})" for name, count in counts.items()]
        shown = ", ".join(names) or "no other study"
        _logger.info(f"XferSampler: {study.study_name} learns from {shown}.")
        say = _logger.info if isinstance(self._wanted, str) else _logger.warning
        for source in sources:
            if source.name not in counts:
                why = why_silent(space, source)
                say(f"XferSampler: nothing is learned from study {source.name!r}: {why}.")


def _given_parameters(search_space: Mapping[str, Any]) -> Parameters:
    """Returns the parameters that a user names, but for those of a single value."""
    found: dict[str, BaseDistribution] = {}
    for name, given in search_space.items():
        if isinstance(given, IntDistribution | FloatDistribution):
            found[name] = given
            continue
        values = given.choices if isinstance(given, CategoricalDistribution) else given
        plain = plain_values("XferSampler's search_space", name, values)
        found[name] = CategoricalDistribution(plain)
    return learnable(found)


def _ended_before(other: FrozenTrial, trial: FrozenTrial) -> bool:
    """Tells whether a finished trial had ended when another began."""
    ended, began = other.datetime_complete, trial.datetime_start
    return ended is None or began is None or ended <= began


class _Search:
    """One optimizer, kept between the trials of a study.

    Attributes:
      space: of the parameters.
    """

    def __init__(self, space: CategoricalSpace, optimizer: Optimizer, sources: Any) -> None:
        """Takes the optimizer; `sources` are kept for their identity."""
        self.space = space
        self._optimizer, self._sources = optimizer, sources
        self._nothing = Seen(space, Goal(metric=SCORE))
        self._handed_out: dict[int, Assignment] = {}  # by the number of a trial that runs

    def suggest(
        self, number: int, trials: Sequence[FrozenTrial], sign: float, seed: int
    ) -> Assignment | None:
        """Returns the genotype of a trial, the same whenever it is asked for; None if none is new.

        The optimizer is shown the finished trials in the order of their numbers, so that it does
        not matter who finished first. A trial that runs and whose parameters are not all recorded
        counts with what it was given.
        """
        running = {t.number: t for t in trials if t.state == TrialState.RUNNING}
        self._handed_out = {n: g for n, g in self._handed_out.items() if n in running}
        if number in self._handed_out:
            return self._handed_out[number]
        finished = [observation(self.space, t, sign) for t in trials if t.state in _FINISHED]
        pending = [
            genotype
            for other, trial in running.items()
            if other != number
            and (genotype := assignment(self.space, trial) or self._handed_out.get(other))
        ]
        seen = self._nothing.then([e for e in finished if e is not None], pending)
        found = suggest(self._optimizer, seen, seed, number, 1)
        if not found:
            return None
        self._handed_out[number] = found[0].genotype
        return found[0].genotype
