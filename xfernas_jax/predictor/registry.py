"""The surrogates by name, and how one is built."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import cast

from xfernas_jax.errors import FlagError
from xfernas_jax.predictor.base import ArchitectureNumbers, Surrogate, TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.head import HeadSurrogate
from xfernas_jax.predictor.joint import JointSurrogate
from xfernas_jax.space.base import Space
from xfernas_jax.user_code import load_user_object

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


SURROGATES: Mapping[str, Builder] = MappingProxyType({"head": HeadSurrogate, "joint": _joint})


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
    build = _load(name) if ":" in name else _find(name)
    surrogate = build(space, sources, PredictorConfig() if config is None else config, numbers)
    if ":" in name and not isinstance(surrogate, Surrogate):
        raise FlagError(
            f"Surrogate {name!r} (--surrogate) must build an object with `condition` and "
            f"`trusts_sources`, see xfernas_jax.predictor.base.Surrogate. Got {surrogate!r:.80}."
        )
    return surrogate


def _find(name: str) -> Builder:
    if name not in SURROGATES:
        near = difflib.get_close_matches(name, SURROGATES, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise FlagError(
            f"Unknown surrogate {name!r} (--surrogate). {hint}Known: {', '.join(SURROGATES)}; "
            "one of your own is module:NAME."
        )
    return SURROGATES[name]


def _load(address: str) -> Builder:
    builder = load_user_object(address, "surrogate", FlagError)
    if not callable(builder):
        raise FlagError(
            f"Surrogate {address!r} must be callable as NAME(space, sources, config, numbers). "
            f"Found {builder!r:.80}."
        )
    return cast(Builder, builder)
