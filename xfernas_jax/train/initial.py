"""Variables of an earlier network that a training starts from, where they fit."""

import dataclasses
import functools
import hashlib
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from xfernas_jax.errors import ModelError
from xfernas_jax.types import PyTree

VARIABLES_FILE = "variables.npz"


def flat_variables(variables: PyTree) -> Mapping[str, Any]:
    """Returns `params` and `batch_stats` by path, such as `params/stem/Conv_0/kernel`."""
    found: Any = traverse_util.flatten_dict(dict(variables), sep="/")
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class EarlierVariables:
    """Trained variables of a network.

    Attributes:
      arrays: float32, by path such as `params/stem/Conv_0/kernel`.
    """

    arrays: Mapping[str, np.ndarray]

    @functools.cached_property
    def digest(self) -> str:
        """16 hexadecimal digits that follow from paths, shapes and values."""
        found = hashlib.sha256()
        for path, array in sorted(self.arrays.items()):
            found.update(f"{path} {array.shape} {array.dtype.str}\n".encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return found.hexdigest()[:16]

    def agreeing(self, variables: PyTree) -> tuple[str, ...]:
        """Returns the paths of variables that have the path and shape of an array of these."""
        return tuple(
            path for path, value in flat_variables(variables).items() if self._fits(path, value)
        )

    def into(self, variables: PyTree) -> PyTree:
        """Returns variables `params` and `batch_stats` with what agrees in place of their own."""
        flat = {
            path: self.arrays[path].astype(value.dtype) if self._fits(path, value) else value
            for path, value in flat_variables(variables).items()
        }
        return traverse_util.unflatten_dict(flat, sep="/")

    def _fits(self, path: str, value: Any) -> bool:
        return path in self.arrays and self.arrays[path].shape == np.shape(value)


def read_arrays(file: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads arrays by path from what `export` wrote.

    Raises:
      ModelError: the file is missing or damaged, or an array is not finite.
    """
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{file}: is damaged ({reason:.120}); export the network again."
        ) from error
    for name, array in arrays.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ModelError(f"{file}: {name!r:.80} holds values that are not finite numbers.")
    return arrays
