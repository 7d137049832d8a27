"""Data sets in a folder of image files.

`FOLDER/CLASS/...`, or `FOLDER/train|valid|test/CLASS/...`, where upper and lower case are alike,
`train` must be there, `training` and `testing` are the same, and `val`, `validation` and `dev` also
name the validation part. All pictures below a class's folder are its own, however deep. Classes are
the folder names in sorted order. A folder that holds nothing but one folder stands for that one.

Images are grey where all files are, else RGB. All are brought to the size that most files have
(of equally frequent sizes the first in the order of the files), or to what a recipe's `image_size`
makes of that, in one step by the rule of `resize.py`. How pixels are read: `pictures.py`.
"""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from xfernas_jax.data.base import Split
from xfernas_jax.data.memory import check_memory
from xfernas_jax.data.pictures import (
    SUFFIXES,
    Header,
    Mode,
    find_pictures,
    is_of_system,
    read_header,
    read_pixels,
    some,
)
from xfernas_jax.data.resize import resize, shrunk_shape
from xfernas_jax.data.split import Part, as_digests, digest_image
from xfernas_jax.errors import DatasetError

_PART_FOLDERS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "valid"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_TITLES = {"train": "training", "valid": "validation", "test": "test"}


def load_folder(
    path: str, image_size: int | None
) -> tuple[dict[str, Part], tuple[str, ...], tuple[str, ...]]:
    """Reads a folder of images.

    Args:
      path: the folder; `~` is one's home.
      image_size: images are shrunk to it as they are read; None leaves them.

    Returns:
      The parts, the class names, and in words what is not as one might expect.

    Raises:
      DatasetError: for a folder that is missing or breaks the rules above, or a file that is no
        readable image.
    """
    root = Path(path).expanduser()
    if not path or not os.path.isdir(root):
        raise DatasetError(f"{path}: there is no such folder; check the path.")
    remarks: list[str] = []
    try:
        root = _innermost(root, remarks)
        folders = _part_folders(root)
        files = {key: _class_files(folder, remarks) for key, folder in folders.items()}
    except OSError as error:
        raise DatasetError(
            f"{error.filename}: the folder cannot be listed ({error.strerror}); check permissions."
        ) from error
    names = tuple(sorted(files["train"]))
    _check_classes(path, files, names)
    every = [file for classes in files.values() for name in names for file in classes.get(name, [])]
    headers = [read_header(file) for file in every]
    remarks += _of_pictures(headers)
    size = Counter(header.size for header in headers).most_common(1)[0][0]
    mode: Mode = "L" if all(header.is_grey for header in headers) else "RGB"
    shape = shrunk_shape(*size, image_size)
    num_bytes = len(every) * math.prod(shape) * (1 if mode == "L" else 3)
    check_memory(path, num_bytes, "give a smaller --set=data.image_size=...")
    parts = {key: _read_part(classes, names, shape, mode) for key, classes in files.items()}
    return parts, names, tuple(remarks)


def _innermost(root: Path, remarks: list[str]) -> Path:
    """Returns the folder that holds more than one folder, such as below an unpacked archive's."""
    found = root
    while True:
        children = [child for child in found.iterdir() if not is_of_system(child.name)]
        if len(children) != 1 or not children[0].is_dir() or not _subfolders(children[0]):
            break
        if children[0].name.lower() in _PART_FOLDERS:
            break
        found = children[0]
    if found != root:
        remarks.append(f"read from {found.relative_to(root)} within the folder")
    return found


def _part_folders(root: Path) -> dict[str, Path]:
    """Returns the folders of the parts; the whole is the training part where there are none."""
    found: dict[str, Path] = {}
    for folder in _subfolders(root):
        part = _PART_FOLDERS.get(folder.name.lower())
        if part is None:
            continue
        if part in found:
            raise DatasetError(
                f"{root}: {found[part].name} and {folder.name} both name the {_TITLES[part]} "
                "part; keep one."
            )
        found[part] = folder
    # Classes may be called so too: their folders hold pictures, those of parts hold folders.
    if "train" not in found or not _subfolders(found["train"]):
        return {"train": root}
    for folder in _subfolders(root):
        if folder not in found.values() and find_pictures(folder)[0]:
            raise DatasetError(
                f"{root}: beside {found['train'].name} stands {folder.name}, which names no part "
                "and holds pictures. Parts are train, valid (or val, validation, dev) and test; "
                "rename it, or move it away."
            )
    return found


def _subfolders(folder: Path) -> list[Path]:
    return [
        child
        for child in sorted(folder.iterdir())
        if child.is_dir() and not is_of_system(child.name)
    ]


def _class_files(folder: Path, remarks: list[str]) -> dict[str, list[Path]]:
    """Returns the pictures of each class; what else lies there becomes a remark."""
    classes, others = {}, []
    for child in _subfolders(folder):
        pictures, rest = find_pictures(child)
        others += rest
        if pictures:
            classes[child.name] = pictures
        else:
            remarks.append(f"no pictures in {folder.name}/{child.name}, so it is no class")
    loose = [
        file
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in SUFFIXES and file.is_file()
    ]
    loose = [file for file in loose if not is_of_system(file.name)]
    if loose:
        remarks.append(f"{len(loose):,} pictures in no class's folder are left out ({some(loose)})")
    if others:
        remarks.append(f"{len(others):,} files are no pictures ({some(others)})")
    return classes


def _check_classes(
    path: str, files: Mapping[str, Mapping[str, Sequence[Path]]], names: Sequence[str]
) -> None:
    for key, classes in files.items():
        unknown = sorted(set(classes) - set(names))
        if unknown or not classes:
            raise DatasetError(
                f"{path}: every part holds folders named after the classes of train, with images "
                f"(PNG, JPEG, ...). In {key}: {unknown[0] if unknown else 'no images'}."
            )


def _of_pictures(headers: Sequence[Header]) -> list[str]:
    """Says how pictures are read that are more than an array of pixels."""
    counts = {
        "pictures are turned as their EXIF says": sum(h.is_turned for h in headers),
        "pictures may be transparent; that is shown on white": sum(h.has_alpha for h in headers),
        "pictures have several frames, of which the first counts": sum(
            h.has_frames for h in headers
        ),
    }
    return [f"{count:,} {text}" for text, count in counts.items() if count]


def _read_part(
    classes: Mapping[str, list[Path]],
    names: tuple[str, ...],
    shape: tuple[int, int],
    mode: Mode,
) -> Part:
    labeled = [(file, label) for label, name in enumerate(names) for file in classes.get(name, [])]
    images = np.empty((len(labeled), *shape, 1 if mode == "L" else 3), np.uint8)
    digests, sizes = [], []
    for row, (file, _) in enumerate(labeled):
        image = read_pixels(file, mode)
        digests.append(digest_image(image))
        sizes.append(image.shape[:2])
        images[row] = resize(image[None], *shape)[0]
    labels = np.array([label for _, label in labeled], np.int32)
    files = tuple(str(file) for file, _ in labeled)
    return Part(Split(images, labels), as_digests(digests), np.array(sizes, np.int32), files)
