"""The real image sets that experiments train on: the one list of them."""

import dataclasses
import os
from collections.abc import Mapping
from types import MappingProxyType

from xfernas_jax.errors import FlagError


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A real set.

    Attributes:
      short: its name in those of histories.
      name: of its folder, or of the data set.
      address: for --dataset; `{}` is the folder of the sets that no package ships.
      images: what is part of the name of every data set that may hold its images.
    """

    short: str
    name: str
    address: str
    images: str

    def dataset(self, folder: str) -> str:
        """Returns the value of --dataset; `FlagError` where the files are not there."""
        address = self.address.format(folder.rstrip("/"))
        file = address.partition(":")[2]
        if file and not os.path.exists(file):
            raise FlagError(
                f"{self.name}: {file} is not there; name the folder of the sets by --images, or "
                "leave the set out of --sets."
            )
        return address


def _file(short: str, name: str) -> ImageSet:
    return ImageSet(short, name, f"npz:{{}}/{name}/{name}.npz", short)


IMAGE_SETS: Mapping[str, ImageSet] = MappingProxyType(
    {
        each.short: each
        for each in (
            _file("usps", "usps"),
            ImageSet("mnist", "mnist_5k", "mnist_5k", "mnist_5k"),
            _file("notmnist", "notmnist_10k"),
            ImageSet("digits", "digits", "digits", "digits"),
            _file("cifar10", "cifar10_subset"),
            ImageSet("fashion", "fashion_mnist", "fashion_mnist", "fashion_mnist"),
            _file("flowers", "flowers17_16x16"),
            ImageSet("grocery", "grocery", "folder:{}/grocery", "grocery"),
        )
    }
)
"""By short name."""
