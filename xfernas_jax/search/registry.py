"""The optimizers by name, and how one is built."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from xfernas_jax.errors import FlagError
from xfernas_jax.predictor.base import ArchitectureNumbers, TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.registry import make_surrogate
from xfernas_jax.registry import Registry
from xfernas_jax.search.bananas import Bananas, PredictorEvolution
from xfernas_jax.search.base import Optimizer
from xfernas_jax.search.nao import Nao
from xfernas_jax.search.random import RandomSearch
from xfernas_jax.search.regularized_evolution import RegularizedEvolution
from xfernas_jax.search.surrogate_search import SurrogateSearch
from xfernas_jax.space.base import Space


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """Settings of all optimizers; each reads its own.

    Attributes:
      surrogate: a name of `SURROGATES`, or `module:NAME`.
      predictor: network, fit and ascent of the surrogate (the encoder's name is there).
      architecture_numbers: what is known of an architecture before training, for the `head`
        surrogate; or None.
      task_numbers: what is known of the target, comparable with the `numbers` of the sources.
      num_initial: random architectures before the first fit without sources.
      population_size: of `evolution`.
      tournament_size: of `evolution`.
    """

    surrogate: str = "head"
    predictor: PredictorConfig = dataclasses.field(default_factory=PredictorConfig)
    architecture_numbers: ArchitectureNumbers | None = None
    task_numbers: tuple[float, ...] = ()
    num_initial: int = 10
    population_size: int = 20
    tournament_size: int = 5


Builder = Callable[[Space, Sequence[TaskHistory], SearchConfig], Optimizer]


def _guided(kind: type[SurrogateSearch], with_sources: bool) -> Builder:
    """Returns the builder of a surrogate-guided optimizer, or of its transfer twin."""

    def build(space: Space, sources: Sequence[TaskHistory], config: SearchConfig) -> Optimizer:
        used = sources if with_sources else ()  # the whole difference between the twins
        surrogate = make_surrogate(
            config.surrogate, space, used, config.predictor, config.architecture_numbers
        )
        starts = config.predictor.num_starts
        return kind(space, surrogate, used, config.num_initial, starts, config.task_numbers)

    return build


_GUIDED = {"nao": Nao, "bananas": Bananas, "predictor_evolution": PredictorEvolution}

OPTIMIZERS: Mapping[str, Builder] = MappingProxyType(
    {
        "random": lambda space, sources, config: RandomSearch(),
        "evolution": lambda space, sources, config: RegularizedEvolution(
            config.population_size, config.tournament_size
        ),
        **{name: _guided(kind, False) for name, kind in _GUIDED.items()},
        **{f"xfer_{name}": _guided(kind, True) for name, kind in _GUIDED.items()},
    }
)


def make_optimizer(
    name: str, space: Space, sources: Sequence[TaskHistory] = (), config: SearchConfig | None = None
) -> Optimizer:
    """Builds an optimizer.

    Args:
      name: one of `OPTIMIZERS`, or `module:NAME` for a builder of your own, called as
        `NAME(space, sources, config)`.
      space: to search in.
      sources: histories of other tasks in this space, with the costs of the goal if it has any;
        `xfer_` optimizers learn from them.
      config: defaults to `SearchConfig()`.

    Raises:
      FlagError: there is no such optimizer or builder, or what it builds is no optimizer.
      HistoryError: a source is not of this space.
    """
    config = SearchConfig() if config is None else config
    optimizer = find_builder(name)(space, sources, config)
    if not isinstance(optimizer, Optimizer) or hasattr(optimizer, "observe"):
        raise FlagError(
            f"Optimizer {name!r} gave {type(optimizer).__name__}; an optimizer has "
            "suggest(seen, rng, count) and no state to be told (docs/EXTENDING.md)."
        )
    return optimizer


def find_builder(name: str, flag: str = "--optimizer") -> Builder:
    """Returns what builds an optimizer; see `make_optimizer`. `flag` is what messages name."""
    expected = "be callable as NAME(space, sources, config)"
    return Registry("optimizer", flag, OPTIMIZERS, expected).find(name)
