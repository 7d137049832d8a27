"""Picture files: which of the files in a folder are pictures, and their pixels.

Pixels are what a viewer shows: turned as EXIF says, and where a picture is transparent its ground
is white, or black where it would be one even white. Of several frames the first counts. Nothing in
a file is executed.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from xfernas_jax.data.resize import MOST_PIXELS
from xfernas_jax.errors import DatasetError

SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".ppm", ".pgm", ".pbm"),
    *(".tif", ".tiff", ".webp", ".jp2"),
)
"""Of files that are pictures whatever is in them; of others the content tells."""

_UNREADABLE = (".heic", ".heif", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".psd", ".svg")
_SYSTEM_FOLDERS = ("@eadir", "__macosx", "#recycle", "$recycle.bin", "lost+found")
_SYSTEM_FILES = ("thumbs.db", "desktop.ini")
_GREY_MODES = ("1", "L", "LA", "La")
_ALPHA_MODES = ("LA", "La", "PA", "RGBA", "RGBa")
_DEEP_MODES = ("I", "F")
_ORIENTATION, _SIDEWAYS = 0x0112, (5, 6, 7, 8)  # of EXIF; these exchange height and width

Mode = Literal["L", "RGB"]


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file says of its picture before the pixels are read.

    Attributes:
      size: (height, width), as it is shown.
      is_grey: whether it holds no colour.
      is_turned: whether EXIF says that it is shown otherwise than it is stored.
      has_alpha: whether parts may be transparent.
      has_frames: whether it has more than one.
    """

    size: tuple[int, int]
    is_grey: bool
    is_turned: bool
    has_alpha: bool
    has_frames: bool


def is_of_system(name: str) -> bool:
    """Tells whether a file or folder is hidden or kept by a system, as by its name."""
    return name.startswith(".") or name.lower() in (*_SYSTEM_FOLDERS, *_SYSTEM_FILES)


def find_pictures(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns all pictures in a folder and in those within it, and the other files; sorted.

    What is hidden or a system's counts for neither.

    Raises:
      DatasetError: a file is a picture of a format that is not read.
    """
    pictures, others = [], []
    for file in _files(folder, set()):
        suffix = file.suffix.lower()
        if suffix in _UNREADABLE:
            raise DatasetError(
                f"{file}: pictures of the format {suffix} are not read; convert them to PNG or "
                "JPEG, or move them away."
            )
        is_picture = suffix in SUFFIXES or _opens(file)
        (pictures if is_picture else others).append(file)
    return pictures, others


def _files(folder: Path, seen: set[tuple[int, int]]) -> Iterator[Path]:
    """Yields files in the order of their paths; a folder that links to one above it is passed."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in seen:
        return
    above = seen | {(status.st_dev, status.st_ino)}
    for child in sorted(folder.iterdir()):
        if is_of_system(child.name):
            continue
        if child.is_dir():
            yield from _files(child, above)
        else:
            yield child


def _opens(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        with Image.open(file):
            return True
    except Exception:  # whatever it is, it is no picture that we read
        return False


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    """Opens a picture by a handle: of TIFFs that it maps by name Pillow forgets how they lie."""
    with open(file, "rb") as handle, Image.open(handle) as image:
        yield image


def read_header(file: Path) -> Header:
    """Reads what a file says of its picture.

    Raises:
      DatasetError: it is no readable picture of 8 bits a channel and a possible size.
    """
    if not file.is_file():  # a named pipe would never answer
        raise _unreadable(file, ValueError("not a file"))
    try:
        with _opened(file) as image:
            (width, height), mode = image.size, image.mode
            # A PNG is decoded to the end for EXIF that does not stand before its pixels.
            has_exif = image.format != "PNG" or "exif" in image.info
            orientation = image.getexif().get(_ORIENTATION, 1) if has_exif else 1
            has_alpha = mode in _ALPHA_MODES or "transparency" in image.info
            has_frames = getattr(image, "n_frames", 1) > 1
            if image.format == "TIFF" and orientation in _SIDEWAYS:
                # Some versions of Pillow give the size as it is shown; decoding tells.
                height, width = ImageOps.exif_transpose(image).size
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
    size = (width, height) if orientation in _SIDEWAYS else (height, width)
    is_turned = orientation in (*range(2, 5), *_SIDEWAYS)
    return Header(size, mode in _GREY_MODES, is_turned, has_alpha, has_frames)


def read_pixels(file: Path, mode: Mode) -> np.ndarray:
    """Reads a picture as it is shown.

    Returns:
      `[H, W, 1]` or, of mode RGB, `[H, W, 3]` uint8.

    Raises:
      DatasetError: it is no readable picture.
    """
    try:
        with _opened(file) as image:
            ImageOps.exif_transpose(image, in_place=True)
            has_alpha = image.mode in _ALPHA_MODES or "transparency" in image.info
            shown = _on_ground(image, mode) if has_alpha else image
            pixels = np.asarray(shown.convert(mode))
    except Exception as error:
        raise _unreadable(file, error) from error
    return pixels[..., None] if mode == "L" else pixels


def _on_ground(image: Image.Image, mode: Mode) -> Image.Image:
    """Returns a picture without transparency: on white, or on black where that shows more."""
    found = image.convert("RGBA")
    for level in (255, 0):
        ground = Image.new("RGBA", found.size, (level, level, level, 255))
        shown = Image.alpha_composite(ground, found).convert(mode)
        low, high = np.asarray(shown).min(), np.asarray(shown).max()
        if low != high:
            break
    return shown


def read_image(file: Path, channels: int) -> np.ndarray:
    """Reads a picture as a network of 1 (grey) or 3 (RGB) channels takes it.

    Returns:
      `[H, W, channels]` uint8.

    Raises:
      DatasetError: the file is no readable image of 8 bits a channel.
    """
    read_header(file)
    return read_pixels(file, "L" if channels == 1 else "RGB")


def _unreadable(file: Path, error: Exception) -> DatasetError:
    reason = (str(error).splitlines() or ["no reason given"])[0]
    return DatasetError(f"{file}: is not a readable image ({reason}); repair or remove it.")


def some(files: list[Path] | list[str], count: int = 3) -> str:
    """Returns the names of the first few in words."""
    names = [os.path.basename(os.fspath(file)) for file in files[:count]]
    return ", ".join(names) + (", ..." if len(files) > count else "")
