"""How a part's batches reach the steps: from the devices, or from the host one ahead.

A part is images `[N, H, W, C]` uint8 and labels `[N]` int32.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from xfernas_jax.train.parallel import own_columns, replicate, shard_batch, shard_table
from xfernas_jax.types import Device, ImageRows

Batch = tuple[jax.Array, ...]  # what a step takes of the data
BatchReader = Callable[
    [ImageRows, np.ndarray, np.ndarray], Iterator[tuple[np.ndarray, np.ndarray]]
]  # (images, labels, [steps, B] indices) -> batches in order


class ResidentFeed:
    """A part that lives on every device whole; its steps gather their batches there."""

    def __init__(self, images: ImageRows, labels: np.ndarray, devices: Sequence[Device]) -> None:
        """Puts the part on the devices."""
        self.num_examples, self._devices = len(labels), devices
        self._placed = replicate((np.asarray(images), labels), devices)

    def epoch(self, table: np.ndarray, first: int = 0) -> Iterator[Batch]:
        """Gives `train_step` its images, labels and table, once for each step from `first` on."""
        placed = (*self._placed, shard_table(table, self._devices))
        return itertools.repeat(placed, len(table) - first)

    def evaluation(self, table: np.ndarray, counted: np.ndarray) -> Callable[[], Iterator[Batch]]:
        """Places the tables once; each call gives `eval_step` its data for every step."""
        tables = (shard_table(table, self._devices), shard_table(counted, self._devices))
        return lambda: itertools.repeat((*self._placed, *tables), len(table))


class StreamedFeed:
    """A part that stays on the host; batches are put on the devices one ahead of the step.

    Each process reads what its own devices take of a batch.
    """

    def __init__(
        self,
        images: ImageRows,
        labels: np.ndarray,
        devices: Sequence[Device],
        read_batches: BatchReader,
    ) -> None:
        """Takes the part; nothing is read."""
        self._images, self._labels, self._devices = images, labels, devices
        self.num_examples, self._read = len(labels), read_batches

    def epoch(self, table: np.ndarray, first: int = 0) -> Iterator[Batch]:
        """Gives `train_on_batch` each batch's images and labels, from row `first` on."""
        own = own_columns(table[first:], self._devices)
        return self._placed_ahead(self._read(self._images, self._labels, own))

    def evaluation(self, table: np.ndarray, counted: np.ndarray) -> Callable[[], Iterator[Batch]]:
        """Each call gives `eval_on_batch` each batch's images, labels and what counts of it."""
        own, own_counted = (own_columns(x, self._devices) for x in (table, counted))

        def batches() -> Iterator[tuple[np.ndarray, ...]]:
            read = self._read(self._images, self._labels, own)
            return ((*batch, row) for batch, row in zip(read, own_counted, strict=True))

        return lambda: self._placed_ahead(batches())

    def _placed_ahead(self, batches: Iterator[tuple[np.ndarray, ...]]) -> Iterator[Batch]:
        ahead: Any = None
        for batch in batches:
            placed = shard_batch(batch, self._devices)  # goes on while the step before it runs
            if ahead is not None:
                yield ahead
            ahead = placed
        yield ahead


Feed = ResidentFeed | StreamedFeed
