"""What was found in a data set, before anything is trained."""

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np

from xfernas_jax.data.base import FoundPart, ImageDataset
from xfernas_jax.data.lazy import LazyImages, image_chunks
from xfernas_jax.data.split import with_found
from xfernas_jax.errors import HistoryError
from xfernas_jax.history import fields
from xfernas_jax.history.record import TaskFacts

Colour = Literal["grey", "colour", "grey stored as colour", "other"]
_UNKNOWN_COPIES = "copies of images: images that are read when they are needed were not compared"
_UNKNOWN_COLOUR = "whether all images are grey: only the first of those in files were looked at"


@dataclasses.dataclass(frozen=True)
class PartFacts:
    """What was found in one part.

    Attributes:
      num_images: in it.
      missing: names of the classes that it has no image of.
      most_frequent: name of its largest class.
      majority_share: share of that class, what always naming it would score.
      num_copies: images that an earlier one of the same part equals to the last pixel; None where
        nobody looked.
      num_in_train: images that the training part holds too, 0 for itself; None as above.
    """

    num_images: int
    missing: tuple[str, ...]
    most_frequent: str
    majority_share: float
    num_copies: int | None
    num_in_train: int | None


@dataclasses.dataclass(frozen=True)
class SizeFacts:
    """Sizes (height, width) of all images in their source.

    Attributes:
      num_distinct: of them.
      most_frequent: of them.
      most_frequent_share: of the images.
      median: of the heights and of the widths, rounded down.
      smallest: by number of pixels.
      largest: by number of pixels.
    """

    num_distinct: int
    most_frequent: tuple[int, int]
    most_frequent_share: float
    median: tuple[int, int]
    smallest: tuple[int, int]
    largest: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class DataFacts:
    """What was found in a data set; the same whatever a recipe takes of it, but for `shape`.

    Attributes:
      name: of the set, without a digest.
      num_classes: of the task.
      parts: by name, `train` first.
      smallest_class: of the training part: name and number of images.
      largest_class: the same.
      sizes: in the source.
      shape: `(H, W, C)` as loaded.
      colour: what the channels hold; "other" for neither one nor three of them.
      num_contradicting: pictures that stand under two labels or more; None where nobody looked.
      left_out: in words, what nobody looked at and why.
      remarks: in words, what was read otherwise than one might expect.
    """

    name: str
    num_classes: int
    parts: Mapping[str, PartFacts]
    smallest_class: tuple[str, int]
    largest_class: tuple[str, int]
    sizes: SizeFacts
    shape: tuple[int, int, int]
    colour: Colour
    num_contradicting: int | None
    left_out: tuple[str, ...]
    remarks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns a JSON object of all of it."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, value: Any) -> "DataFacts":
        """Reads what `to_json` gave; `HistoryError` for anything else."""
        known = {"remarks": [], **value} if isinstance(value, dict) else value
        return cls(**fields.read(known, _FACTS, "facts", "a data set"))


def data_facts(dataset: ImageDataset) -> DataFacts:
    """Looks at a data set; images in memory are read for their colour alone, those in files barely.

    Args:
      dataset: as loaded.

    Returns:
      The facts; `left_out` names what would have meant to read a whole file again.
    """
    found = with_found(dataset).found
    assert found is not None
    train = found.parts["train"]
    counts = np.bincount(train.labels, minlength=len(dataset.class_names))
    low, high = int(counts.argmin()), int(counts.argmax())
    colour, is_sure = _colour(dataset)
    has_contents = train.contents is not None
    left_out = [] if is_sure else [_UNKNOWN_COLOUR]
    return DataFacts(
        name=found.name,
        num_classes=len(dataset.class_names),
        parts={
            key: _part_facts(part, train if key != "train" else None, dataset.class_names)
            for key, part in found.parts.items()
        },
        smallest_class=(dataset.class_names[low], int(counts[low])),
        largest_class=(dataset.class_names[high], int(counts[high])),
        sizes=_size_facts(np.concatenate([part.sizes for part in found.parts.values()])),
        shape=dataset.input_shape,
        colour=colour,
        num_contradicting=_contradicting(found.parts),
        left_out=tuple(left_out if has_contents else [*left_out, _UNKNOWN_COPIES]),
        remarks=found.remarks,
    )


def task_facts(dataset: ImageDataset) -> TaskFacts:
    """Returns what places a task among others; the same whatever a recipe takes of the set."""
    found = with_found(dataset).found
    assert found is not None
    train = found.parts["train"]
    counts = np.bincount(train.labels)
    height, width = np.median(train.sizes, axis=0)
    return TaskFacts(
        num_images=len(train.labels),
        num_classes=len(dataset.class_names),
        side=int(max(height, width)),
        is_colour=_colour(dataset)[0] == "colour",
        imbalance=float(counts.max() / counts[counts > 0].min()),
    )


def _part_facts(part: FoundPart, train: FoundPart | None, names: Sequence[str]) -> PartFacts:
    counts = np.bincount(part.labels, minlength=len(names))
    high = int(counts.argmax())
    copies = shared = None
    if part.contents is not None:
        copies = len(part.contents) - len(np.unique(part.contents))
        known = None if train is None else train.contents
        shared = 0 if known is None else int(np.isin(part.contents, known).sum())
    return PartFacts(
        num_images=len(part.labels),
        missing=tuple(names[i] for i in np.flatnonzero(counts == 0).tolist()),
        most_frequent=names[high],
        majority_share=float(counts[high] / len(part.labels)),
        num_copies=copies,
        num_in_train=shared,
    )


def _size_facts(sizes: np.ndarray) -> SizeFacts:
    counts = Counter(map(tuple, sizes.tolist()))
    frequent, count = counts.most_common(1)[0]
    ordered = sorted(counts, key=lambda size: (size[0] * size[1], size))
    height, width = np.median(sizes, axis=0)
    return SizeFacts(
        num_distinct=len(counts),
        most_frequent=frequent,
        most_frequent_share=count / len(sizes),
        median=(int(height), int(width)),
        smallest=ordered[0],
        largest=ordered[-1],
    )


def _contradicting(parts: Mapping[str, FoundPart]) -> int | None:
    """Counts pictures with more than one label."""
    contents = [part.contents for part in parts.values() if part.contents is not None]
    if len(contents) < len(parts):
        return None
    labels = [part.labels for part in parts.values()]
    pairs = np.unique(np.stack([np.concatenate(contents), np.concatenate(labels)]), axis=1)
    _, counts = np.unique(pairs[0], return_counts=True)
    return int((counts > 1).sum())


def _colour(dataset: ImageDataset) -> tuple[Colour, bool]:
    """Returns what the channels hold, and whether all images were looked at as far as needed."""
    channels = dataset.input_shape[2]
    if channels != 3:
        return ("grey" if channels == 1 else "other"), True
    for part in dataset.parts().values():
        for chunk in image_chunks(part.images):
            if (chunk != chunk[..., :1]).any():
                return "colour", True
            if isinstance(part.images, LazyImages):
                return "colour", False
    return "grey stored as colour", True


def _several(reader: fields.Reader, count: int | None = None) -> fields.Reader:
    """Returns the reader of a list, of `count` items where that is given."""

    def read_all(value: Any, field: str, where: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or count not in (None, len(value)):
            raise HistoryError(f"{where}: {field} is a list. Got {value!r:.60}.")
        return tuple(reader(item, field, where) for item in value)

    return read_all


def _class(value: Any, field: str, where: str) -> tuple[str, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise HistoryError(f"{where}: {field} is a name and a number. Got {value!r:.60}.")
    return fields.string(value[0], field, where), fields.integer(value[1], field, where)


_PART: Mapping[str, fields.Reader] = {
    "num_images": fields.integer,
    "missing": _several(fields.string),
    "most_frequent": fields.string,
    "majority_share": fields.number,
    **dict.fromkeys(("num_copies", "num_in_train"), fields.optional(fields.integer)),
}
_SIZES: Mapping[str, fields.Reader] = {
    "num_distinct": fields.integer,
    "most_frequent_share": fields.number,
    **dict.fromkeys(
        ("most_frequent", "median", "smallest", "largest"), _several(fields.integer, 2)
    ),
}
_PARTS: Mapping[str, fields.Reader] = dict.fromkeys(
    ("train", "valid", "test"),
    lambda value, what, where: PartFacts(**fields.read(value, _PART, where, what)),
)
_FACTS: Mapping[str, fields.Reader] = {
    "name": fields.string,
    "num_classes": fields.integer,
    "parts": lambda value, what, where: fields.read(value, _PARTS, where, what),
    **dict.fromkeys(("smallest_class", "largest_class"), _class),
    "sizes": lambda value, what, where: SizeFacts(**fields.read(value, _SIZES, where, what)),
    "shape": _several(fields.integer, 3),
    "colour": fields.one_of(*get_args(Colour)),
    "num_contradicting": fields.optional(fields.integer),
    **dict.fromkeys(("left_out", "remarks"), _several(fields.string)),
}
