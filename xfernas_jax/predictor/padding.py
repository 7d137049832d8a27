"""Sizes of arrays that grow: rounded up, so that a history may grow without a recompilation."""

import numpy as np


def capacity(count: int, minimum: int) -> int:
    """Returns the power of two that holds `count` and `minimum`."""
    return 1 << (max(count, minimum) - 1).bit_length()


def pad_rows(rows: np.ndarray, size: int, value: float = 1) -> np.ndarray:
    """Returns `[size, ...]`: the rows, then rows of `value`."""
    padded = np.full((size, *rows.shape[1:]), value, rows.dtype)
    padded[: len(rows)] = rows
    return padded
