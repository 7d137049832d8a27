"""The image sets of the small twins, by short names."""

import pathlib

import numpy as np

from experiments.image_sets import IMAGE_SETS
from xfernas_jax.data.base import DataConfig, ImageDataset
from xfernas_jax.data.npz import load_npz
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.split import Part, apply_config, build_dataset
from xfernas_jax.errors import FlagError

IMAGE_FILES = tuple(each.name for each in IMAGE_SETS.values() if each.address.startswith("npz:"))
"""Sets that no package ships; a folder holds each as NAME/NAME.npz."""


def load_small(name: str, config: DataConfig, images_dir: str | None) -> ImageDataset:
    """Loads a set by a short name, or by any name that `load_dataset` takes.

    Of a file, images of the validation and the test part that occur in an earlier part are left
    out: shrunk photographs hold exact copies.

    Args:
      name: of `IMAGE_FILES`, or another.
      config: how many examples, of what size.
      images_dir: folder of the files.

    Raises:
      FlagError: the file is not there.
      DatasetError: as `load_dataset`.
    """
    file = check_present(name, images_dir)
    if file is None:
        return load_dataset(name, config)
    parts, class_names, _ = load_npz(str(file))
    whole = build_dataset(name, without_copies(parts), class_names, by_content=True)
    return apply_config(whole, config)


def check_present(name: str, images_dir: str | None) -> pathlib.Path | None:
    """Returns the file of a set that has one, None for another set; see `load_small`."""
    if name not in IMAGE_FILES:
        return None
    if images_dir is None:
        raise FlagError(f"{name}: name the folder that holds {name}/{name}.npz by --images_dir.")
    file = pathlib.Path(images_dir) / name / f"{name}.npz"
    if not file.is_file():
        raise FlagError(
            f"{name}: {file} is not there; name the folder that holds {name}/{name}.npz by "
            "--images_dir, or leave the set out of --targets and --sources."
        )
    return file


def without_copies(parts: dict[str, Part]) -> dict[str, Part]:
    """Returns the parts without images that an earlier one of train, valid and test holds."""
    seen = np.array([], "U32")
    kept = {}
    for key in [key for key in ("train", "valid", "test") if key in parts]:
        part = parts[key]
        kept[key] = part.take(np.flatnonzero(~np.isin(part.digests, seen)))
        seen = np.union1d(seen, part.digests)
    return kept
