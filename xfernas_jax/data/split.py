"""Which example belongs to which part.

The rule: a part that is given stays as it is. A missing validation part is a tenth of the
training part. A missing test part is a fifth of the training part, and then a validation part
that is missing as well is another fifth (60/20/20). Every draw is stratified by class, keeps
exact copies of an image together, and depends on the images and a fixed seed alone, not on
their order. A class of few images, as far as it has one for each part, is in each of them; one
that has fewer stays in the training part.
"""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from xfernas_jax.data.base import DataConfig, Found, FoundPart, ImageDataset, Split
from xfernas_jax.data.lazy import image_chunks, join_images, shrink_images, take_images
from xfernas_jax.errors import DatasetError
from xfernas_jax.history.record import Task
from xfernas_jax.types import ImageRows

SPLIT_SEED = 0
SUBSET_SEED = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Examples as a source delivers them.

    Attributes:
      split: images and labels.
      digests: `[N]` 16-byte digests of the images before any resizing; equal for exact copies.
      sizes: `[N, 2]` int32, height and width of the images before any resizing.
      files: `[N]` names of the images' files, or none.
    """

    split: Split
    digests: np.ndarray
    sizes: np.ndarray
    files: tuple[str, ...] = ()

    def take(self, indices: np.ndarray) -> "Part":
        """Returns the examples at `indices`, in that order."""
        images = take_images(self.split.images, indices)
        split = Split(images, self.split.labels[indices])
        files = tuple(self.files[i] for i in indices) if self.files else ()
        return Part(split, self.digests[indices], self.sizes[indices], files)


def digest_image(image: np.ndarray) -> bytes:
    """Returns 16 bytes that tell the shape and pixels of one image."""
    head = repr((image.shape, image.dtype.str)).encode()
    return hashlib.blake2b(head + image.tobytes(), digest_size=16).digest()


def as_digests(digests: Sequence[bytes]) -> np.ndarray:
    """Packs 16-byte digests into a `[N]` array that NumPy can sort and compare."""
    return np.array([value.hex() for value in digests], dtype="U32")


def make_part(images: ImageRows, labels: np.ndarray) -> Part:
    """Makes a part of `[N, H, W, C]` uint8 images and `[N]` int32 labels."""
    digests = [digest_image(image) for chunk in image_chunks(images) for image in chunk]
    return Part(Split(images, labels), as_digests(digests), same_sizes(images))


def same_sizes(images: ImageRows) -> np.ndarray:
    """Returns the `[N, 2]` sizes of images `[N, H, W, C]` that nobody resized."""
    return np.broadcast_to(np.array(images.shape[1:3], np.int32), (len(images), 2))


def draw(
    part: Part, count: int, seed: int, *, keep_copies: bool, num_others: int = 0
) -> tuple[np.ndarray, bool]:
    """Draws about `count` examples, stratified by class.

    A class gets its share of `count` by largest remainders, but one example where it has enough for
    the other parts too, at the cost of the largest shares. With `keep_copies` a group of exact
    copies (classed by its lowest label) is taken whole or not at all and counts as one of these, so
    that a class may fall short of its share.

    Args:
      part: what is drawn from.
      count: at most `len(part)`.
      seed: of the draw.
      keep_copies: whether copies stay together.
      num_others: parts that are made of the rest. Where there are any, each class leaves something.

    Returns:
      `[N]` bool, True for what is drawn, and whether a rare class made shares other than those in
      proportion. The order of the examples does not matter.
    """
    labels = part.split.labels
    singles = np.lexsort((labels, part.digests))[:, None]
    groups = _groups(part) if keep_copies else list(singles)
    classes = np.array([labels[group].min() for group in groups])
    of_groups = np.array([len(group) for group in groups])
    sizes = np.bincount(classes, weights=of_groups).astype(int)
    smallest = np.full(len(sizes), len(labels))
    np.minimum.at(smallest, classes, of_groups)
    least = np.where(np.bincount(classes) > num_others, smallest, 0)
    most = np.maximum(sizes - smallest, 0) if num_others else sizes
    shares = _largest_remainders(sizes, count)
    quotas = _between(shares, least, most)
    is_other = not np.array_equal(quotas, shares)
    chosen = np.zeros(len(labels), bool)
    for position in np.random.default_rng(seed).permutation(len(groups)):
        group, label = groups[position], classes[position]
        if len(group) <= quotas[label]:
            quotas[label] -= len(group)
            chosen[group] = True
    return chosen, is_other


def _groups(part: Part) -> list[np.ndarray]:
    """Returns the indices of exact copies, group by group, in the order of their digests."""
    order = np.argsort(part.digests, kind="stable")
    edges = np.flatnonzero(part.digests[order][1:] != part.digests[order][:-1]) + 1
    return np.split(order, edges)


def _largest_remainders(sizes: np.ndarray, count: int) -> np.ndarray:
    """Shares `count` among classes in proportion to `sizes`; ties go to the lower class."""
    exact = count * sizes / sizes.sum()
    quotas = np.floor(exact).astype(int)
    order = np.argsort(quotas - exact, kind="stable")
    quotas[order[: count - quotas.sum()]] += 1
    return quotas


def _between(quotas: np.ndarray, least: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Returns quotas within limits; what is added is taken from the largest, the first of equals.

    Their sum stays where the limits allow it.
    """
    wanted, found = quotas.sum(), np.clip(quotas, np.minimum(least, most), most)
    while found.sum() > wanted and (found > np.maximum(least, 1)).any():
        found[np.where(found > np.maximum(least, 1), found, -1).argmax()] -= 1
    return found


def complete_parts(name: str, parts: Mapping[str, Part]) -> tuple[dict[str, Part], str]:
    """Draws the parts that are missing.

    Args:
      name: of the data set, for messages.
      parts: "train" and whichever of "valid" and "test" are given.

    Returns:
      The three parts, and the rule in words.

    Raises:
      DatasetError: for too few distinct images.
    """
    whole = dict(parts)
    given = [key for key in ("train", "valid", "test") if key in parts]
    tenth = "test" in parts
    drawn, keeps_rare = [], False
    count = max(1, round(len(parts["train"].split) * (0.1 if tenth else 0.2)))
    for key in ("test", "valid"):
        if key in whole:
            continue
        others = 2 if key == "test" and "valid" not in whole else 1
        chosen, is_other = draw(
            whole["train"], count, SPLIT_SEED, keep_copies=True, num_others=others
        )
        keeps_rare |= is_other
        if not chosen.any():
            raise DatasetError(
                f"{name}: too few distinct images to draw a {key} part from "
                f"{len(parts['train'].split)} training images: every class needs one of its own to "
                "train on; give more, or give that part."
            )
        whole[key] = whole["train"].take(np.flatnonzero(chosen))
        whole["train"] = whole["train"].take(np.flatnonzero(~chosen))
        drawn.append(key)
    if not drawn:
        return whole, "train/valid/test as given"
    share = "10 %" if tenth else "20 %"
    # Other splits need other words: what was recorded under these must stay true.
    rare = "rare classes in each part, " if keeps_rare else ""
    rule = f"stratified, {rare}copies together, seed {SPLIT_SEED}"
    if len(drawn) == 2:
        return whole, f"60/20/20 train/valid/test, {rule}"
    return whole, f"{'/'.join(given)} as given; {share} of train for {drawn[0]}, {rule}"


def build_dataset(
    name: str,
    parts: Mapping[str, Part],
    class_names: Sequence[str],
    remarks: Sequence[str] = (),
    *,
    by_content: bool = False,
) -> ImageDataset:
    """Makes a data set of what a source delivers.

    Args:
      name: of the data set.
      parts: "train" and whichever of "valid" and "test" are given.
      class_names: in the order of the labels.
      remarks: in words, what was read otherwise than one might expect.
      by_content: whether the task's name gets a digest of the content, for sets named by a path.

    Raises:
      DatasetError: for labels, shapes or counts that do not fit.
    """
    if len(class_names) < 2:
        raise DatasetError(f"{name}: there are at least 2 classes. Got {len(class_names)}.")
    plain_name = name
    if by_content:
        name = f"{name}-{_content_digest(parts, class_names)}"
    whole, rule = complete_parts(name, parts)
    train, valid, test = (whole[key].split for key in ("train", "valid", "test"))
    task = Task(name, rule, len(class_names))
    found = Found(plain_name, _found_parts(whole), tuple(remarks))
    return ImageDataset(task, train, valid, test, tuple(class_names), found)


def with_found(dataset: ImageDataset) -> ImageDataset:
    """Looks at a set that no source of ours built; copies are sought where images are in memory."""
    if dataset.found is not None:
        return dataset
    parts = dataset.parts()
    if all(type(part.images) is np.ndarray for part in parts.values()):
        whole = {key: make_part(part.images, part.labels) for key, part in parts.items()}
        found = _found_parts(whole)
    else:
        found = {
            key: FoundPart(part.labels, same_sizes(part.images), None)
            for key, part in parts.items()
        }
    return dataclasses.replace(dataset, found=Found(dataset.task.dataset, found))


def _found_parts(whole: Mapping[str, Part]) -> dict[str, FoundPart]:
    keys = ("train", "valid", "test")
    _, contents = np.unique(
        np.concatenate([whole[key].digests for key in keys]), return_inverse=True
    )
    ends = np.cumsum([len(whole[key].digests) for key in keys])[:-1]
    return {
        key: FoundPart(whole[key].split.labels, whole[key].sizes, own, whole[key].files)
        for key, own in zip(keys, np.split(contents.astype(np.int32), ends), strict=True)
    }


def path_stem(path: str) -> str:
    """Returns the last piece of a path without suffix, as letters, digits, `_`, `.` and `-`."""
    last = re.split(r"[/\\]", path.rstrip("/\\"))[-1]
    return re.sub(r"[^\w.-]+", "_", last.removesuffix(".npz"), flags=re.ASCII) or "images"


def _content_digest(parts: Mapping[str, Part], class_names: Sequence[str]) -> str:
    content = hashlib.sha256(repr(tuple(class_names)).encode())
    for key in sorted(parts):
        content.update(key.encode())
        content.update("".join(parts[key].digests).encode())
        content.update(parts[key].split.labels.astype("<i4").tobytes())
    return content.hexdigest()[:8]


def apply_config(dataset: ImageDataset, config: DataConfig) -> ImageDataset:
    """Subsamples and shrinks a data set as a recipe asks; the task stays the same.

    With `valid_in_train` the validation images are at the end of the training part, and stay the
    validation part.
    """
    limits = {"train": config.train_examples, "valid": config.valid_examples, "test": None}
    parts = {}
    for key, split in dataset.parts().items():
        limit = limits[key]
        if limit is not None and limit < len(split):
            part = make_part(split.images, split.labels)
            chosen, _ = draw(part, limit, SUBSET_SEED, keep_copies=False)
            split = part.take(np.flatnonzero(chosen)).split
        parts[key] = Split(shrink_images(split.images, config.image_size), split.labels)
    if config.valid_in_train:
        train, valid = parts["train"], parts["valid"]
        labels = np.concatenate([train.labels, valid.labels])
        parts["train"] = Split(join_images(train.images, valid.images), labels)
    return dataclasses.replace(dataset, **parts)
