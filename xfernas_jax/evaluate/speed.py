"""How fast this device trains: seconds for an image of a small known network."""

import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from xfernas_jax.data.base import DataConfig, ImageDataset, Split
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator, versions
from xfernas_jax.files import write_atomically
from xfernas_jax.history.record import Job, Task
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.types import Device

_STEPS, _EPOCHS = 4, 4  # of a measurement; the first epoch warms up


@dataclasses.dataclass(frozen=True)
class Speed:
    """What was measured of a network.

    Attributes:
      seconds_per_image: of a training step, divided by the images of its batch.
      compile_seconds: until the first epoch was over, which holds the compilation.
    """

    seconds_per_image: float
    compile_seconds: float


@dataclasses.dataclass(frozen=True)
class Gauge:
    """A training whose speed is asked for.

    Attributes:
      space: of the network.
      genotype: of it.
      recipe: whose batches and options are used.
      input_shape: (H, W, C) of the images.
      num_classes: of the task.
      devices: that share a batch.
    """

    space: Space
    genotype: Genotype
    recipe: Recipe
    input_shape: tuple[int, int, int]
    num_classes: int
    devices: Sequence[Device]

    def identity(self) -> dict[str, Any]:
        """Returns, as JSON, all that a measurement depends on."""
        return {
            "network": self.space.to_json(self.genotype),
            "recipe": self.recipe.fingerprint(),
            "shape": list(self.input_shape),
            "classes": self.num_classes,
            "devices": [device.device_kind for device in self.devices],
            "cores": os.cpu_count(),
            "versions": dict(versions()),
        }


def training_speed(gauge: Gauge, cache: str | os.PathLike[str] | None = None) -> Speed:
    """Measures a training on random images, or reads an earlier measurement.

    Args:
      gauge: what is measured.
      cache: folder of measurements by `Gauge.identity`; None measures.
    """
    identity = gauge.identity()
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    file = None if cache is None else pathlib.Path(cache, f"{digest}.json")
    known = None if file is None else _read(file)
    if known is not None:
        return known
    speed = _measure(gauge)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(dataclasses.asdict(speed)).encode())
    return speed


def noise_images(
    shape: tuple[int, int, int], num_classes: int, counts: tuple[int, int, int]
) -> ImageDataset:
    """Returns random images, for measurements of a machine.

    Args:
      shape: (height, width, channels) of an image.
      num_classes: of the task.
      counts: of images to train on, to validate and to test.
    """
    rng = np.random.default_rng(0)
    train, valid, test = (
        Split(
            rng.integers(0, 256, (count, *shape), np.uint8),
            np.arange(count, dtype=np.int32) % num_classes,
        )
        for count in counts
    )
    names = tuple(map(str, range(num_classes)))
    return ImageDataset(Task("noise", "random", num_classes), train, valid, test, names)


def _read(file: pathlib.Path) -> Speed | None:
    """Returns a measurement; None where there is none that can be used."""
    try:
        value = json.loads(file.read_text())
        speed = Speed(float(value["seconds_per_image"]), float(value["compile_seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    is_sound = 0.0 < speed.seconds_per_image < 1e3 and 0.0 <= speed.compile_seconds < 1e4
    return speed if is_sound else None


def _measure(gauge: Gauge) -> Speed:
    space, genotype, recipe, devices = gauge.space, gauge.genotype, gauge.recipe, gauge.devices
    batch = recipe.train.batch_size
    noise = noise_images(gauge.input_shape, gauge.num_classes, (_STEPS * batch, 1, 1))
    data = DataConfig(augment=recipe.data.augment, standardize=recipe.data.standardize)
    train = dataclasses.replace(
        recipe.train, epochs=_EPOCHS, eval_batch_size=len(devices), learning_rate=1e-4
    )
    quick = Recipe("speed", recipe.network, data, train)
    evaluator = TrainedEvaluator(space, noise, quick, devices)
    start, ends = time.monotonic(), []
    evaluator.evaluate(
        Job(0, genotype, space.key(genotype), 0), lambda *_: ends.append(time.monotonic())
    )
    each = min(b - a for a, b in itertools.pairwise(ends))
    return Speed(each / (_STEPS * batch), ends[0] - start)
