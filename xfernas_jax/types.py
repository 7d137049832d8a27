"""Shared type aliases."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

Device = Any  # a jax.Device, which type checkers take for a variable
PyTree = Any  # nested dictionaries, tuples and dataclasses of arrays


@runtime_checkable
class ImageRows(Protocol):
    """Images `[N, H, W, C]`: an array, or what reads them when it is indexed."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    @property
    def ndim(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, key: Any, /) -> Any: ...
