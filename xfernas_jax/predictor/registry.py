"""The surrogates by name, and how one is built."""

import functools
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from xfernas_jax.errors import FlagError
from xfernas_jax.predictor.base import ArchitectureNumbers, Surrogate, TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.head import HeadSurrogate
from xfernas_jax.predictor.joint import JointSurrogate
from xfernas_jax.registry import Registry
from xfernas_jax.space.base import Space

Builder = Callable[
    [Space, Sequence[TaskHistory], PredictorConfig, ArchitectureNumbers | None], Surrogate
]


def _joint(
    space: Space,
    sources: Sequence[TaskHistory],
    config: PredictorConfig,
    numbers: ArchitectureNumbers | None,
) -> JointSurrogate:
    if numbers is not None:
        raise FlagError("--architecture_numbers needs --surrogate=head. Got --surrogate=joint.")
    return JointSurrogate(space, sources, config)


SURROGATES: Mapping[str, Builder] = MappingProxyType(
    {
        "head": HeadSurrogate,
        "joint": _joint,
        "graph": functools.partial(HeadSurrogate, reads_graphs=True),
    }
)


def make_surrogate(
    name: str,
    space: Space,
    sources: Sequence[TaskHistory] = (),
    config: PredictorConfig | None = None,
    numbers: ArchitectureNumbers | None = None,
) -> Surrogate:
    """Builds a surrogate that knows the sources and nothing of the target.

    Args:
      name: one of `SURROGATES`, or `module:NAME` for a builder of your own, called as
        `NAME(space, sources, config, numbers)`.
      space: of the architectures.
      sources: histories of other tasks in this space.
      config: defaults to `PredictorConfig()`.
      numbers: what is known of an architecture before any training, or None. A surrogate that takes
        none refuses them.

    Raises:
      FlagError: there is no such surrogate, it takes no numbers, or what was built is none.
      HistoryError: a source is not of this space.
    """
    expected = "be callable as NAME(space, sources, config, numbers)"
    build = Registry("surrogate", "--surrogate", SURROGATES, expected).find(name)
    surrogate = build(space, sources, PredictorConfig() if config is None else config, numbers)
    if ":" in name and not isinstance(surrogate, Surrogate):
        raise FlagError(
            f"Surrogate {name!r} (--surrogate) must build an object with `condition` and "
            f"`trusts_sources`, see xfernas_jax.predictor.base.Surrogate. Got {surrogate!r:.80}."
        )
    return surrogate
