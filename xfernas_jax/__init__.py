"""Transfer neural architecture search in JAX: reuse the histories of earlier searches.

This level stays light: it loads neither JAX nor TensorFlow, Optuna, Ray or torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from xfernas_jax.errors import UserError
from xfernas_jax.space import (
    SPACES,
    CategoricalSpace,
    Space,
    get_space,
    read_genotype,
    write_genotype,
)
from xfernas_jax.version import __version__

if TYPE_CHECKING:
    from xfernas_jax.history.sources import bundled_histories
    from xfernas_jax.search.ask_tell import AskTell
    from xfernas_jax.search.xfer_sampler import XferSampler

__all__ = [
    "SPACES",
    "AskTell",
    "CategoricalSpace",
    "Space",
    "UserError",
    "XferSampler",
    "__version__",
    "bundled_histories",
    "get_space",
    "read_genotype",
    "write_genotype",
]


_LAZY = {
    "AskTell": "xfernas_jax.search.ask_tell",
    "XferSampler": "xfernas_jax.search.xfer_sampler",
    "bundled_histories": "xfernas_jax.history.sources",
}


def __getattr__(name: str) -> Any:
    """Imports what needs Optuna and JAX when it is asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
