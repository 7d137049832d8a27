"""Transfer neural architecture search in JAX: reuse the histories of earlier searches.

This level stays light: it loads neither JAX nor TensorFlow, Optuna, Ray or torch.
"""

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

if TYPE_CHECKING:
    from xfernas_jax.search.xfer_sampler import XferSampler

__all__ = [
    "SPACES",
    "CategoricalSpace",
    "Space",
    "UserError",
    "XferSampler",
    "get_space",
    "read_genotype",
    "write_genotype",
]


def __getattr__(name: str) -> Any:
    """Imports what needs Optuna and JAX when it is asked for."""
    if name == "XferSampler":
        from xfernas_jax.search.xfer_sampler import XferSampler

        return XferSampler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
