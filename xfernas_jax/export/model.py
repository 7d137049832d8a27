"""`model.json`: what a folder says of the network in it, so that it can be built and used again."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from xfernas_jax.data.augment import Normalizer
from xfernas_jax.errors import HistoryError, ModelError, RecipeError
from xfernas_jax.files import read_bounded
from xfernas_jax.history import fields
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.options import decisive
from xfernas_jax.strict_json import parse_json

FILE, CLASSES_FILE = "model.json", "classes.json"
_FORMAT = 1
_MOST_MEMBERS = 1_000
_LARGEST_FILE = 2**24  # bytes; a class name has a few dozen


@dataclasses.dataclass(frozen=True, eq=False)
class ModelFacts:
    """All that is needed beside genotype and variables.

    Attributes:
      space: of the genotype, a name for `get_space`.
      network: what the builder of its networks reads.
      image_shape: (height, width, channels) that the network is trained for.
      normalizer: how its images are standardised.
      test_flips: whether the logits of an image and of its mirror image are averaged.
      class_names: in the order of the logits.
      dataset: that it was trained on.
      metric: of its test value.
      test_value: read once.
      num_members: trainings of the network whose logits are averaged.
    """

    space: str
    network: NetworkConfig
    image_shape: tuple[int, int, int]
    normalizer: Normalizer
    test_flips: bool
    class_names: tuple[str, ...]
    dataset: str
    metric: str
    test_value: float
    num_members: int = 1

    def write(self, folder: pathlib.Path) -> None:
        """Writes both files."""
        mean, std, per_image = self.normalizer
        height, width, channels = self.image_shape
        value = {
            "format": _FORMAT,
            "space": self.space,
            "network": decisive(self.network),
            "image": {"height": height, "width": width, "channels": channels},
            "pixels": {"mean": mean.tolist(), "std": std.tolist(), "per_image": per_image},
            "test_flips": self.test_flips,
            "members": self.num_members,
            "dataset": self.dataset,
            "metric": self.metric,
            "test_value": self.test_value,
        }
        (folder / FILE).write_text(json.dumps(value, indent=1) + "\n")
        (folder / CLASSES_FILE).write_text(
            json.dumps(self.class_names, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_facts(folder: pathlib.Path) -> ModelFacts:
    """Reads both files.

    Raises:
      ModelError: a file is missing or breaks a rule; the message names it.
    """
    where = str(folder / FILE)
    try:
        read = fields.check_object(_read_json(folder / FILE), "a model", where)
        value = fields.read({"members": 1, **read}, _FACTS, where, "a model")
        if value["format"] != _FORMAT:
            raise ModelError(
                f"{where}: is of format {value['format']}, and this version reads {_FORMAT}; use "
                "the xfernas_jax that wrote it."
            )
        image = fields.read(value["image"], _IMAGE, where, "image")
        pixels = fields.read(value["pixels"], _PIXELS, where, "pixels")
        network = NetworkConfig(**fields.check_object(value["network"], "network", where))
    except (HistoryError, RecipeError) as error:
        raise ModelError(f"{error} Export the network again.") from error
    except TypeError as error:
        raise ModelError(f"{where}: network has an unknown field ({error}).") from error
    if not 1 <= value["members"] <= _MOST_MEMBERS:
        raise ModelError(
            f"{where}: members is a number from 1 to {_MOST_MEMBERS}. Export the network again."
        )
    mean, std = (np.array(pixels[name], np.float32) for name in ("mean", "std"))
    shape = image["height"], image["width"], image["channels"]
    if min(shape) < 1 or len(mean) != shape[2] or len(std) != shape[2] or not (std > 0).all():
        raise ModelError(
            f"{where}: there is a mean and a positive std for each of the channels of images of at "
            "least one pixel. Export the network again."
        )
    return ModelFacts(
        space=value["space"],
        network=network,
        image_shape=shape,
        normalizer=Normalizer(mean, std, pixels["per_image"]),
        test_flips=value["test_flips"],
        class_names=_read_classes(folder / CLASSES_FILE),
        dataset=value["dataset"],
        metric=value["metric"],
        test_value=value["test_value"],
        num_members=value["members"],
    )


_FACTS: Mapping[str, fields.Reader] = {
    "format": fields.integer,
    "space": fields.line,
    "network": fields.check_object,
    "image": fields.check_object,
    "pixels": fields.check_object,
    "test_flips": fields.boolean,
    "members": fields.integer,
    "dataset": fields.line,
    "metric": fields.line,
    "test_value": fields.number,
}
_IMAGE: Mapping[str, fields.Reader] = dict.fromkeys(("height", "width", "channels"), fields.integer)
_PIXELS: Mapping[str, fields.Reader] = {
    "mean": fields.numbers,
    "std": fields.numbers,
    "per_image": fields.boolean,
}


def _read_classes(file: pathlib.Path) -> tuple[str, ...]:
    names = _read_json(file)
    if (
        not isinstance(names, list)
        or not all(isinstance(name, str) for name in names)
        or len(names) < 2
    ):
        raise ModelError(f"{file}: holds a list of at least two names of classes.")
    return tuple(names)


def _read_json(file: pathlib.Path) -> Any:
    try:
        return parse_json(read_bounded(file, _LARGEST_FILE))
    except OSError as error:
        raise ModelError(
            f"{file}: cannot be read ({error.strerror}); name a folder that `export` of this "
            "version wrote."
        ) from error
    except ValueError as error:
        raise ModelError(f"{file}: is not JSON ({error}); export the network again.") from error
