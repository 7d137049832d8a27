"""Calls that XLA's CPU compiler leaves alone.

It merges neighbouring element-wise operations and slices into one loop each time one of them is
read, so an image that several windows read is computed again for every tap of every reader. A
call that is not inlined is a border: its arguments and results exist in memory, once. Equal calls
are also traced and lowered once.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
from jax.experimental.scheduling_groups import xla_metadata_call


def alone(function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    """Returns `function(*static, ...)` of arrays, on a CPU as a call of its own.

    Args:
      function: of the module level, so that equal calls are the same.
      static: its first arguments, hashable.
    """
    return _call(function, static) if jax.default_backend() == "cpu" else partial(function, *static)


@cache
def _call(function: Callable[..., Any], static: tuple[Any, ...]) -> Callable[..., Any]:
    return xla_metadata_call(partial(function, *static), inlineable="false")
