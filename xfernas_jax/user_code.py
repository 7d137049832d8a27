"""Objects of a user's own package, named `module:NAME`."""

import contextlib
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from xfernas_jax.errors import UserError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


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
        with _without_arguments(), unchanged_process():
            module = importlib.import_module(module_name)
    except SystemExit as reason:
        raise error(
            f"{what.capitalize()} {address!r}: module {module_name!r} ends the program when it is "
            f"imported (SystemExit: {reason.code!r:.60}); put what a script does under "
            "`if __name__ == '__main__':`."
        ) from reason
    except Exception as reason:
        text = " ".join(f"{type(reason).__name__}: {reason}".split())
        raise error(
            f"{what.capitalize()} {address!r}: module {module_name!r} cannot be imported "
            f"({text:.200}); is its folder on PYTHONPATH?"
        ) from reason
    return getattr(module, attribute, None)


@contextlib.contextmanager
def unchanged_process() -> Iterator[None]:
    """Runs a user's code and puts back what it changed of the process that ours relies on.

    These are the current folder (relative paths are those of the command), the handlers of SIGINT
    and SIGTERM (which stop a search without loss), standard output and error, what NumPy does at an
    overflow, and the precision of JAX.
    """
    folder, streams = _current_folder(), (sys.stdout, sys.stderr)
    is_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS} if is_main else {}
    numpy, jax = sys.modules.get("numpy"), sys.modules.get("jax")
    rules = None if numpy is None else numpy.geterr()
    has_doubles = None if jax is None else jax.config.jax_enable_x64
    try:
        yield
    finally:
        if folder is not None:
            os.chdir(folder)
        sys.stdout, sys.stderr = streams
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)
        if numpy is not None and rules is not None:
            numpy.seterr(**rules)
        if jax is not None and jax.config.jax_enable_x64 != has_doubles:
            jax.config.update("jax_enable_x64", has_doubles)


def _current_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # somebody removed it
        return None


@contextlib.contextmanager
def _without_arguments() -> Iterator[None]:
    """Hides the words of our command line from a module that reads them when it is imported."""
    words = sys.argv
    sys.argv = words[:1]
    try:
        yield
    finally:
        sys.argv = words
