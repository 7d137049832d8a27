"""Objects of a user's own package, named `module:NAME`."""

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from xfernas_jax.errors import FlagError, UserError


def load_user_object(address: str, what: str, error: type[UserError]) -> Any:
    """Imports `module` and returns its attribute `NAME`, None where it has none.

    Args:
      address: `module:NAME`, such as `my_package.my_file:NAME`.
      what: the kind of object, for messages: "space", "data set".
      error: class of what is raised.

    Raises:
      error: the address is malformed or the module cannot be imported.
    """
    module_name, _, attribute = address.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), attribute]):
        raise error(
            f"A {what} of your own is module:NAME, such as my_package.my_file:NAME. "
            f"Got {address!r}."
        )
    try:
        module = importlib.import_module(module_name)
    except Exception as reason:
        text = " ".join(f"{type(reason).__name__}: {reason}".split())
        raise error(
            f"{what.capitalize()} {address!r}: module {module_name!r} cannot be imported "
            f"({text:.200}); is its folder on PYTHONPATH?"
        ) from reason
    return getattr(module, attribute, None)


def find_builder(name: str, known: Mapping[str, Any], what: str, flag: str, call: str) -> Any:
    """Returns what `known` has under `name`, or a callable of the user's own.

    Args:
      name: in `known`, or `module:NAME`.
      known: builders by name.
      what: they build, for messages: "surrogate".
      flag: that the name comes from.
      call: how a builder is called: "NAME(space, sources)".

    Raises:
      FlagError: the name is unknown (a near one is proposed), or stands for no callable.
    """
    if ":" not in name and name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise FlagError(
            f"Unknown {what} {name!r} ({flag}). {hint}Known: {', '.join(known)}; "
            "one of your own is module:NAME."
        )
    builder = known[name] if name in known else load_user_object(name, what, FlagError)
    if not callable(builder):
        raise FlagError(
            f"{what.capitalize()} {name!r} must be callable as {call}. Found {builder!r:.80}."
        )
    return builder
