"""The recipe "auto": how to train on a set of images, by rules that were fitted on measurements.

`experiments/INGREDIENTS.md` has the measurements. The recipe of the search depends on the data
alone, so that histories of different machines and budgets are alike; the final one also on how
fast the device is and on the time that there is.
"""

import dataclasses
import math
from typing import Any

from xfernas_jax.data.base import DataConfig, ImageDataset
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.train.config import TrainConfig

NAME = "auto"
SIZES = (32, 48, 64, 96, 128)  # longest sides that are trained at
SEARCH_SIZE = 32
SEARCH_EXAMPLES = 4_000
SEARCH_EPOCHS = 6
MOST_EPOCHS = 100  # of a final training
WANTED_EPOCHS = 25  # that a size of images must leave time for
FEWEST_EPOCHS = 8  # that an architecture must leave time for
SEARCH_SHARE = 0.3  # of the time
FINAL_SHARE = 0.65


@dataclasses.dataclass(frozen=True)
class Shares:
    """How a time budget is spent.

    Attributes:
      budget_seconds: in all.
      search_seconds: after which nothing is searched any more.
      max_flops: of a network for one image; larger ones could not be trained to the end.
    """

    budget_seconds: float
    search_seconds: float
    max_flops: float


@dataclasses.dataclass(frozen=True)
class AutoPlan:
    """What was decided for a study.

    Attributes:
      search: recipe that architectures are compared by.
      final: recipe of what is handed over.
      shares: of the time budget; None without one.
    """

    search: Recipe
    final: Recipe
    shares: Shares | None = None


def search_recipe(dataset: ImageDataset, mirror: bool) -> Recipe:
    """Returns the recipe that architectures are compared by; it depends on the data alone.

    Args:
      dataset: as it was loaded.
      mirror: whether mirrored images keep their class.
    """
    size = min(SEARCH_SIZE, *_side(dataset))
    examples = min(SEARCH_EXAMPLES, len(dataset.train))
    return _recipe(examples, size, mirror, SEARCH_EPOCHS, examples)


def final_recipe(dataset: ImageDataset, mirror: bool, size: int | None = None) -> Recipe:
    """Returns the recipe of what is handed over.

    Args:
      dataset: as it was loaded.
      mirror: whether mirrored images keep their class.
      size: longest side of the images; by default that of the search.
    """
    longest = max(_side(dataset))
    chosen = min(SEARCH_SIZE if size is None else size, longest)
    return _recipe(len(dataset.train), chosen, mirror, MOST_EPOCHS, None)


def sizes(dataset: ImageDataset) -> tuple[int, ...]:
    """Returns the sizes of images to choose from, the smallest first."""
    longest = max(_side(dataset))
    return tuple(sorted({min(size, longest) for size in SIZES}))


def fits(seconds_per_image: float, num_images: int, budget_seconds: float) -> bool:
    """Tells whether a network of this speed can be trained for long enough."""
    return seconds_per_image * num_images * WANTED_EPOCHS <= FINAL_SHARE * budget_seconds


def shares(
    seconds_per_image: float, flops: float, num_images: int, budget_seconds: float
) -> Shares:
    """Divides a time budget.

    Args:
      seconds_per_image: of the reference, at the size of the final training.
      flops: of the reference for one image.
      num_images: of an epoch of the final training.
      budget_seconds: in all.
    """
    epochs = FINAL_SHARE * budget_seconds / (seconds_per_image * num_images)
    return Shares(budget_seconds, SEARCH_SHARE * budget_seconds, flops * epochs / FEWEST_EPOCHS)


def _side(dataset: ImageDataset) -> tuple[int, int]:
    height, width, _ = dataset.input_shape
    return height, width


def _recipe(num_images: int, size: int, mirror: bool, epochs: int, examples: int | None) -> Recipe:
    batch = 64 if num_images < 10_000 else 128
    data = DataConfig(
        train_examples=examples,
        image_size=size,
        augment="crop_flip" if mirror else "crop",
        crop_padding=max(1, round(size / 10)),
    )
    train = TrainConfig(
        epochs=epochs,
        batch_size=min(batch, 2 ** int(math.log2(num_images))),
        learning_rate=0.05 * batch / 64,
        label_smoothing=0.1,
    )
    return Recipe(NAME, NetworkConfig(bn_momentum=0.9), data, train)


def plan_to_json(plan: AutoPlan) -> dict[str, Any]:
    """Returns what a study keeps of a plan."""
    return {
        "recipe": plan.search.decisive(),
        "final_recipe": plan.final.decisive(),
        "shares": None if plan.shares is None else dataclasses.asdict(plan.shares),
    }
