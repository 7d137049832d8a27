"""Batches of a set that stays on the host, read ahead by Grain."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import numpy as np

from xfernas_jax.types import Device, ImageRows

Residence = Literal["auto", "device", "stream"]
_DEVICE_SHARE = 0.25  # of a device's memory that a set may take
_UNKNOWN_DEVICE_BYTES = 8 * 2**30  # where a device does not tell, as a CPU
_NUM_THREADS, _BUFFERED_BATCHES = 8, 16


def is_streamed(residence: Residence, num_bytes: int, devices: Sequence[Device]) -> bool:
    """Tells whether sets are streamed: for "auto" where they take much of a device's memory.

    Args:
      residence: "auto", "device" or "stream".
      num_bytes: of all images that would be on a device at a time.
      devices: each of which would hold them.
    """
    if residence != "auto":
        return residence == "stream"
    known = [(device.memory_stats() or {}).get("bytes_limit") for device in devices]
    least = min(limit or _UNKNOWN_DEVICE_BYTES for limit in known)
    return num_bytes > _DEVICE_SHARE * least


class _Batches:
    """A random access source of Grain: element `i` is the batch of the table's row `i`."""

    def __init__(self, images: ImageRows, labels: np.ndarray, table: np.ndarray) -> None:
        self._images, self._labels, self._table = images, labels, table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, row: Any) -> tuple[np.ndarray, np.ndarray]:
        rows = self._table[row]
        return self._images[rows], self._labels[rows]


def read_batches(
    images: ImageRows, labels: np.ndarray, table: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Reads batches in threads, some ahead.

    Args:
      images: `[N, H, W, C]` uint8.
      labels: `[N]` int32.
      table: `[steps, B]` indices.

    Yields:
      Images `[B, H, W, C]` and labels `[B]` of each row of the table, in its order.
    """
    import grain  # only who streams waits for it

    source = cast(Any, _Batches(images, labels, table))
    options = grain.ReadOptions(num_threads=_NUM_THREADS, prefetch_buffer_size=_BUFFERED_BATCHES)
    yield from grain.MapDataset.source(source).to_iter_dataset(options)
