"""Transfer neural architecture search in JAX: reuse the histories of earlier searches.

This level stays light: it loads neither JAX nor TensorFlow, Ray or torch.
"""

from xfernas_jax.errors import UserError
from xfernas_jax.space import SPACES, Space, get_space, read_genotype, write_genotype

__all__ = ["SPACES", "Space", "UserError", "get_space", "read_genotype", "write_genotype"]
