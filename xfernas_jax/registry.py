"""One way to find a thing by its name: one of ours, or `module:NAME` of a user's own."""

import dataclasses
import difflib
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from xfernas_jax.errors import FlagError, UserError
from xfernas_jax.user_code import load_user_object


@runtime_checkable
class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T")
N = TypeVar("N", bound=_Named)


def by_name(*things: N) -> Mapping[str, N]:
    """Returns things by their names, in this order."""
    return MappingProxyType({thing.name: thing for thing in things})


def near_hint(name: str, known: Iterable[str]) -> str:
    """Returns `Did you mean X or Y? ` for what is near to a name; empty where nothing is."""
    near = difflib.get_close_matches(name, list(known), n=2)
    return f"Did you mean {' or '.join(near)}? " if near else ""


@dataclasses.dataclass(frozen=True)
class Registry(Generic[T]):
    """Things of one kind by name.

    Attributes:
      kind: in words, for messages: "metric".
      flag: that names one: "--metric".
      entries: those of ours, in the order in which messages list them.
      expected: what a user's own must be, in words.
      accepts: tells whether a user's own is one.
      error: class of what is raised.
    """

    kind: str
    flag: str
    entries: Mapping[str, T]
    expected: str = "be callable"
    accepts: Callable[[Any], bool] = callable
    error: type[UserError] = FlagError

    def find(self, name: str) -> T:
        """Returns what has a name, or the object at `module:NAME`.

        Raises:
          UserError: of class `error`: there is none, or it is of another kind.
        """
        if ":" in name:
            return self._load(name)
        if name not in self.entries:
            raise self.error(
                f"Unknown {self.kind} {name!r:.80} ({self.flag}). "
                f"{near_hint(name, self.entries)}Known: {', '.join(self.entries)}; one of your "
                "own is module:NAME."
            )
        return self.entries[name]

    def _load(self, address: str) -> T:
        found = load_user_object(address, self.kind, self.error)
        if self.accepts(found):
            return found
        module, _, attribute = address.partition(":")
        there = [name for name, value in vars(sys.modules[module]).items() if self.accepts(value)]
        near = difflib.get_close_matches(attribute, there, n=1)
        raise self.error(
            f"{self.kind[:1].upper()}{self.kind[1:]} {address!r:.80} ({self.flag}) must "
            f"{self.expected}. Found {'nothing' if found is None else f'{found!r:.80}'}"
            f"{f'; did you mean {near[0]}?' if near else '.'}"
        )
