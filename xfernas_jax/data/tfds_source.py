"""Data sets of TensorFlow Datasets (TFDS), read without TensorFlow where they allow it.

A set that is prepared in the array_record format needs no TensorFlow. Preparing one of TFDS's
own sets does, and so does reading the TFRecord format.
"""

import contextlib
import importlib.util
import itertools
import math
import os
import re
import socket
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from absl import logging

from xfernas_jax.data.base import Split
from xfernas_jax.data.lazy import LAZY_BYTES, LazyImages
from xfernas_jax.data.resize import resize, shrink
from xfernas_jax.data.split import Part, as_digests, digest_image
from xfernas_jax.errors import DatasetError, MissingExtraError

_CHUNK = 1024
_CONNECT_SECONDS = 5.0
_PART_SPLITS = {"train": ("train",), "valid": ("validation", "valid", "val"), "test": ("test",)}


def tfds_dir(data_dir: str | None) -> str:
    """Returns where prepared sets lie: the argument, else TFDS_DATA_DIR, else TFDS's default."""
    chosen = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return os.path.expanduser(chosen)


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """Keeps TFDS's messages off stdout, and its hints off stderr; progress bars stay."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        logging.set_verbosity(verbosity)


def has_tensorflow() -> bool:
    """Says whether TensorFlow is installed, without importing it."""
    return importlib.util.find_spec("tensorflow") is not None


def parse_first(name: str) -> tuple[str, int | None]:
    """Splits `cifar10[:500]` into the name of the set and the number; None without one."""
    found = re.fullmatch(r"(.+)\[:([1-9]\d{0,11})\]", name, re.ASCII)
    return (found[1], int(found[2])) if found else (name, None)


@quiet_tfds()
def load_tfds(
    name: str, image_size: int | None, data_dir: str | None, first: int | None = None
) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Reads a set by its TFDS name, prepared first where need be.

    Args:
      name: that TFDS knows.
      image_size: see `DataConfig`.
      data_dir: see `tfds_dir`.
      first: examples of the training split that are read; None means all.

    Raises:
      DatasetError: for a name that TFDS does not know, a set that is no image classification or
        has no training part, or one that cannot be prepared or read.
      MissingExtraError: when TensorFlow is needed and not installed.
    """
    builder = make_builder(name, data_dir)
    if not builder.is_prepared():
        _prepare(name, builder, data_dir)
        builder = make_builder(name, data_dir)
    return read_builder(name, builder, image_size, first=first)


def make_builder(name: str, data_dir: str | None, **options: Any) -> Any:
    """Makes the TFDS builder of a set; see `load_tfds` for what it raises."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.registered import DatasetNotFoundError

    try:
        return tfds.builder(name, data_dir=tfds_dir(data_dir), **options)
    except DatasetNotFoundError:
        raise DatasetError(f"{name}: TFDS knows no such set.") from None
    except ImportError as error:
        raise _missing(name, error) from error
    except Exception as error:  # TFDS raises many kinds: bad names, configs, versions, files
        raise DatasetError(f"{name}: TFDS cannot open it ({_first_line(error)}).") from error


def known_tfds_names() -> list[str]:
    """Lists TFDS's own sets, without asking the network for others."""
    import tensorflow_datasets as tfds

    return tfds.list_builders(with_community_datasets=False)


def _prepare(name: str, builder: Any, data_dir: str | None) -> None:
    if not has_tensorflow():
        raise MissingExtraError(
            f"{name}: is not prepared in {tfds_dir(data_dir)}, and TFDS needs TensorFlow to do "
            "that; run `make setup EXTRAS=tf`, or name the folder where it lies by TFDS_DATA_DIR."
        )
    _check_reachable(name, builder)
    run_preparation(name, make_builder(name, data_dir, file_format="array_record"))


def run_preparation(name: str, builder: Any, download_config: Any = None) -> None:
    """Downloads and prepares; another process may be doing the same.

    Raises:
      DatasetError: when it fails.
      MissingExtraError: when it needs a package that is not installed.
    """
    try:
        builder.download_and_prepare(download_config=download_config)
    except DatasetError:
        raise
    except ImportError as error:
        raise _missing(name, error) from error
    except Exception as error:  # network, disk, checksum, manual downloads, third-party code
        if builder.is_prepared():
            return
        raise DatasetError(
            f"{name}: TFDS cannot prepare it in {builder.data_dir} ({_first_line(error)})."
        ) from error


def _check_reachable(name: str, builder: Any) -> None:
    """Refuses at once what TFDS would retry for minutes: a download without a network."""
    hosts = sorted({urlsplit(url).hostname or "" for url in getattr(builder, "url_infos", {})})
    if not hosts or urllib.request.getproxies():
        return
    try:
        socket.create_connection((hosts[0], 443), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise DatasetError(
            f"{name}: is not prepared in {builder.data_dir}, and {hosts[0]} cannot be reached to "
            f"download it ({_first_line(error)}); prepare it where there is a network, and name "
            "the folder by TFDS_DATA_DIR."
        ) from error


class _Records:
    """Images of one split, read and decoded by row: a source of `LazyImages`."""

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, source: Any, image_key: str, shape: tuple[int, ...]) -> None:
        self._source, self._key = source, image_key
        self.shape = (len(source), *shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        examples = self._source.__getitems__(rows.tolist())
        return np.stack([np.asarray(example[self._key]) for example in examples])


def read_builder(
    name: str,
    builder: Any,
    image_size: int | None,
    lazy_bytes: int = LAZY_BYTES,
    first: int | None = None,
) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Reads the parts and class names of a prepared set; see `load_tfds` for what it raises.

    A split of images of one size that would take at least `lazy_bytes` is read once here, for its
    labels and digests; its images stay where they are, in a format with random access.
    """
    image_key, label_key, class_names = _keys(name, builder.info)
    parts = {}
    for key, whole in _splits(name, builder.info.splits).items():
        is_cut = first is not None and key == "train"
        is_cut = is_cut and first < builder.info.splits[whole].num_examples
        split = f"{whole}[:{first}]" if is_cut else whole
        labels, images, digests, sizes = [], [], [], []
        shape = builder.info.features[image_key].shape
        large = None not in shape and (
            math.prod(shape) * builder.info.splits[split].num_examples >= lazy_bytes
        )
        lazy = large and _has_random_access(builder)
        for chunk in _examples(name, builder, split):
            labels.extend(int(example[label_key]) for example in chunk)
            chunk_images = [np.asarray(example[image_key]) for example in chunk]
            digests.extend(digest_image(image) for image in chunk_images)
            sizes.extend(image.shape[:2] for image in chunk_images)
            if not lazy:
                images.append(_fit(name, chunk_images, shape, image_size))
        if key != "train" and labels and max(labels) < 0:
            continue  # TFDS marks a part whose labels are not published by -1
        if not labels:
            raise DatasetError(f"{name}: its split {split} is empty.")
        if lazy:
            records = _Records(builder.as_data_source(split=split), image_key, shape)
            found = LazyImages(records, image_size=image_size)
        else:
            found = np.concatenate(images)
        examples = Split(found, np.array(labels, np.int32))
        parts[key] = Part(examples, as_digests(digests), np.array(sizes, np.int32))
    return parts, class_names


def _keys(name: str, info: Any) -> tuple[str, str, tuple[str, ...]]:
    """Returns the names of the image and label features, and the class names."""
    import tensorflow_datasets as tfds

    keys = info.supervised_keys
    if keys and len(keys) == 2 and all(isinstance(key, str) for key in keys):
        image: Any = info.features[keys[0]]
        label = info.features[keys[1]]
        pixels = type(image) in (tfds.features.Image, tfds.features.Tensor)
        rank = len(image.shape) if pixels else 0
        classes = isinstance(label, tfds.features.ClassLabel) and label.num_classes
        if pixels and classes and image.np_dtype == np.uint8 and rank == 3:
            return *keys, tuple(map(str, label.names))
    raise DatasetError(
        f"{name}: is not an image-classification set of TFDS (8-bit images with one class label "
        "each); choose another."
    )


def _splits(name: str, splits: Mapping[str, Any]) -> dict[str, str]:
    """Returns the TFDS split of each part; a single split of any name is all the data."""
    if len(splits) == 1:
        return {"train": next(iter(splits))}
    found = {
        part: next(split for split in known if split in splits)
        for part, known in _PART_SPLITS.items()
        if any(split in splits for split in known)
    }
    if "train" not in found:
        raise DatasetError(
            f"{name}: has a split named train. Got {', '.join(splits) or 'no splits'}; choose "
            "another set or configuration."
        )
    return found


def _has_random_access(builder: Any) -> bool:
    from tensorflow_datasets.core.file_adapters import FileFormat

    return builder.info.file_format in (FileFormat.ARRAY_RECORD, FileFormat.PARQUET)


def _examples(name: str, builder: Any, split: str) -> Iterator[list[Mapping[str, Any]]]:
    """Yields the examples of a split in chunks."""
    random_access = _has_random_access(builder)
    if not random_access and not has_tensorflow():
        raise MissingExtraError(
            f"{name}: is prepared in TFRecord format in {builder.data_dir}, and reading that needs "
            "TensorFlow; run `make setup EXTRAS=tf`, or prepare it with file_format=array_record."
        )
    try:
        if random_access:
            source = builder.as_data_source(split=split)
            for start in range(0, len(source), _CHUNK):
                yield source.__getitems__(range(start, min(start + _CHUNK, len(source))))
            return
        import tensorflow_datasets as tfds

        examples = iter(tfds.as_numpy(builder.as_dataset(split=split, shuffle_files=False)))
        while chunk := list(itertools.islice(examples, _CHUNK)):
            yield chunk
    except Exception as error:  # damaged files fail in many ways
        raise DatasetError(
            f"{name}: split {split} in {builder.data_dir} cannot be read ({_first_line(error)}); "
            "delete that folder to prepare it anew."
        ) from error


def _fit(
    name: str, images: list[np.ndarray], shape: tuple[int | None, ...], image_size: int | None
) -> np.ndarray:
    """Stacks images; where the set has no one size, each becomes a square of `image_size`."""
    if None not in shape:
        return shrink(np.stack(images), image_size)
    if image_size is None:
        raise DatasetError(
            f"{name}: its images differ in size, so the recipe has to give one; set image_size."
        )
    return np.concatenate([resize(image[None], image_size, image_size) for image in images])


def _missing(name: str, error: ImportError) -> MissingExtraError:
    named = re.search(r"No module named '(\w+)", str(error))
    package = named[1] if named else (error.name or "another package").split(".")[0]
    way = "`make setup EXTRAS=tf`" if package == "tensorflow" else f"`pip install {package}`"
    return MissingExtraError(
        f"{name}: TFDS needs {package} for it, which is not installed; run {way}."
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
