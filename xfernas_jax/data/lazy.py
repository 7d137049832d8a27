"""Images that stay in their file, for sets larger than the memory."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from xfernas_jax.data.resize import shrink, shrunk_shape
from xfernas_jax.types import ImageRows

LAZY_BYTES = 2**30  # parts of at least this size are not loaded
_CHUNK = 1024


class LazyImages:
    """Images `[N, H, W, C]` uint8 that are read, and shrunk, when they are indexed."""

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(
        self, source: ImageRows, rows: np.ndarray | None = None, image_size: int | None = None
    ) -> None:
        """Takes the source; nothing is read.

        Args:
          source: uint8 images `[M, h, w, C]`, such as a `np.memmap`.
          rows: `[N]` indices into it; None means all.
          image_size: see `resize.shrink`.
        """
        self._source, self._size = source, image_size
        self._rows = np.arange(source.shape[0]) if rows is None else rows
        height, width, channels = source.shape[1:]
        self.shape = (len(self._rows), *shrunk_shape(height, width, image_size), channels)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any, /) -> np.ndarray:
        """Reads images: `key` is a slice or an array of indices."""
        return shrink(np.asarray(self._source[self._rows[key]]), self._size)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy  # always one
        return self[:].astype(dtype or self.dtype)

    def take(self, rows: np.ndarray) -> "LazyImages":
        """Chooses images without reading them."""
        return LazyImages(self._source, self._rows[rows], self._size)

    def shrunk(self, image_size: int | None) -> "LazyImages":
        """Shrinks images as they are read."""
        return LazyImages(self._source, self._rows, image_size)


def take_images(images: ImageRows, rows: np.ndarray) -> ImageRows:
    """Returns the images at `rows`, read only where they were in memory."""
    return images.take(rows) if isinstance(images, LazyImages) else images[rows]


class _Joined:
    """Images of two sources, one after the other: a source of `LazyImages`."""

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, first: ImageRows, second: ImageRows) -> None:
        self._first, self._second = first, second
        self.shape = (len(first) + len(second), *first.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        early = rows < len(self._first)
        images[early] = self._first[rows[early]]
        images[~early] = self._second[rows[~early] - len(self._first)]
        return images


def join_images(first: ImageRows, second: ImageRows) -> ImageRows:
    """Returns the images of both, read only where both were in memory."""
    if isinstance(first, LazyImages) or isinstance(second, LazyImages):
        return LazyImages(_Joined(first, second))
    return np.concatenate([first[:], second[:]])


def shrink_images(images: ImageRows, image_size: int | None) -> ImageRows:
    """Shrinks images, at once only where they are in memory."""
    if isinstance(images, LazyImages):
        return images.shrunk(image_size)
    return shrink(np.asarray(images), image_size)


def image_chunks(images: ImageRows) -> Iterator[np.ndarray]:
    """Yields all images in order, some at a time."""
    for start in range(0, len(images), _CHUNK):
        yield np.asarray(images[start : start + _CHUNK])
