"""From flags, data and the speed of this device to what --recipe=auto and --time_budget decide."""

import dataclasses
import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from absl import flags as absl_flags

from xfernas_jax.cli import flags, initial, inputs
from xfernas_jax.data.base import DataConfig, ImageDataset
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.symmetry import MirrorEvidence, keeps_class_when_mirrored
from xfernas_jax.errors import FlagError, RecipeError
from xfernas_jax.evaluate import auto, unequal
from xfernas_jax.evaluate.recipes import Recipe, check_changes, is_read
from xfernas_jax.evaluate.speed import Gauge, Speed, training_speed
from xfernas_jax.nn.costs import NetworkCosts
from xfernas_jax.options import parse_changes
from xfernas_jax.search.phases.average import FEWEST_TO_COMPETE
from xfernas_jax.search.phases.confirm import SURE
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.published import PUBLISHED
from xfernas_jax.train.memory import free_on

DEFAULT_BUDGET = "10m"
_GAUGE = "resnet8"  # whose speed is measured
_FAMILIES = {
    "vgg_tiny": "vgg",
    "vgg_small": "vgg",
    "vgg_like": "vgg",
    "resnet8": "resnet",
    "resnet14": "resnet",
    "resnet20": "resnet",
    "mobilenet_like": "mobilenet",
}
_STAYS = (
    f"; what is known to do well stays unless another network is better with a probability of "
    f"{100 * SURE:.0f} % and, where {FEWEST_TO_COMPETE} full trainings fit, in one of these too"
)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclasses.dataclass(frozen=True)
class Decided:
    """What was decided before anything is trained.

    Attributes:
      dataset: as the final recipe wants it.
      search: recipe of the search.
      final: recipe of what is handed over.
      shares: of the time budget; None without one.
      started: `time.time()` when the data was read.
      references: names and genotypes, in the order in which they are trained, as far as there is
        time; see `compared`.
      budget: of time; None without one.
      seconds_per_work: of a final training's step, see `auto.work`; 0 where it was not measured.
      most_activations: of a network that can be trained in the memory that is free.
      lines: that say it in words.
      most_members: trainings of a network that may be averaged; 1 without a time budget.
    """

    dataset: ImageDataset
    search: Recipe
    final: Recipe
    shares: auto.Shares | None
    started: float
    references: tuple[tuple[str, Genotype], ...]
    budget: auto.Budget | None
    seconds_per_work: float
    most_activations: float
    lines: tuple[str, ...]
    most_members: int = 1

    @property
    def shrunk(self) -> float:
        """The pixels of an image in the search, as a share of those in the final training."""
        final = auto.longest_side(self.dataset)
        return min(1.0, (self.search.data.image_size or final) / final) ** 2

    @property
    def compared(self) -> tuple[Genotype, ...]:
        """The references that have a short training: all of them without a time budget."""
        genotypes = tuple(genotype for _, genotype in self.references)
        if self.shares is None:
            return genotypes
        return genotypes[: auto.num_compared(len(genotypes), self.shares.num_evaluations)]

    def beginning_with(self, name: str, genotype: Genotype, space: Space) -> "Decided":
        """Returns the same with another network before the references."""
        others = [each for each in self.references if space.key(each[1]) != space.key(genotype)]
        return dataclasses.replace(self, references=((name, genotype), *others))

    def ending_with(self, name: str, genotype: Genotype, space: Space) -> "Decided":
        """Returns the same with a network after the references, unless it is one of them."""
        if space.key(genotype) in {space.key(each[1]) for each in self.references}:
            return self
        return dataclasses.replace(self, references=(*self.references, (name, genotype)))

    @property
    def config(self) -> dict[str, Any]:
        """What a study keeps of it."""
        return auto.to_config(self.search, self.final, self.shares)


def budget_seconds() -> float | None:
    """Returns --time_budget in seconds; its default where no number of evaluations is given."""
    text = flags.TIME_BUDGET.value
    if text is None:
        if flags.given("budget_evaluations"):
            return None
        text = DEFAULT_BUDGET
    return parse_seconds(text)


def parse_seconds(text: str) -> float:
    """Reads a time such as "90s", "10m" or "1.5h"; a bare number is seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if not 0.0 < seconds < 1e8:
        raise FlagError(
            f"--time_budget={text:.40}: a time is a positive number with s, m or h, such as 90s, "
            "10m or 1.5h."
        )
    return seconds


def decide(space: Space) -> Decided:
    """Reads the data and decides how it is trained on.

    An earlier network that trainings start from is the first of the references.

    Raises:
      RecipeError: the networks of the space have no size of their own.
      FlagError: the time does not suffice for one training.
    """
    decided, earlier = _decide(space), initial.genotype(space)
    if earlier is None:
        return decided
    return decided.beginning_with("the earlier network", earlier, space)


def _decide(space: Space) -> Decided:
    _check(space)
    budget = budget_seconds()
    whole = _load(DataConfig(image_size=auto.LARGEST_SIDE))
    started = time.time()
    mirror = keeps_class_when_mirrored(whole.train.images, whole.train.labels, 0)
    search = _as_compared(auto.search_recipe(whole, mirror.allowed), whole)
    if budget is None:
        final = _changed(auto.final_recipe(whole, mirror.allowed, auto.GAUGE_SIDE), whole)
        dataset = _of_size(whole, final.data)
        chosen = ("resnet8", "vgg_small", "mobilenet_like")
        room, lines = _room(final), _first_lines(mirror, final, dataset)
        known = _genotypes(chosen)
        return Decided(dataset, search, final, None, started, known, None, 0.0, room, lines)
    measured = _changed(auto.final_recipe(whole, mirror.allowed, auto.GAUGE_SIDE), whole)
    gauge = _of_size(whole, dataclasses.replace(measured.data, train_examples=None))
    speed = _speed(space, measured, gauge)
    time_budget = auto.Budget(budget, speed.compile_seconds)
    limit = measured.data.train_examples
    num_images = min(len(whole.train), limit or len(whole.train))
    side = auto.choose_side(
        auto.sides(whole),
        speed.seconds_per_image,
        auto.longest_side(gauge),
        num_images,
        time_budget,
    )
    each = speed.seconds_per_image * (side / auto.longest_side(gauge)) ** 2
    change = auto.changes_images(num_images, time_budget.epochs(each, num_images))
    final = _changed(auto.final_recipe(whole, mirror.allowed, side, change), whole)
    dataset = _of_size(whole, final.data)
    per_work = speed.seconds_per_image / _works(space, search, gauge)[_GAUGE]
    return _decided(space, dataset, (search, final), per_work, time_budget, started, mirror)


def _works(space: Space, recipe: Recipe, dataset: ImageDataset) -> dict[str, float]:
    """Returns the work of each reference for one image of a data set."""
    num_classes = dataset.task.num_classes
    assert num_classes is not None
    names = ("flops", "activations")
    costs = NetworkCosts(space, recipe.network, num_classes, dataset.input_shape, names)
    return {name: auto.work(costs(PUBLISHED[name][1])) for name in _FAMILIES}


def recipe_by_data(space: Space, *, is_final: bool) -> Recipe:
    """Returns the recipe of a last training without a time limit, or that of a search."""
    _check(space)
    whole = _load(DataConfig(image_size=auto.LARGEST_SIDE))
    mirror = keeps_class_when_mirrored(whole.train.images, whole.train.labels, 0).allowed
    if is_final:
        return _changed(auto.final_recipe(whole, mirror, auto.longest_side(whole)), whole)
    return _changed(auto.search_recipe(whole, mirror), whole)


def _check(space: Space) -> None:
    if is_read(space, "filters"):
        raise RecipeError(
            f"--recipe=auto is for spaces whose architectures say their own size, such as "
            f"--space=convnet; for {space.name!r} take --recipe=cpu, or leave --recipe out."
        )
    check_changes(initial.changes(), space)
    if absl_flags.FLAGS.scan_cells and not is_read(space, "scan_cells"):
        raise RecipeError(
            f"--scan_cells compiles equal cells as one, but networks of space {space.name!r} have "
            "no such cells; leave it out."
        )


def _decided(
    space: Space,
    dataset: ImageDataset,
    recipes: tuple[Recipe, Recipe],
    seconds_per_work: float,
    budget: auto.Budget,
    started: float,
    mirror: MirrorEvidence,
) -> Decided:
    search, final = recipes
    works, num_images = _works(space, final, dataset), len(dataset.train)
    known = {name: auto.Reference(name, _FAMILIES[name], works[name]) for name in works}
    chosen: tuple[str, ...] = ()
    if flags.REFERENCES.value != "none":
        chosen = auto.choose_references(known, seconds_per_work, num_images, budget)
    longest = auto.longest_side(dataset)
    shrunk = min(1.0, (search.data.image_size or longest) / longest) ** 2
    typical, spent = shrunk * known[_GAUGE].work, time.time() - started
    planned = auto.shares(seconds_per_work, typical, search, num_images, budget, spent)
    smallest = min(works.values())  # of known networks; what is no larger may always be tried
    planned = dataclasses.replace(planned, max_work=max(planned.max_work, smallest))
    each = seconds_per_work * smallest
    if budget.seconds < budget.least_seconds(each, num_images):
        raise FlagError(
            f"--time_budget={budget.seconds:.0f}s is too short: one pass of the smallest network "
            f"over the {num_images:,} images takes about {each * num_images:.0f} s here, and "
            f"building it {budget.start_seconds:.0f} s; give at least "
            f"{math.ceil(budget.least_seconds(each, num_images))}s, or fewer images by "
            "--set=data.train_examples=N."
        )
    per_image = seconds_per_work * works[_GAUGE]
    lines = (
        *_first_lines(mirror, final, dataset),
        *_time_lines(
            planned,
            search,
            final,
            per_image,
            chosen[: auto.num_compared(len(chosen), planned.num_evaluations)],
            num_images,
        ),
    )
    room = _room(final)
    references, speed = _genotypes(chosen), (budget, seconds_per_work)
    rest = (*speed, room, lines, flags.MEMBERS.value)
    return Decided(dataset, search, final, planned, started, references, *rest)


def _room(recipe: Recipe) -> float:
    """Returns the activations for which there is memory."""
    devices = jax.local_devices()[: flags.DEVICES_PER_EVALUATION.value or None]
    count = 1 if devices[0].platform == "cpu" else len(devices)
    return auto.most_activations(free_on(devices), recipe, count)


def _load(config: DataConfig) -> ImageDataset:
    return load_dataset(flags.DATASET.value, config, flags.DATA_DIR.value)


def _of_size(whole: ImageDataset, config: DataConfig) -> ImageDataset:
    """Returns the data as workers will load it."""
    side, longest = config.image_size, auto.longest_side(whole)
    was_shrunk = longest >= auto.LARGEST_SIDE  # or it just has this size
    is_whole = side == auto.LARGEST_SIDE if was_shrunk else side is None or side >= longest
    return whole if is_whole and config.train_examples is None else _load(config)


def _changed(recipe: Recipe, dataset: ImageDataset) -> Recipe:
    """Returns a recipe with the weights that the metric wants and what the flags change."""
    weights = unequal.class_weights(flags.METRIC.value, dataset.train.labels)
    train = dataclasses.replace(recipe.train, class_weights=weights)
    recipe = dataclasses.replace(recipe, train=train)
    return parse_changes(recipe, initial.changes(), error=RecipeError)


def _as_compared(recipe: Recipe, dataset: ImageDataset) -> Recipe:
    """Returns the recipe of a search as --set changes it: all but the size of its images.

    A size that a person wants is that of the network to take away; with larger images short
    trainings would not be short, and the earlier tasks' no sources.
    """
    size = recipe.data.image_size
    changed = _changed(recipe, dataset)
    return dataclasses.replace(changed, data=dataclasses.replace(changed.data, image_size=size))


def _speed(space: Space, recipe: Recipe, dataset: ImageDataset) -> Speed:
    num_classes = dataset.task.num_classes
    assert num_classes is not None
    devices = jax.devices()[: flags.DEVICES_PER_EVALUATION.value or None]
    genotype, shape = PUBLISHED[_GAUGE][1], dataset.input_shape
    gauge = Gauge(space, genotype, recipe, shape, num_classes, devices)
    return training_speed(gauge, None if flags.DRY_RUN.value else inputs.folder_of("speed"))


def _genotypes(names: Sequence[str]) -> tuple[tuple[str, Genotype], ...]:
    return tuple((name, PUBLISHED[name][1]) for name in names)


def _first_lines(mirror: MirrorEvidence, final: Recipe, dataset: ImageDataset) -> tuple[str, ...]:
    inequality = unequal.inequality(dataset.train.labels)
    return (*_mirror_lines(mirror, final), *_class_lines(final, inequality))


def _class_lines(final: Recipe, inequality: float) -> tuple[str, ...]:
    """Says how unequal classes count, where that is not what a person would expect."""
    metric = flags.METRIC.value
    if final.train.class_weights == "root":
        return ("rare classes count more in the training: by the square root of their rarity",)
    if metric != "accuracy" or inequality < unequal.VERY_UNEQUAL:
        return ()
    return (
        f"warning: the largest class has {inequality:.0f} times the images of the smallest, so "
        "accuracy is mostly about large classes; --metric=balanced_accuracy counts all classes "
        "equally, and rare ones more in the training",
    )


def _mirror_lines(mirror: MirrorEvidence, final: Recipe) -> tuple[str, ...]:
    """Says how images are changed at random, and why, unless a person said how."""
    if any(change.startswith("data.augment=") for change in initial.changes()):
        return ()
    if final.data.augment == "none":
        return (
            "images are trained on as they are: with so many in so little time, shifted and "
            "mirrored ones would only be harder",
        )
    told = f"mirror images helped {mirror.helped} and harmed {mirror.harmed} of {mirror.num:,}"
    verdict = "are trained on too" if mirror.allowed else "are not trained on"
    return (f"mirrored images {verdict}: beside the nearest image, {told}",)


def _time_lines(
    planned: auto.Shares,
    search: Recipe,
    final: Recipe,
    per_image: float,
    chosen: Sequence[str],
    num_images: int,
) -> tuple[str, ...]:
    enough = auto.enough_epochs(num_images)
    few = float(max(1, round(enough / 4)))
    times = auto.error_factor(few, num_images)
    short = f"up to {planned.num_evaluations} short trainings" if planned.num_evaluations else ""
    search_words = (
        f"{short} of {search.train.epochs} epochs in {planned.search_seconds:.0f} s, then the best "
        "network"
        if short
        else "too short to compare networks; one that is known to do well, or is suggested,"
    )
    most = flags.MEMBERS.value
    again = (
        f", and up to {most} times where each has {auto.ENOUGH_OF_A_MEMBER * enough:.0f} of them: "
        "the mean of their answers is handed over (--members)"
        if most > 1
        else ""
    )
    if most >= FEWEST_TO_COMPETE:
        again += (
            f"; where {FEWEST_TO_COMPETE} or more fit, networks that compete have one each, as far "
            "as that is half of them, and the best has the rest"
        )
    lines = (
        f"speed: {1e3 * per_image:.2f} ms for an image of ResNet-8 at "
        f"{final.data.image_size} pixels",
        f"time: {planned.budget_seconds:.0f} s; {search_words} is trained for as many of "
        f"{final.train.epochs} epochs as fit{again}",
    )
    if not short:
        return lines
    return (
        *lines,
        f"a network that has fewer than {enough:.0f} epochs in that time counts with more error "
        f"than in its short training (with {few:.0f}, {times:.2f} times as much)",
        f"references: {', '.join(chosen) or 'none'}{_STAYS if chosen else ''}",
    )


def wishes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what names a study: the flags, not what was measured for them."""
    asked = {"recipe": auto.NAME, "set": initial.changes(), "time": budget_seconds()}
    decided = ("recipe", "final_recipe", "time")
    return {**{name: value for name, value in config.items() if name not in decided}, **asked}
