"""An image data set, and how a recipe wants it."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np

from xfernas_jax.errors import DatasetError, RecipeError
from xfernas_jax.history.record import Task
from xfernas_jax.options import option
from xfernas_jax.types import ImageRows

Augment = Literal["none", "crop", "crop_flip", "flip"]
Standardize = Literal["dataset", "image"]


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
      images: `[N, H, W, C]` uint8, in memory or read when they are asked for (`lazy.py`).
      labels: `[N]` int32, class numbers from 0.
    """

    images: ImageRows
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != np.uint8:
            raise DatasetError(
                f"Images are a [N, H, W, C] uint8 array. Got {_describe(self.images)}; add the "
                "channel axis and scale to 0..255."
            )
        if self.labels.ndim != 1 or self.labels.dtype != np.int32:
            raise DatasetError(
                f"Labels are a [N] int32 array. Got {_describe(self.labels)}; use astype(np.int32)."
            )
        if len(self.images) != len(self.labels):
            raise DatasetError(
                f"Every image has one label. Got {len(self.images)} images and "
                f"{len(self.labels)} labels."
            )
        if 0 in self.images.shape:
            raise DatasetError(
                f"A part holds at least one image of at least one pixel. Got "
                f"{_describe(self.images)}."
            )

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True, eq=False)
class FoundPart:
    """One part as it was found, before a recipe takes some of it.

    Attributes:
      labels: `[N]` int32.
      sizes: `[N, 2]` int32, height and width of each image in its source.
      contents: `[N]` int32, equal for exact copies, across parts too; None where nobody looked.
      files: `[N]` paths of the images' files, or none.
    """

    labels: np.ndarray
    sizes: np.ndarray
    contents: np.ndarray | None
    files: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """A data set as it was found: what its facts are told from (`facts.py`).

    Attributes:
      name: of the set, without a digest of its content.
      parts: by name, `train` first.
      remarks: in words, what was read otherwise than one might expect.
    """

    name: str
    parts: Mapping[str, FoundPart]
    remarks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class ImageDataset:
    """A classification task with its three parts.

    Attributes:
      task: identity: name, split rule, number of classes.
      train: what weights are fitted to.
      valid: what architectures are compared on.
      test: read once, at the end.
      class_names: one for each class, in the order of the labels.
      found: the set before a recipe took some of it; None where it is a set of one's own.
    """

    task: Task
    train: Split
    valid: Split
    test: Split
    class_names: tuple[str, ...]
    found: Found | None = None

    def __post_init__(self) -> None:
        if self.task.num_classes is None:
            raise DatasetError(f"{self.task.dataset}: images have at least 2 classes.")
        if len(self.class_names) != self.task.num_classes:
            raise DatasetError(
                f"{self.task.dataset}: every class has one name. Got {len(self.class_names)} names "
                f"for {self.task.num_classes} classes."
            )
        for name, part in self.parts().items():
            if part.images.shape[1:] != self.train.images.shape[1:]:
                raise DatasetError(
                    f"{self.task.dataset}: all parts have one image shape. Got "
                    f"{part.images.shape[1:]} in {name}, {self.train.images.shape[1:]} in train."
                )
            low, high = int(part.labels.min()), int(part.labels.max())
            if low < 0 or high >= self.task.num_classes:
                raise DatasetError(
                    f"{self.task.dataset}: labels lie in 0..{self.task.num_classes - 1}. Got "
                    f"{low}..{high} in {name}."
                )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """`(H, W, C)` of every image."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    def parts(self) -> dict[str, Split]:
        """Returns the parts by name, `train` first."""
        return {"train": self.train, "valid": self.valid, "test": self.test}


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What a recipe asks of the data; none of it changes the task.

    Attributes:
      train_examples: at most so many training examples, a stratified draw; None for all.
      valid_examples: the same for the validation part. The test part is always whole.
      valid_in_train: whether the validation images are trained on too, for a last training whose
        architecture is chosen already; there is no validation accuracy then.
      image_size: images are shrunk until no side is longer; None leaves them (`resize.py`).
      augment: of training images. "flip" mirrors half of them left-right, "crop" pads and crops,
        "crop_flip" does both.
      crop_padding: pixels of padding on each side before a crop.
      cutout: side in pixels of the square that is erased; 0 erases nothing.
      cutout_probability: share of the images that it is erased in.
      test_flips: whether the logits of an image and of its mirror image are averaged wherever a
        network is evaluated, tested, exported or used.
      standardize: "dataset" uses channel statistics of the training part, "image" those of each
        image.
    """

    train_examples: int | None = None
    valid_examples: int | None = None
    valid_in_train: bool = option(False, later=True)
    image_size: int | None = None
    augment: Augment = "none"
    crop_padding: int = 4
    cutout: int = 0
    standardize: Standardize = "dataset"
    cutout_probability: float = option(1.0, later=True)
    test_flips: bool = option(False, later=True)

    def __post_init__(self) -> None:
        for name in ("train_examples", "valid_examples", "image_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise RecipeError(f"{name} is at least 1, or None for no limit. Got {value}.")
        for name in ("crop_padding", "cutout"):
            if getattr(self, name) < 0:
                raise RecipeError(f"{name} is a number of pixels. Got {getattr(self, name)}.")
        if not 0.0 < self.cutout_probability <= 1.0:
            raise RecipeError(
                f"cutout_probability lies in (0, 1]; cutout=0 erases nothing. Got "
                f"{self.cutout_probability}."
            )
        for name, kind in (("augment", Augment), ("standardize", Standardize)):
            value, known = getattr(self, name), get_args(kind)
            if value not in known:
                raise RecipeError(f"{name} is one of {', '.join(known)}. Got {value!r}.")


def _describe(array: ImageRows) -> str:
    return f"shape {list(array.shape)}, dtype {array.dtype}"
