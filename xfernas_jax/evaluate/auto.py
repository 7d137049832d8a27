"""The recipe "auto": how to train on a set of images, and how to spend a time budget.

`experiments/INGREDIENTS.md` measures what the ingredients of the recipe are worth, as far as it
got, and `experiments/AUTO_RULE.md` the numbers of epochs, sizes and widths; the shares of the time
are choices that were not measured.

The recipe of the search depends on the data alone, so that histories of different machines and
budgets are alike; the final one, and which networks are proposed, also on how fast the device is
and on the time that there is. Everything here is a pure function.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xfernas_jax.data.base import DataConfig, ImageDataset
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.history.metric import Metric
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.train.config import TrainConfig

NAME = "auto"
SIDES = (64, 48, 32)  # pixels of a final training; larger images are shrunk to one of them
LARGEST_SIDE, GAUGE_SIDE = SIDES[0], SIDES[-1]  # the latter is that of the speed's measurement
SEARCH_SIDE = 16
SEARCH_EXAMPLES = 2_000  # at most, and as many to validate
SEARCH_IMAGES = 10_000  # that a training of the search sees, where MOST_EPOCHS suffice for them
SEARCH_BATCH = 32
LEAST_STEPS, LEAST_BATCH = 10, 8  # of an epoch; with one step each, 80 epochs teach nothing
MOST_EPOCHS = 80  # of a training
WANTED_EPOCHS = 25  # that a reference leaves time for, and a size of images
GROWN_EPOCHS = 40  # that a wider form of a finalist leaves time for
FEWEST_EPOCHS = 10  # that any architecture leaves time for
ENOUGH_EPOCHS, _IMAGES_OF_ENOUGH = 20, 5_000  # of a last training, and images of an epoch
ENOUGH_OF_A_MEMBER = 2.0  # times those epochs, for a training that is averaged with others
GAIN_OF_DOUBLING = 0.06  # trainings that are averaged, in log error; experiments/MEMBERS.md
ERROR_CURVATURE = 0.14  # of what fewer epochs do to its error; experiments/TIMED_NETWORKS.md
LARGE, CHANGED_EPOCHS = 20_000, 2.0  # images, and epochs below which so many are not changed
LEAST_EPOCHS = 3  # below which a training is none: its learning rate has hardly risen
FEWEST_COMPARED = 6  # short trainings; fewer tell less than their time is worth
SEARCH_SHARE, FINAL_SHARE = 0.2, 0.65  # of the time; the rest is kept for what is not foreseen
COMPARED_FOR_A_REFERENCE = 4  # short trainings for which there is time, for each known network
FLOPS_PER_ACTIVATION = 175  # that take as long as one; fitted by experiments/step_seconds.py
BYTES_PER_ACTIVATION = 16  # of a training step; 11 to 20 in experiments/bench/step_memory.py


@dataclasses.dataclass(frozen=True)
class Budget:
    """A time budget.

    Attributes:
      seconds: in all.
      start_seconds: of a training before its first step: building and compiling.
    """

    seconds: float
    start_seconds: float

    def epochs(self, seconds_per_image: float, num_images: int) -> float:
        """Returns the epochs of a final training for which there is time."""
        steps_seconds = max(FINAL_SHARE * self.seconds - self.start_seconds, 0.0)
        return steps_seconds / (seconds_per_image * num_images)

    def least_seconds(self, seconds_per_image: float, num_images: int) -> float:
        """Returns the smallest budget in which a network of this speed can be trained at all."""
        epochs_seconds = LEAST_EPOCHS * seconds_per_image * num_images
        return (epochs_seconds + self.start_seconds) / FINAL_SHARE


@dataclasses.dataclass(frozen=True)
class Reference:
    """A known network that others are compared with.

    Attributes:
      name: of it.
      family: of which one member is taken.
      work: see `work`, at the size of the final training.
    """

    name: str
    family: str
    work: float


@dataclasses.dataclass(frozen=True)
class Shares:
    """How a time budget is spent.

    Attributes:
      budget_seconds: in all.
      search_seconds: after which nothing is searched any more.
      each_seconds: that one evaluation of the search is expected to take.
      num_evaluations: that are expected to fit into those; 0 where they are too few to compare.
      max_work: of a network, see `work`; with more it could not be trained to the end.
    """

    budget_seconds: float
    search_seconds: float
    each_seconds: float
    num_evaluations: int
    max_work: float


def work(costs: Mapping[str, float]) -> float:
    """Returns what the time of a training step grows with, for one image.

    Operations alone mislead: separable and bottleneck blocks take three times as long for as many,
    since they write more numbers.

    Args:
      costs: `flops` and `activations` of a network.
    """
    return costs["flops"] + FLOPS_PER_ACTIVATION * costs["activations"]


def enough_epochs(num_images: int) -> float:
    """Returns the epochs of a last training from which on short trainings rank as it does.

    They are fewer where an epoch has many images (`experiments/TIMED_NETWORKS.md`).
    """
    return ENOUGH_EPOCHS * min(1.0, _IMAGES_OF_ENOUGH / num_images) ** (1 / 3)


def num_members(epochs: float, num_images: int, most: int) -> int:
    """Returns how many trainings, whose answers are averaged, share the epochs that there are.

    Several that have enough are better than a longer one (`experiments/MEMBERS.md`).

    Args:
      epochs: in all.
      num_images: of an epoch.
      most: trainings.
    """
    return max(1, min(int(epochs / (ENOUGH_OF_A_MEMBER * enough_epochs(num_images))), most))


def averaging_gain(count: int) -> float:
    """Returns what averaging so many trainings takes from the logarithm of the error."""
    return GAIN_OF_DOUBLING * math.log2(count)


def error_factor(epochs: float, num_images: int, most_members: int = 1) -> float:
    """Returns how many times larger an error is after so many epochs than after enough of them.

    Networks are compared after equally many epochs, and in the end trained for equally many
    seconds: of two that are equal after a short training the faster one is better then. With more
    than enough epochs several trainings are averaged, and the error is smaller.

    Args:
      epochs: of the last trainings, in all.
      num_images: of an epoch.
      most_members: trainings that may be averaged.
    """
    count = num_members(epochs, num_images, most_members)
    return math.exp(missing_epochs(epochs / count, num_images) - averaging_gain(count))


def missing_epochs(epochs: float, num_images: int) -> float:
    """Returns the logarithm of `error_factor`, of one training."""
    enough = enough_epochs(num_images)
    return ERROR_CURVATURE * math.log(enough / min(max(epochs, 1.0), enough)) ** 2


def promised(
    value: float, metric: Metric, epochs: float, num_images: int, most_members: int = 1
) -> float:
    """Returns what the value of a short training promises of last ones; see `error_factor`.

    It is on the scale of short trainings; with enough epochs it is the value. Where a metric has no
    best possible value, nothing is known of its error, and it is the value too.
    """
    ideal = metric.high if metric.maximize else metric.low
    if ideal is None:
        return value
    return ideal - (ideal - value) * error_factor(epochs, num_images, most_members)


def search_recipe(dataset: ImageDataset, mirror: bool) -> Recipe:
    """Returns the recipe that architectures are compared by; it depends on the data alone.

    Args:
      dataset: as it was loaded.
      mirror: whether mirrored images keep their class.
    """
    examples = min(SEARCH_EXAMPLES, len(dataset.train))
    side = min(SEARCH_SIDE, longest_side(dataset))
    epochs = min(max(round(SEARCH_IMAGES / examples), 1), MOST_EPOCHS)
    recipe = _recipe(examples, side, mirror, epochs, SEARCH_BATCH)
    data = dataclasses.replace(recipe.data, train_examples=examples, valid_examples=SEARCH_EXAMPLES)
    return dataclasses.replace(recipe, data=data)


def final_recipe(dataset: ImageDataset, mirror: bool, side: int, change: bool = True) -> Recipe:
    """Returns the recipe of what is handed over.

    Args:
      dataset: as it was loaded.
      mirror: whether mirrored images keep their class.
      side: that images have at most, in pixels.
      change: whether images are shifted and mirrored at random; see `changes_images`. The recipe of
        the search always does so, as the histories' trainings did.
    """
    num_images = len(dataset.train)
    batch = 64 if num_images < LARGE else 128
    recipe = _recipe(num_images, side, mirror and change, MOST_EPOCHS, batch)
    if change:
        return recipe
    data = dataclasses.replace(recipe.data, augment="none")
    return dataclasses.replace(recipe, data=data)


def changes_images(num_images: int, epochs: float) -> bool:
    """Returns whether last trainings are of images that are shifted and mirrored at random.

    That keeps a network from learning its images by heart. A few epochs of a large set leave no
    time for that, and then it only makes the images harder (`experiments/AUGMENTATION.md`).

    Args:
      num_images: of an epoch.
      epochs: of the network that the device's speed is measured by, for which there is time.
    """
    return num_images < LARGE or epochs >= CHANGED_EPOCHS


def longest_side(dataset: ImageDataset) -> int:
    """Returns the pixels of the longer side of the images."""
    return max(dataset.input_shape[:2])


def sides(dataset: ImageDataset) -> tuple[int, ...]:
    """Returns the sizes of images that a final training may have, the largest first."""
    longest = longest_side(dataset)
    return tuple(sorted({min(side, longest) for side in SIDES})[::-1])


def choose_side(
    sides: Sequence[int],
    seconds_per_image: float,
    measured_side: int,
    num_images: int,
    budget: Budget,
) -> int:
    """Returns the largest size of images at which a network can be trained for long.

    Args:
      sides: to choose from, the largest first.
      seconds_per_image: of the network, where the longer side has `measured_side` pixels; it grows
        with the pixels.
      measured_side: see there.
      num_images: of an epoch.
      budget: of time.
    """
    for side in sides:
        each = seconds_per_image * (side / measured_side) ** 2
        if budget.epochs(each, num_images) >= WANTED_EPOCHS:
            return side
    return sides[-1]


def shares(
    seconds_per_work: float,
    typical: float,
    recipe: Recipe,
    num_images: int,
    budget: Budget,
    spent_seconds: float = 0.0,
) -> Shares:
    """Divides a time budget.

    Args:
      seconds_per_work: of a training step, for one image and each unit of `work`.
      typical: work of a network in the search.
      recipe: of the search.
      num_images: of an epoch of the final training.
      budget: of time.
      spent_seconds: of it already, such as for measuring this device.
    """
    examples = recipe.data.train_examples or num_images
    each = budget.start_seconds + recipe.train.epochs * examples * typical * seconds_per_work
    search_seconds = SEARCH_SHARE * budget.seconds
    room = budget.epochs(seconds_per_work, num_images) / FEWEST_EPOCHS
    count = int(max(search_seconds - spent_seconds, 0.0) / each)
    if count < FEWEST_COMPARED:
        count = 0
    return Shares(budget.seconds, search_seconds, each, count, max(room, 1.0))


def choose_references(
    references: Mapping[str, Reference], seconds_per_work: float, num_images: int, budget: Budget
) -> tuple[str, ...]:
    """Returns the names of one network of each family: the largest that can be trained for long.

    Where none can, it is the smallest. The families come in the order in which they are given.
    """
    chosen: dict[str, Reference] = {}
    for reference in sorted(references.values(), key=lambda r: r.work):
        epochs = budget.epochs(reference.work * seconds_per_work, num_images)
        if reference.family not in chosen or epochs >= WANTED_EPOCHS:
            chosen[reference.family] = reference
    families = dict.fromkeys(reference.family for reference in references.values())
    return tuple(chosen[family].name for family in families)


def num_compared(num_references: int, num_evaluations: int) -> int:
    """Returns how many known networks have a short training: one, and more where many have.

    Where there is time for a few short trainings alone, the others are of what is suggested. That
    this is worth more than the other known networks has not been measured.

    Args:
      num_references: that there are, the best first.
      num_evaluations: short trainings for which there is time.
    """
    return min(num_references, max(1, num_evaluations // COMPARED_FOR_A_REFERENCE))


def most_work(seconds: float, seconds_per_work: float, num_images: int, budget: Budget) -> float:
    """Returns the work of the largest network that a finalist may become.

    Args:
      seconds: that there are for it.
      seconds_per_work: see `shares`.
      num_images: of an epoch.
      budget: of time.
    """
    steps_seconds = max(seconds - budget.start_seconds, 0.0)
    return steps_seconds / (GROWN_EPOCHS * num_images * seconds_per_work)


def widest(space: Space, genotype: Genotype, fits: Callable[[Genotype], bool]) -> Genotype:
    """Returns the widest form of an architecture that fits; itself where none that is wider does.

    A search compares networks in short trainings, where small ones learn fastest; with more epochs
    a wider one of the same shape is better (`experiments/AUTO_RULE.md`).
    """
    while (wider := space.wider(genotype)) is not None and fits(wider):
        genotype = wider
    return genotype


def most_activations(free_bytes: int | None, recipe: Recipe, num_memories: int) -> float:
    """Returns how many activations a network may have that is trained in the memory there is.

    Args:
      free_bytes: of each memory; None where that is unknown, and nothing is ruled out.
      recipe: of the training.
      num_memories: that share a batch: the devices, but one for all CPUs.
    """
    if free_bytes is None:
        return math.inf
    return free_bytes * num_memories / (BYTES_PER_ACTIVATION * recipe.train.batch_size)


def _recipe(num_images: int, side: int, mirror: bool, epochs: int, batch: int) -> Recipe:
    few = max(num_images / LEAST_STEPS, min(num_images, LEAST_BATCH))
    batch = min(batch, 2 ** int(math.log2(few)))
    data = DataConfig(
        image_size=side,
        augment="crop_flip" if mirror else "crop",
        crop_padding=max(1, round(side / 10)),
        test_flips=mirror,
    )
    train = TrainConfig(
        epochs=epochs,
        batch_size=batch,
        learning_rate=0.1 * batch / 64,
        schedule="one_cycle",
        warmup=0.2,
        nesterov=True,
        decay_all=False,
        label_smoothing=0.1,
    )
    return Recipe(NAME, NetworkConfig(), data, train)


def to_config(search: Recipe, final: Recipe, planned: Shares | None) -> dict[str, Any]:
    """Returns what a study keeps of what was decided."""
    return {
        "recipe": search.decisive(),
        "final_recipe": final.decisive(),
        "time": None if planned is None else dataclasses.asdict(planned),
    }
