"""The real image sets that experiments train on, by short names, and the flags that choose them."""

import pathlib
from collections.abc import Mapping
from types import MappingProxyType

from absl import flags

from xfernas_jax.errors import FlagError

IMAGE_SETS: Mapping[str, str] = MappingProxyType(
    {
        "usps": "npz:{images}/usps/usps.npz",
        "mnist": "mnist_5k",
        "notmnist": "npz:{images}/notmnist_10k/notmnist_10k.npz",
        "digits": "digits",
        "cifar10": "npz:{images}/cifar10_subset/cifar10_subset.npz",
        "fashion": "fashion_mnist",
        "flowers": "npz:{images}/flowers17_16x16/flowers17_16x16.npz",
        "grocery": "folder:{images}/grocery",
    }
)
"""What --dataset is for each; {images} is the folder of those that no package ships."""

_IMAGES = flags.DEFINE_string(
    "images", "../shared/images", "Folder of the sets that no package ships."
)
_SETS = flags.DEFINE_list("sets", list(IMAGE_SETS), "Sets that are worked on.")


def chosen_sets() -> dict[str, str]:
    """Returns what --dataset is for each set that the flags name.

    Raises:
      FlagError: there is no such set, or its images are not there.
    """
    return {name: dataset_of(name, _IMAGES.value) for name in _SETS.value}


def dataset_of(name: str, images: str) -> str:
    """Returns what --dataset is for a set; raises as `chosen_sets` does.

    Args:
      name: of `IMAGE_SETS`.
      images: folder of the sets that no package ships.
    """
    if name not in IMAGE_SETS:
        raise FlagError(f"--sets: there is no set {name!r}; there are {', '.join(IMAGE_SETS)}.")
    text = IMAGE_SETS[name].format(images=images.rstrip("/"))
    kind, _, path = text.partition(":")
    if kind in ("npz", "folder") and not pathlib.Path(path).exists():
        raise FlagError(
            f"{name}: {path} is not there; name the folder of the sets by --images, or leave the "
            "set out of --sets."
        )
    return text
