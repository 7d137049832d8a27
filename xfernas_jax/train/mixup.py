"""Mixup: each example becomes a mixture of two of its batch, images and targets alike.

Source: Zhang et al. (2018), mixup: Beyond Empirical Risk Minimization, Sec. 2.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int
from scipy import special

_NUM_QUANTILES = 1025


def mix(
    images: Float[Array, "local H W C"],
    targets: Float[Array, "local classes"],
    key: jax.Array,
    positions: Int[Array, " local"],
    alpha: float,
    axis_name: str,
) -> tuple[Float[Array, "local H W C"], Float[Array, "local classes"]]:
    """Mixes each example with the one at the mirrored position of the batch, B - 1 - position.

    Batches are shuffled, so the pairs are random ones, and they do not depend on how the batch is
    divided over devices: each device exchanges its share with one other. The middle one of an odd
    number is its own partner.

    Deviates: the paper draws one share for a batch; here each example has its own, keyed by its
    position.

    Args:
      images: this device's share of the batch.
      targets: its target rows.
      key: of this step, the same on every device.
      positions: index of each example in the global batch.
      alpha: of the shares' distribution, Beta(alpha, alpha).
      axis_name: of the devices.

    Returns:
      The mixed images and target rows.
    """
    draws = jax.vmap(lambda position: jax.random.uniform(jax.random.fold_in(key, position)))(
        positions
    )
    shares = beta_quantile(draws, alpha)
    other_images, other_targets = opposite((images, targets), axis_name)
    of_image = shares[:, None, None, None].astype(images.dtype)
    mixed = other_images + of_image * (images - other_images)
    return mixed, other_targets + shares[:, None] * (targets - other_targets)


def opposite(share: tuple[jax.Array, ...], axis_name: str) -> tuple[jax.Array, ...]:
    """Returns what is at the mirrored positions of the global batch, in the order of the share."""
    mirrored = jax.tree.map(lambda x: x[::-1], share)
    count = lax.axis_size(axis_name)
    if count == 1:
        return mirrored
    return lax.ppermute(mirrored, axis_name, [(i, count - 1 - i) for i in range(count)])


def beta_quantile(draws: Float[Array, " batch"], alpha: float) -> Float[Array, " batch"]:
    """Turns draws in [0, 1) into draws of Beta(alpha, alpha).

    Its quantile function is a table with lines between: JAX's sampler loops until it accepts, which
    takes longer to compile than what it is needed for.
    """
    levels = np.linspace(0.0, 1.0, _NUM_QUANTILES)
    table = special.betaincinv(alpha, alpha, levels).astype(np.float32)
    place = draws * (_NUM_QUANTILES - 1)
    below = jnp.minimum(place.astype(jnp.int32), _NUM_QUANTILES - 2)
    low, high = jnp.asarray(table)[below], jnp.asarray(table)[below + 1]
    return low + (place - below) * (high - low)
