"""Objects of a user's own package, named `module:NAME`."""

import importlib
from typing import Any

from xfernas_jax.errors import UserError


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
