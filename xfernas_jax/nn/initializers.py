"""Initial values that NumPy draws on the host, so that no program is compiled for them."""

import contextlib
import contextvars
import dataclasses
import math
import zlib
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

Path = tuple[str, ...]
Made = list[tuple[jax.Array, "HostNormal"]]

_made: contextvars.ContextVar[Made | None] = contextvars.ContextVar("made", default=None)


@dataclasses.dataclass(frozen=True)
class HostNormal:
    """Truncated normals of variance `gain` / fan-in: an initialiser for kernels `[..., in, out]`.

    Called as any initialiser of Flax it gives JAX's draws. `nn.compile.initial_variables` draws
    the same distribution by `draw` instead.
    """

    gain: float

    def __call__(self, key: Any, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        """Draws by JAX, for `flax.linen.Module.param`."""
        scaling = nn.initializers.variance_scaling(self.gain, "fan_in", "truncated_normal")
        value = scaling(key, shape, dtype)
        if (made := _made.get()) is not None:
            made.append((value, self))
        return value

    def draw(self, path: Path, shape: tuple[int, ...], seed: int) -> np.ndarray:
        """Draws float32 values that depend on the seed and on the variable's own path alone."""
        rng = np.random.default_rng([seed, zlib.crc32("/".join(path).encode())])
        return _truncated_normal(rng, shape, math.sqrt(self.gain / math.prod(shape[:-1])))


conv_init = HostNormal(2.0)
"""Of convolutions before a ReLU. Source: He et al. (2015)."""

dense_init = HostNormal(1.0)
"""Of classifiers: the distribution of Flax's default for `nn.Dense`."""


@contextlib.contextmanager
def recorded() -> Iterator[Made]:
    """Yields the list of what initialisers of the host give in the block, in this thread."""
    made: Made = []
    token = _made.set(made)
    try:
        yield made
    finally:
        _made.reset(token)


def _truncated_normal(
    rng: np.random.Generator, shape: tuple[int, ...], stddev: float
) -> np.ndarray:
    """Draws normals cut at two standard deviations, rescaled to `stddev`, as Flax does."""
    draws = rng.standard_normal(shape)
    outside = np.abs(draws) > 2.0
    while outside.any():
        draws[outside] = rng.standard_normal(int(outside.sum()))
        outside = np.abs(draws) > 2.0
    return (draws * (stddev / 0.87962566103423978)).astype(np.float32)
