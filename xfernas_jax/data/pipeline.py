"""Which examples are in which batch.

Sets live on the device whole, so a batch is a row of indices.
"""

import numpy as np

from xfernas_jax.errors import RecipeError


def epoch_indices(num_examples: int, batch_size: int, seed: int, epoch: int) -> np.ndarray:
    """Shuffles one epoch of training examples into whole batches.

    Args:
      num_examples: in the training part.
      batch_size: B, over all devices.
      seed: not negative.
      epoch: not negative; each epoch of a seed has an order of its own.

    Returns:
      `[num_examples // B, B]` int32, no index twice. The last incomplete batch is dropped.

    Raises:
      RecipeError: when there is not one whole batch.
    """
    if not 1 <= batch_size <= num_examples:
        raise RecipeError(
            f"A batch holds 1 to {num_examples} examples, the size of the training part. Got "
            f"batch size {batch_size}; choose a smaller batch or more training examples."
        )
    order = np.random.default_rng((seed, epoch)).permutation(num_examples).astype(np.int32)
    steps = num_examples // batch_size
    return order[: steps * batch_size].reshape(steps, batch_size)


def eval_indices(num_examples: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Lays out every example once, in order, in batches of one size.

    Args:
      num_examples: at least 1.
      batch_size: B, over all devices; may exceed `num_examples`.

    Returns:
      `[steps, B]` int32 indices and `[steps, B]` bool: True for an example, False for padding
      (whose index is 0).

    Raises:
      RecipeError: for a batch or a part without examples.
    """
    if batch_size < 1 or num_examples < 1:
        raise RecipeError(
            f"Evaluation needs at least 1 example and batches of at least 1. Got {num_examples} "
            f"examples and batch size {batch_size}."
        )
    steps = -(-num_examples // batch_size)
    indices = np.arange(steps * batch_size, dtype=np.int32)
    mask = indices < num_examples
    indices = np.where(mask, indices, 0).astype(np.int32)
    return indices.reshape(steps, batch_size), mask.reshape(steps, batch_size)
