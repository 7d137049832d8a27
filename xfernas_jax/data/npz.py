"""Data sets in one `.npz` file.

Images are `x`, `X`, `images`, `image`, `imgs`, `img` or `data`, labels `y`, `labels`, `label`,
`targets` or `target`; alone, or with the name of a part before or after: `x_train`, `train_images`.
Parts are `train`, `valid` (or `val`, `validation`, `dev`) and `test`; arrays without a part are the
training part. Upper and lower case are alike. `class_names` is optional; without it every class
0..K-1 must occur. Whatever else the file holds is named and not used.

Images are `[N, H, W]`, `[N, H, W, C]`, or `[N, C, H, W]` where only that way C is 1 or 3: whole
numbers 0..255, or floating point 0..1. Nothing in the file is executed.

Images of 1 GiB and more stay in the file where it holds them as uint8, uncompressed as
`numpy.savez` writes them.
"""

import os
import struct
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from xfernas_jax.data.lazy import LAZY_BYTES, LazyImages
from xfernas_jax.data.memory import check_memory
from xfernas_jax.data.split import Part, make_part
from xfernas_jax.errors import DatasetError
from xfernas_jax.types import ImageRows

_PARTS = ("train", "valid", "test")
_KINDS = {
    **dict.fromkeys(("x", "images", "image", "imgs", "img", "data"), "image"),
    **dict.fromkeys(("y", "labels", "label", "targets", "target"), "label"),
}
_PART_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_CLASS_NAMES = "class_names"
_COLOURS = (1, 3)  # channels of pictures

_MEMBER_HEAD = struct.Struct("<26xHH")  # of a zip file: lengths of the name and of what follows it


def load_npz(
    path: str, lazy_bytes: int = LAZY_BYTES
) -> tuple[dict[str, Part], tuple[str, ...], tuple[str, ...]]:
    """Reads an `.npz` file.

    Args:
      path: of the file; `~` is one's home.
      lazy_bytes: images of at least this size stay in the file.

    Returns:
      The parts, the class names, and in words what is not as one might expect.

    Raises:
      DatasetError: for a file that is missing, unreadable or breaks the rules above.
    """
    arrays = _read_arrays(os.path.expanduser(path), path, lazy_bytes)
    keys, others = _roles(path, arrays)
    remarks, parts = [], {}
    for part in _PARTS:
        x, y = keys.get(("image", part)), keys.get(("label", part))
        if (x is None) != (y is None) or (part == "train" and x is None):
            alone = f"; {x or y} stands alone" if x or y else ""
            raise DatasetError(
                f"{path}: has keys x_train and y_train (also x_valid, y_valid, x_test, y_test in "
                f"pairs), or x and y. Got {', '.join(sorted(arrays)) or 'none'}{alone}."
            )
        if x is None or y is None:
            continue
        images, labels = _images(arrays[x], path, x, remarks), _labels(arrays[y], path, y)
        if len(images) != len(labels) or not len(images):
            raise DatasetError(
                f"{path}: {x} and {y} hold the same number of examples, at least 1. Got "
                f"{len(images)} and {len(labels)}."
            )
        parts[part] = make_part(images, labels)
    if others:
        remarks.append(f"not used of the file: {', '.join(others):.200}")
    names = _class_names(path, arrays, [part.split.labels for part in parts.values()])
    return parts, names, tuple(remarks)


def _roles(
    path: str, arrays: Mapping[str, np.ndarray]
) -> tuple[dict[tuple[str, str], str], list[str]]:
    """Returns the key of each (kind, part), and the keys that are none."""
    found: dict[tuple[str, str], str] = {}
    others = []
    for key in arrays:
        if key == _CLASS_NAMES:
            continue
        role = _role(key)
        if role is None:
            others.append(key)
            continue
        if role in found:
            kind, part = role
            raise DatasetError(
                f"{path}: {found[role]} and {key} both name the {kind}s of the part {part}; keep "
                "one."
            )
        found[role] = key
    return found, others


def _role(key: str) -> tuple[str, str] | None:
    """Returns (kind, part) of a key such as `x_train` or `train_images`; None where it is none."""
    words = key.lower().split("_")
    if len(words) == 1:
        words.append("train")
    for kind, part in (words, words[::-1]) if len(words) == 2 else ():
        if kind in _KINDS and part in _PART_WORDS:
            return _KINDS[kind], _PART_WORDS[part]
    return None


def _read_arrays(path: str, shown: str, lazy_bytes: int) -> dict[str, np.ndarray]:
    if not os.path.isfile(path):
        raise DatasetError(f"{shown}: there is no such file; check the path.")
    try:
        with zipfile.ZipFile(path) as members:
            sizes = {
                member.filename.removesuffix(".npy"): member.file_size
                for member in members.infolist()
            }
            mapped = {
                member.filename.removesuffix(".npy"): _map_member(path, member)
                for member in members.infolist()
                if member.file_size >= lazy_bytes and member.compress_type == zipfile.ZIP_STORED
            }
        mapped = {key: array for key, array in mapped.items() if array is not None}
        held = sum(size for key, size in sizes.items() if key not in mapped)  # at most, read or not
        check_memory(path, held, "write it by numpy.savez, images as uint8: they stay in the file")
        with np.load(path, allow_pickle=False) as archive:
            return {
                key: mapped[key] if key in mapped else _plain(archive[key], key)
                for key in archive.files
            }
    except DatasetError:
        raise
    except Exception as error:  # damaged files fail in many ways
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DatasetError(
            f"{path}: is not a whole .npz file of plain arrays ({reason:.200}); write it with "
            "numpy.savez, without object arrays."
        ) from error


def _plain(value: object, key: str) -> np.ndarray:
    """Returns an array; NumPy gives the bytes of a member that is none."""
    if not isinstance(value, np.ndarray):
        raise ValueError(f"{key} is no array")
    return value


def _map_member(path: str, member: zipfile.ZipInfo) -> np.memmap | None:
    """Maps an array of uint8 in a stored member of the file; None for another kind."""
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        file.seek(sum(_MEMBER_HEAD.unpack(file.read(_MEMBER_HEAD.size))), 1)
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            return None
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if fortran or dtype != np.uint8:
            return None
        return np.memmap(path, dtype, "r", file.tell(), shape)


def _images(array: np.ndarray, path: str, key: str, remarks: list[str]) -> ImageRows:
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[1] in _COLOURS and array.shape[3] not in _COLOURS:
        remarks.append(f"{key} is read as [N, C, H, W], with {array.shape[1]} channels first")
        array = _channels_last(array)
    if array.ndim != 4 or array.dtype.kind not in "uif" or not array.size:
        raise DatasetError(
            f"{path}: {key} is [N, H, W], [N, H, W, C] or [N, C, H, W], numbers. Got shape "
            f"{list(array.shape)}, dtype {array.dtype}."
        )
    if isinstance(array, np.memmap):  # all bytes are in range
        return LazyImages(array)
    top = 1 if array.dtype.kind == "f" else 255
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= top):  # also for NaN
        raise DatasetError(
            f"{path}: {key} holds whole numbers 0..255 or floating point 0..1. Got {array.dtype} "
            f"from {low} to {high}; rescale it."
        )
    if array.dtype.kind == "f":
        array = np.round(array * 255)
    return np.ascontiguousarray(array.astype(np.uint8))


def _channels_last(array: np.ndarray) -> np.ndarray:
    """Returns `[N, C, H, W]` as `[N, H, W, C]`; images that stay in a file stay there."""
    if array.shape[1] == 1:
        return array[:, 0, :, :, None]
    return array.transpose(0, 2, 3, 1)


def _labels(array: np.ndarray, path: str, key: str) -> np.ndarray:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or array.dtype.kind not in "ui":
        raise DatasetError(
            f"{path}: {key} is [N], whole class numbers from 0. Got shape {list(array.shape)}, "
            f"dtype {array.dtype}."
        )
    if array.size and not 0 <= int(array.min()) <= int(array.max()) < 2**31:
        raise DatasetError(
            f"{path}: {key} holds class numbers from 0. Got {array.min()} to {array.max()}."
        )
    return array.astype(np.int32)


def _class_names(
    path: str, arrays: Mapping[str, np.ndarray], labels: Sequence[np.ndarray]
) -> tuple[str, ...]:
    present = np.unique(np.concatenate(labels))
    if "class_names" in arrays:
        names = arrays["class_names"]
        if (
            names.ndim != 1
            or names.dtype.kind not in "US"
            or not names.itemsize
            or len(names) <= present[-1]
        ):
            raise DatasetError(
                f"{path}: class_names is a [K] array of text, one for each label 0..K-1. Got shape "
                f"{list(names.shape)}, dtype {names.dtype}, for labels up to {present[-1]}."
            )
        names = names.tolist()
        return tuple(n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in names)
    if len(present) != present[-1] + 1:
        missing = int(np.flatnonzero(~np.isin(np.arange(len(present) + 1), present))[0])
        raise DatasetError(
            f"{path}: without class_names every class from 0 to {present[-1]} occurs. Class "
            f"{missing} does not; renumber the labels or add class_names."
        )
    return tuple(str(label) for label in range(len(present)))
