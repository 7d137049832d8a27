"""Sizes of arrays that grow: rounded up, so that a history may grow without a recompilation.

What is asked of many architectures is asked in chunks, so that memory is bounded.
"""

from collections.abc import Callable

import numpy as np

_MAX_ROWS = 8192


def capacity(count: int, minimum: int) -> int:
    """Returns the power of two that holds `count` and `minimum`."""
    return 1 << (max(count, minimum) - 1).bit_length()


def pad_rows(rows: np.ndarray, size: int, value: float = 1) -> np.ndarray:
    """Returns `[size, ...]`: the rows, then rows of `value`."""
    padded = np.full((size, *rows.shape[1:]), value, rows.dtype)
    padded[: len(rows)] = rows
    return padded


def in_chunks(function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Returns `function(rows)`, which maps rows to rows; it may be called with none."""
    starts = range(0, max(len(rows), 1), _MAX_ROWS)
    return np.concatenate([function(rows[start : start + _MAX_ROWS]) for start in starts])
