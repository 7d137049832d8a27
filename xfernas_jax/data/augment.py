"""Standardisation and random changes of training images, inside the jitted step.

Standardise first, then augment: what crop and cutout fill in is 0, which is then the mean.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num, UInt8

from xfernas_jax.data.base import DataConfig, ImageDataset
from xfernas_jax.data.lazy import image_chunks


class Normalizer(NamedTuple):
    """How images are standardised.

    Attributes:
      mean: `[C]` float32, of pixel values 0..255.
      std: `[C]` float32, of the same; positive.
      per_image: whether each image is standardised by its own statistics instead.
    """

    mean: np.ndarray
    std: np.ndarray
    per_image: bool


def normalizer(dataset: ImageDataset, config: DataConfig) -> Normalizer:
    """Takes channel statistics of the training part; a constant channel gets deviation 1."""
    images = dataset.train.images
    counts = np.zeros((images.shape[-1], 256), np.int64)
    for chunk in image_chunks(images):
        for channel, count in enumerate(counts):
            count += np.bincount(chunk[..., channel].ravel(), minlength=256)
    levels = np.arange(256, dtype=np.float64)
    moments = []
    for shares in counts / np.prod(images.shape[:-1]):
        mean = float(shares @ levels)
        moments.append((mean, float(np.sqrt(shares @ (levels - mean) ** 2))))
    mean, std = np.array(moments, dtype=np.float32).T
    std = np.where(std < 1e-3, np.float32(1), std)
    return Normalizer(mean, std, config.standardize == "image")


def normalize(
    images: UInt8[Array, "batch height width channels"], statistics: Normalizer
) -> Float[Array, "batch height width channels"]:
    """Standardises images.

    Per image the deviation is at least 1 / sqrt(H W C), as in TensorFlow's
    `tf.image.per_image_standardization`, so that a constant image gives zeros.

    Args:
      images: `[B, H, W, C]` uint8.
      statistics: from `normalizer`.

    Returns:
      `[B, H, W, C]` float32.
    """
    pixels = images.astype(jnp.float32)
    if not statistics.per_image:
        shape = (1, 1, 1, -1)
        return (pixels - statistics.mean.reshape(shape)) / statistics.std.reshape(shape)
    mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
    std = pixels.std(axis=(1, 2, 3), keepdims=True)
    least = 1.0 / np.sqrt(np.prod(images.shape[1:]))
    return (pixels - mean) / jnp.maximum(std, least)


def augment_batch(
    images: Num[Array, "batch height width channels"],
    key: jax.Array,
    positions: Int[Array, " batch"],
    config: DataConfig,
) -> Num[Array, "batch height width channels"]:
    """Changes each image at random: pad and crop, then mirror, then cutout.

    An example's draws depend on `key` and its position alone, so that a batch gives the same
    images however it is divided over devices. Cutout's centre is uniform over the image; the
    square is clipped at the border.

    Args:
      images: `[B, H, W, C]`, standardised (see above); the dtype is kept.
      key: of this step, the same on every device.
      positions: `[B]` index of each example in the global batch.
      config: which changes; "none" and cutout 0 return the images.

    Returns:
      `[B, H, W, C]`.

    Source: DeVries and Taylor (2017), Cutout, for the clipped square.
    """
    crops = config.augment in ("crop", "crop_flip") and config.crop_padding > 0
    flips = config.augment in ("flip", "crop_flip")
    if not (crops or flips or config.cutout):
        return images
    spared = config.cutout > 0 and config.cutout_probability < 1.0
    draws = jax.vmap(
        lambda position: jax.random.uniform(jax.random.fold_in(key, position), (5 + spared,))
    )(positions)
    height, width = images.shape[1:3]
    if crops:
        span = 2 * config.crop_padding + 1
        images = _crop(images, _floor(draws[:, :2], span), config.crop_padding)
    if flips:
        images = jnp.where(draws[:, 2, None, None, None] < 0.5, images[:, :, ::-1], images)
    if config.cutout:
        rows = _inside(_floor(draws[:, 3], height), height, config.cutout)
        columns = _inside(_floor(draws[:, 4], width), width, config.cutout)
        if spared:
            rows &= draws[:, 5, None] < config.cutout_probability
        erased = rows[:, :, None, None] & columns[:, None, :, None]
        images = jnp.where(erased, jnp.zeros((), images.dtype), images)
    return images


def _floor(draws: jax.Array, count: int) -> jax.Array:
    """Turns draws in [0, 1) into integers in [0, count)."""
    return jnp.minimum((draws * count).astype(jnp.int32), count - 1)


def _crop(images: jax.Array, offsets: jax.Array, padding: int) -> jax.Array:
    """Cuts a window of the old size at `offsets` `[B, 2]` from each zero-padded image."""
    shape = images.shape[1:]
    sides = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    zero = jnp.zeros((), jnp.int32)

    def window(image: jax.Array, offset: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice(image, (offset[0], offset[1], zero), shape)

    return jax.vmap(window)(jnp.pad(images, sides), offsets)


def _inside(centers: jax.Array, size: int, length: int) -> jax.Array:
    """Returns `[B, size]`: whether a pixel is within the `length` around each centre `[B]`."""
    offset = jnp.arange(size)[None, :] - (centers[:, None] - length // 2)
    return (offset >= 0) & (offset < length)
