"""Shrinking images.

The rule: images whose longer side exceeds `size` shrink so that it equals `size`. Where that is
a whole factor of both sides (28 to 14 or 7, 32 to 8) each pixel is the rounded mean of its
square; otherwise Pillow's BOX filter takes the mean by area, and the shorter side keeps the
aspect ratio (rounded, at least 1). Images that fit are returned as they are.
"""

import numpy as np
from PIL import Image


def shrunk_shape(height: int, width: int, size: int) -> tuple[int, int]:
    """Returns the height and width that `shrink` gives."""
    longer = max(height, width)
    if longer <= size:
        return height, width
    return max(1, round(height * size / longer)), max(1, round(width * size / longer))


def shrink(images: np.ndarray, size: int | None) -> np.ndarray:
    """Shrinks images until no side is longer than `size`.

    Args:
      images: `[N, H, W, C]` uint8.
      size: in pixels; None changes nothing.

    Returns:
      `[N, h, w, C]` uint8.
    """
    height, width = images.shape[1:3]
    if size is None or max(height, width) <= size:
        return images
    longer = max(height, width)
    factor = longer // size
    if longer % size == 0 and height % factor == 0 and width % factor == 0:
        return mean_pool(images, factor)
    target = shrunk_shape(height, width, size)
    return np.stack([resize_image(image, *target, Image.Resampling.BOX) for image in images])


def mean_pool(images: np.ndarray, factor: int) -> np.ndarray:
    """Averages squares of `factor` x `factor` pixels, halves rounded up.

    Args:
      images: `[N, H, W, C]` uint8; `factor` divides H and W.
      factor: side of a square.

    Returns:
      `[N, H / factor, W / factor, C]` uint8.
    """
    count, height, width, channels = images.shape
    total = np.zeros((count, height // factor, width // factor, channels), np.uint32)
    for row in range(factor):
        for column in range(factor):
            total += images[:, row::factor, column::factor]
    return ((total + factor * factor // 2) // (factor * factor)).astype(np.uint8)


def resize_image(
    image: np.ndarray, height: int, width: int, resample: Image.Resampling
) -> np.ndarray:
    """Resizes `[H, W, C]` uint8 to `[height, width, C]`, each channel by itself."""
    channels = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(image[..., c])).resize((width, height), resample)
        )
        for c in range(image.shape[-1])
    ]
    return np.stack(channels, axis=-1)
