"""The known search spaces by name, and how a user's own is found."""

from collections.abc import Mapping
from types import MappingProxyType

from xfernas_jax.errors import SpaceError
from xfernas_jax.registry import Registry
from xfernas_jax.space import ops
from xfernas_jax.space.base import Space
from xfernas_jax.space.convnet import ConvNetSpace
from xfernas_jax.space.nasbench201 import NasBench201Space
from xfernas_jax.space.two_cell import TwoCellSpace

SPACES: Mapping[str, Space] = MappingProxyType(
    {
        space.name: space
        for space in (
            TwoCellSpace("nao5", ops.NAO5),
            TwoCellSpace("nao11", ops.NAO11),
            TwoCellSpace("nasnet", ops.NASNET),
            NasBench201Space(),
            ConvNetSpace(),
        )
    }
)

_loaded: dict[str, Space] = {}  # users' spaces by their own names, for histories that name them


def get_space(name: str) -> Space:
    """Returns a space.

    Args:
      name: one of `SPACES`, or `module:NAME` for the instance `NAME` in a module of your own
        that Python can import. Once loaded, a space of your own is also found by its `name`.

    Raises:
      SpaceError: there is no such space, or it breaks the rules of `Space`.
    """
    known = Registry(
        kind="search space",
        flag="--space",
        entries={**SPACES, **_loaded},
        expected="be an instance of xfernas_jax.space.Space",
        accepts=lambda found: isinstance(found, Space),
        error=SpaceError,
    )
    space = known.find(name)
    if ":" in name:
        _check(space, name)
        _loaded[space.name] = space
    return space


def lookup_space(name: str) -> Space:
    """Returns a space by its own name; the default where a reader needs genotypes.

    Unlike `get_space` it takes no `module:NAME`: the name comes from recorded data, which must
    never decide what is imported. A space of your own is found once `--space` has loaded it.
    """
    check_space_name(name)
    return get_space(name)


def check_space_name(name: str) -> None:
    """Raises `SpaceError` for a name in data that would be taken as `module:NAME`."""
    if ":" in name:
        raise SpaceError(
            f"Data names a space by the space's own name, not as module:NAME, which --space may. "
            f"Got {name!r:.80}."
        )


def _check(space: Space, address: str) -> None:
    """Raises `SpaceError` where the attributes of a user's space break the rules of `Space`."""
    missing = [field for field in ("name", "vocabulary", "choices") if not hasattr(space, field)]
    if missing:
        raise SpaceError(f"Space {address!r} must set {', '.join(missing)}; see `Space`.")
    if {**SPACES, **_loaded}.get(space.name, space) is not space:
        raise SpaceError(
            f"Space {address!r} has the name {space.name!r}, which another space has; rename it."
        )
    size = len(space.vocabulary)
    for position, options in enumerate(space.choices):
        if not options or not all(0 < token < size for token in options):
            raise SpaceError(
                f"Space {address!r}: choices[{position}] is not empty and holds tokens in "
                f"1..{size - 1}. Got {options!r:.80}."
            )
