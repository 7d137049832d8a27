"""The optimizers by name, and how one is built."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import cast

import numpy as np

from xfernas_jax.errors import FlagError, HistoryError
from xfernas_jax.history.goal import Goal
from xfernas_jax.predictor.base import ArchitectureNumbers, Surrogate, TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.registry import make_surrogate as build_surrogate
from xfernas_jax.search.bananas import Bananas, PredictorEvolution
from xfernas_jax.search.base import SearchOptimizer
from xfernas_jax.search.candidates import KnownCosts
from xfernas_jax.search.nao import Nao
from xfernas_jax.search.random import RandomSearch
from xfernas_jax.search.regularized_evolution import RegularizedEvolution
from xfernas_jax.search.surrogate_search import SurrogateSearch
from xfernas_jax.space.base import Space
from xfernas_jax.user_code import load_user_object


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """Settings of all optimizers; each reads its own.

    Attributes:
      surrogate: name in `predictor.registry.SURROGATES`, or `module:NAME` of your own.
      predictor: network, fit and ascent of the surrogate (the encoder's name is there).
      architecture_numbers: what is known of an architecture before training, for a surrogate
        that takes such numbers (`head` does); or None.
      task_numbers: what is known of the target, comparable with the `numbers` of the sources.
      num_initial: random architectures before the first fit without sources.
      population_size: of `evolution`.
      tournament_size: of `evolution`.
      goal: limits on cost, or what is traded against accuracy.
      known_costs: what a search with limits knows before an evaluation, or None.
    """

    surrogate: str = "head"
    predictor: PredictorConfig = dataclasses.field(default_factory=PredictorConfig)
    architecture_numbers: ArchitectureNumbers | None = None
    task_numbers: tuple[float, ...] = ()
    num_initial: int = 10
    population_size: int = 20
    tournament_size: int = 5
    goal: Goal = dataclasses.field(default_factory=Goal)
    known_costs: KnownCosts | None = None


Builder = Callable[[Space, Sequence[TaskHistory], SearchConfig], SearchOptimizer]


def _random(space: Space, sources: Sequence[TaskHistory], config: SearchConfig) -> RandomSearch:
    del sources
    return RandomSearch(space, config.goal, config.known_costs)


def _evolution(
    space: Space, sources: Sequence[TaskHistory], config: SearchConfig
) -> RegularizedEvolution:
    del sources
    return RegularizedEvolution(
        space,
        config.population_size,
        config.tournament_size,
        config.goal,
        config.known_costs,
    )


def make_surrogate(space: Space, sources: Sequence[TaskHistory], config: SearchConfig) -> Surrogate:
    """Builds the surrogate that the configuration names; see `predictor.registry`."""
    numbers = config.architecture_numbers
    return build_surrogate(config.surrogate, space, sources, config.predictor, numbers)


def _guided(kind: type[SurrogateSearch], with_sources: bool) -> Builder:
    """Returns the builder of a surrogate-guided optimizer, or of its transfer twin."""

    def build(
        space: Space, sources: Sequence[TaskHistory], config: SearchConfig
    ) -> SearchOptimizer:
        used = sources if with_sources else ()  # the whole difference between the twins
        used = [_with_costs(source, len(config.goal.costs)) for source in used]
        surrogate = make_surrogate(space, used, config)
        return kind(
            space,
            surrogate,
            used,
            config.num_initial,
            config.predictor.num_starts,
            config.task_numbers,
            config.goal,
            config.known_costs,
        )

    return build


def _with_costs(source: TaskHistory, num_costs: int) -> TaskHistory:
    """Returns the history with the costs of the goal; without any, all are unknown."""
    assert source.costs is not None
    if source.costs.shape[1] == num_costs:
        return source
    if source.costs.shape[1] and num_costs:
        raise HistoryError(
            f"History {source.name!r} has {source.costs.shape[1]} costs, the goal {num_costs}; "
            "give the costs of `Goal.costs`, or none."
        )
    unknown = np.full((len(source.scores), num_costs), np.nan)
    return dataclasses.replace(source, costs=unknown)


_GUIDED = {"nao": Nao, "bananas": Bananas, "predictor_evolution": PredictorEvolution}

OPTIMIZERS: Mapping[str, Builder] = MappingProxyType(
    {
        "random": _random,
        "evolution": _evolution,
        **{name: _guided(kind, False) for name, kind in _GUIDED.items()},
        **{f"xfer_{name}": _guided(kind, True) for name, kind in _GUIDED.items()},
    }
)


def make_optimizer(
    name: str, space: Space, sources: Sequence[TaskHistory] = (), config: SearchConfig | None = None
) -> SearchOptimizer:
    """Builds an optimizer without observations of the target.

    Args:
      name: one of `OPTIMIZERS`, or `module:NAME` for a builder of your own, called as
        `NAME(space, sources, config)`.
      space: to search in.
      sources: histories of other tasks in this space; `xfer_` optimizers learn from them.
      config: defaults to `SearchConfig()`.

    Raises:
      FlagError: there is no such optimizer or builder.
      HistoryError: a source is not of this space.
    """
    config = SearchConfig() if config is None else config
    return find_builder(name)(space, sources, config)


def find_builder(name: str, flag: str = "--optimizer") -> Builder:
    """Returns what builds an optimizer; see `make_optimizer`.

    Args:
      name: one of `OPTIMIZERS`, or `module:NAME`.
      flag: that the message names.

    Raises:
      FlagError: there is no such optimizer or builder.
    """
    if ":" in name:
        return _load(name)
    if name not in OPTIMIZERS:
        near = difflib.get_close_matches(name, OPTIMIZERS, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise FlagError(
            f"Unknown optimizer {name!r} ({flag}). {hint}Known: {', '.join(OPTIMIZERS)}; "
            "one of your own is module:NAME."
        )
    return OPTIMIZERS[name]


def _load(address: str) -> Builder:
    builder = load_user_object(address, "optimizer", FlagError)
    if not callable(builder):
        raise FlagError(
            f"Optimizer {address!r} must be callable as NAME(space, sources, config). "
            f"Found {builder!r:.80}."
        )
    return cast(Builder, builder)
