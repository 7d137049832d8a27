"""Data sets in a folder of image files.

`FOLDER/CLASS/FILE`, or `FOLDER/train|valid|test/CLASS/FILE` (`train` must be there; `val` and
`validation` also name the validation part). Classes are the folder names in sorted order.
Images are grey where all files are, else RGB. All are brought to the size that most files have
(of equally frequent sizes the first in the order of the files), or to what a recipe's `image_size`
makes of that, in one step by the rule of `resize.py`.
"""

import math
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from xfernas_jax.data.base import Split
from xfernas_jax.data.memory import check_memory
from xfernas_jax.data.resize import MOST_PIXELS, resize, shrunk_shape
from xfernas_jax.data.split import Part, as_digests, digest_image
from xfernas_jax.errors import DatasetError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
_PART_FOLDERS = {
    "train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test",
}  # fmt: skip
_GREY_MODES = ("1", "L", "LA")
_DEEP_MODES = ("I", "F")


def load_folder(path: str, image_size: int | None) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Reads the parts and class names of a folder of images.

    Args:
      path: the folder.
      image_size: images are shrunk to it as they are read; None leaves them.

    Raises:
      DatasetError: for a folder that is missing or breaks the rules above, or a file that is no
        readable image.
    """
    root = Path(path)
    if not os.path.isdir(path):
        raise DatasetError(f"{path}: there is no such folder; check the path.")
    try:
        files = {key: _class_files(folder) for key, folder in _part_folders(root).items()}
    except OSError as error:
        raise DatasetError(
            f"{error.filename}: the folder cannot be listed ({error.strerror}); check permissions."
        ) from error
    names = tuple(sorted(files["train"]))
    for key, classes in files.items():
        unknown = sorted(set(classes) - set(names))
        if unknown or not classes:
            raise DatasetError(
                f"{path}: every part holds folders named after the classes of train, with images "
                f"({', '.join(SUFFIXES)}). In {key}: {unknown[0] if unknown else 'no images'}."
            )
    every = [file for classes in files.values() for name in names for file in classes.get(name, [])]
    headers = [_read_header(file) for file in every]
    size = Counter(size for size, _ in headers).most_common(1)[0][0]
    mode = "L" if all(grey for _, grey in headers) else "RGB"
    shape = shrunk_shape(*size, image_size)
    num_bytes = len(every) * math.prod(shape) * (1 if mode == "L" else 3)
    check_memory(path, num_bytes, "give a smaller --set=data.image_size=...")
    return {key: _read_part(classes, names, shape, mode) for key, classes in files.items()}, names


def _part_folders(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in sorted(root.iterdir()):
        part = _PART_FOLDERS.get(folder.name)
        if part and folder.is_dir():
            if part in found:
                raise DatasetError(
                    f"{root}: {found[part].name} and {folder.name} both name the validation part; "
                    "keep one."
                )
            found[part] = folder
    return found if "train" in found else {"train": root}


def _class_files(folder: Path) -> dict[str, list[Path]]:
    classes = {
        child.name: sorted(file for file in child.iterdir() if file.suffix.lower() in SUFFIXES)
        for child in sorted(folder.iterdir())
        if child.is_dir() and not child.name.startswith(".")
    }
    return {name: files for name, files in classes.items() if files}


def _read_header(file: Path) -> tuple[tuple[int, int], bool]:
    """Returns (height, width) and whether the image is grey."""
    if not file.is_file():  # a named pipe would never answer
        raise _unreadable(file, ValueError("not a file"))
    try:
        with Image.open(file) as image:
            (width, height), mode = image.size, image.mode
    except Exception as error:  # damaged files fail in many ways
        raise _unreadable(file, error) from error
    if mode.startswith(_DEEP_MODES):
        raise DatasetError(
            f"{file}: images have 8 bits a channel. Got Pillow's mode {mode}; convert it."
        )
    if max(height, width) > MOST_PIXELS:
        raise DatasetError(
            f"{file}: images have at most {MOST_PIXELS:,} pixels a side. Got {width}x{height}; "
            "cut or shrink it."
        )
    return (height, width), mode in _GREY_MODES


def _read_part(
    classes: Mapping[str, list[Path]],
    names: tuple[str, ...],
    shape: tuple[int, int],
    mode: str,
) -> Part:
    labeled = [(file, label) for label, name in enumerate(names) for file in classes.get(name, [])]
    images = np.empty((len(labeled), *shape, 1 if mode == "L" else 3), np.uint8)
    digests, sizes = [], []
    for row, (file, _) in enumerate(labeled):
        image = _read_pixels(file, mode)
        digests.append(digest_image(image))
        sizes.append(image.shape[:2])
        images[row] = resize(image[None], *shape)[0]
    labels = np.array([label for _, label in labeled], np.int32)
    files = tuple(str(file) for file, _ in labeled)
    return Part(Split(images, labels), as_digests(digests), np.array(sizes, np.int32), files)


def read_image(file: Path, channels: int) -> np.ndarray:
    """Reads a picture as a network of 1 (grey) or 3 (RGB) channels takes it.

    Returns:
      `[H, W, channels]` uint8.

    Raises:
      DatasetError: the file is no readable image of 8 bits a channel.
    """
    _read_header(file)
    return _read_pixels(file, "L" if channels == 1 else "RGB")


def image_files(folder: Path) -> tuple[list[Path], int]:
    """Returns all pictures in a folder and in those within it, sorted, and how many other files.

    Hidden files and folders count for neither.
    """
    every = [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    images = [file for file in every if file.suffix.lower() in SUFFIXES]
    return images, len(every) - len(images)


def _read_pixels(file: Path, mode: str) -> np.ndarray:
    try:
        with Image.open(file) as image:
            if image.mode == "P":  # a palette may hold transparency, which RGB cannot
                image = image.convert("RGBA")
            pixels = np.asarray(image.convert(mode))
    except Exception as error:
        raise _unreadable(file, error) from error
    return pixels[..., None] if mode == "L" else pixels


def _unreadable(file: Path, error: Exception) -> DatasetError:
    reason = (str(error).splitlines() or ["no reason given"])[0]
    return DatasetError(f"{file}: is not a readable image ({reason}); repair or remove it.")
