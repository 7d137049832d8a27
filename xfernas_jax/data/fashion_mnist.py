"""Fashion-MNIST from Debian's package `dataset-fashion-mnist`, as a TFDS set of our own.

The stock TFDS builder downloads, and needs TensorFlow; this one reads the package's IDX files
and needs neither. This module imports TFDS, so it is imported only where it is used.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from xfernas_jax.data.split import Part
from xfernas_jax.data.tfds_source import (
    has_tensorflow,
    load_tfds,
    make_builder,
    quiet_tfds,
    read_builder,
    run_preparation,
    tfds_dir,
)
from xfernas_jax.errors import DatasetError

NAME = "fashion_mnist"
DEBIAN_DIR = "/usr/share/datasets/fashion-mnist"
CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_PREFIXES = {"train": "train", "test": "t10k"}


class DebianFashionMnist(tfds.core.GeneratorBasedBuilder):
    """Fashion-MNIST, 60,000 + 10,000 grey images of 28x28 in 10 classes.

    Source: Xiao et al. (2017), Fashion-MNIST; the class names are in its README.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Install Debian's package dataset-fashion-mnist."

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Tensor(shape=(28, 28, 1), dtype=np.uint8),
            "label": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        folder = Path(dl_manager.manual_dir)
        return {split: self._generate_examples(folder, split) for split in _PREFIXES}

    def _generate_examples(self, folder: Path, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        images, labels = read_pair(folder, split)
        for row, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield row, {"image": image[..., None], "label": int(label)}


@quiet_tfds()
def load_fashion_mnist(
    image_size: int | None, data_dir: str | None, source_dir: str = DEBIAN_DIR
) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Reads Fashion-MNIST; the first time it is prepared in TFDS's folder.

    Taken is, in this order: our prepared set, Debian's files, the stock set if it is prepared,
    the stock set by download if TensorFlow is installed.

    Raises:
      DatasetError: when there is none of these, or it is damaged.
    """
    folder = tfds_dir(data_dir)
    try:
        builder = DebianFashionMnist(data_dir=folder, file_format="array_record")
        prepared = builder.is_prepared()
    except Exception as error:  # a damaged or unreadable folder fails in many ways
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(
            f"{NAME}: {folder}/debian_fashion_mnist cannot be opened ({reason}); delete it, or "
            "name another folder by TFDS_DATA_DIR."
        ) from error
    if not prepared and Path(source_dir).is_dir():
        for split in _PREFIXES:
            read_pair(Path(source_dir), split)  # a clear message before TFDS starts
        config = tfds.download.DownloadConfig(manual_dir=source_dir)
        run_preparation(NAME, builder, config)
        builder = DebianFashionMnist(data_dir=folder, file_format="array_record")
        prepared = True
    if prepared:
        return read_builder(NAME, builder, image_size)
    if has_tensorflow() or make_builder(NAME, data_dir).is_prepared():
        return load_tfds(NAME, image_size, data_dir)
    raise DatasetError(
        f"{NAME}: is neither in {source_dir} nor prepared in {folder}; run `apt-get install "
        "dataset-fashion-mnist` (Debian, Ubuntu), or `make setup EXTRAS=tf` to download it."
    )


def read_pair(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads `[N, 28, 28]` images and `[N]` labels of "train" or "test", both uint8.

    Raises:
      DatasetError: for a file that is missing or damaged.
    """
    prefix = _PREFIXES[split]
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", 3)
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 1)
    if images.shape[1:] != (28, 28) or len(images) != len(labels) or labels.max(initial=0) > 9:
        raise DatasetError(
            f"{folder}: {prefix} holds 28x28 images with labels 0..9. Got shapes "
            f"{list(images.shape)} and {list(labels.shape)}, labels up to {labels.max(initial=0)}."
        )
    return images, labels


def read_idx(path: Path, rank: int) -> np.ndarray:
    """Reads a gzipped IDX file of unsigned bytes.

    Layout: two zero bytes, 8 for unsigned bytes, the rank, then each dimension as four
    big-endian bytes, then the values in C order.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{path}: is not a readable gzip file ({error}); reinstall dataset-fashion-mnist."
        ) from error
    start = 4 + 4 * rank
    if len(content) < start or content[:4] != bytes((0, 0, 8, rank)):
        raise DatasetError(f"{path}: is not an IDX file of rank {rank} with unsigned bytes.")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", rank, offset=4))
    if len(content) - start != int(np.prod(shape)):
        raise DatasetError(
            f"{path}: its header promises {int(np.prod(shape))} bytes for shape {list(shape)}, "
            f"{len(content) - start} follow."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
