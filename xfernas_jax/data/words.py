"""What was found in a data set and what a recipe does with it, in plain lines."""

from collections.abc import Sequence

from xfernas_jax.data.base import DataConfig
from xfernas_jax.data.facts import DataFacts

_MUCH_SHRUNK = 4  # times fewer pixels that are worth a warning
_NAMES_SHOWN = 5
_AUGMENT = {
    "none": "no augmentation",
    "flip": "left-right flips",
    "crop": "random crops",
    "crop_flip": "random crops and left-right flips",
}


def data_lines(facts: DataFacts, config: DataConfig, *, is_timed: bool = False) -> list[str]:
    """Says what was found and what is done with it; nothing about what is as it should be.

    Args:
      facts: of the set, loaded with `config`.
      config: of the recipe.
      is_timed: whether a time budget decided on the size of the images.

    Returns:
      Lines without a line end. Names of classes come from files and may hold any character.
    """
    train, valid, test = (facts.parts[key] for key in ("train", "valid", "test"))
    return [
        f"{facts.name}: {train.num_images:,} training, {valid.num_images:,} validation and "
        f"{test.num_images:,} test images in {facts.num_classes} classes",
        _sizes(facts),
        _classes(facts),
        *_missing(facts),
        *(f"note: {text}" for text in facts.remarks),
        *_copies(facts),
        *(f"not looked at: {text}" for text in facts.left_out),
        _used(facts, config),
        *_warnings(facts, config, is_timed),
    ]


def _sizes(facts: DataFacts) -> str:
    sizes = facts.sizes
    colour = {"grey stored as colour": "stored as colour, but all are grey"}
    colour = colour.get(facts.colour, facts.colour)
    if facts.colour == "other":
        colour = f"{facts.shape[2]} channels"
    if sizes.num_distinct == 1:
        return f"size: all {_shape(sizes.most_frequent)}; {colour}"
    share = _percent(sizes.most_frequent_share)
    return (
        f"sizes, height x width: {_shape(sizes.smallest)} to {_shape(sizes.largest)}, most "
        f"{_shape(sizes.most_frequent)} ({share}); {colour}"
    )


def _classes(facts: DataFacts) -> str:
    (low, least), (high, most) = facts.smallest_class, facts.largest_class
    test = facts.parts["test"]
    each = f"{least:,} ({_name(low)}) to {most:,} ({_name(high)}) training images"
    if least == most:
        each = f"{most:,} training images each"
    return (
        f'classes: {each}; always saying "{_name(test.most_frequent)}" would be right for '
        f"{_percent(test.majority_share)} of the test images"
    )


def _missing(facts: DataFacts) -> list[str]:
    titles = {"train": "training", "valid": "validation", "test": "test"}
    means = {
        "train": "which no network can learn",
        "valid": "networks are compared without them",
        "test": "the test score says nothing of them",
    }
    return [
        f"no {titles[key]} image of: {_names(part.missing)}; {means[key]}"
        for key, part in facts.parts.items()
        if part.missing
    ]


def _copies(facts: DataFacts) -> list[str]:
    """Says in one line which images stand there twice, and what that does."""
    train, valid, test = (facts.parts[key] for key in ("train", "valid", "test"))
    found = [
        (train.num_copies, "training images are copies of others"),
        (valid.num_in_train, "validation images stand in training too"),
        (test.num_in_train, "test images stand in training too"),
        (facts.num_contradicting, "pictures have more than one label"),
    ]
    shown = [f"{count:,} {text}" for count, text in found if count]
    if not shown:
        return []
    effect = " (their scores are too good)" if valid.num_in_train or test.num_in_train else ""
    return [f"copies: {', '.join(shown)}{effect}; nothing is removed"]


def _used(facts: DataFacts, config: DataConfig) -> str:
    height, width, _ = facts.shape
    frequent = facts.sizes.most_frequent
    pixels = f"{_shape((height, width))} pixels"
    if facts.sizes.num_distinct > 1:
        pixels += f" (from {_shape(frequent)} and other sizes, stretched to one shape)"
    elif (height, width) != frequent:
        pixels += f" (from {_shape(frequent)})"
    shown = [pixels]
    for key, title, limit in (
        ("train", "training", config.train_examples),
        ("valid", "validation", config.valid_examples),
    ):
        count = facts.parts[key].num_images
        if limit is not None and limit < count:
            shown.append(f"{limit:,} of {count:,} {title} images")
        elif key == "train":
            shown.append(f"all {count:,} {title} images")
    if config.valid_in_train:
        shown.append("validation images are trained on too")
    return f"used: {', '.join([*shown, *_changes(config)])}"


def _changes(config: DataConfig) -> list[str]:
    """Returns what happens to training images at random, in words."""
    changes = [] if config.augment == "none" and config.cutout else [_AUGMENT[config.augment]]
    if config.cutout:
        changes.append(f"a random square of {config.cutout} pixels a side is erased")
    return changes


def _warnings(facts: DataFacts, config: DataConfig, is_timed: bool) -> list[str]:
    """Warns of what a recipe throws away, each time with the way out."""
    lines = []
    height, width = facts.sizes.median
    factor = height * width / (facts.shape[0] * facts.shape[1])
    if factor >= _MUCH_SHRUNK:
        keeps = f"--set=data.image_size={max(height, width)}"
        lost = _percent(1 - 1 / factor)
        words = f"{lost} of the pixels are lost; {keeps} keeps them"
        if is_timed:
            words = (
                f"{lost} of the pixels are lost to save time; if you have more, {keeps} keeps them"
            )
        lines.append(f"warning: {words}")
    limit, count = config.train_examples, facts.parts["train"].num_images
    if limit is not None and limit < count:
        lines.append(
            f"warning: {count - limit:,} training images are not used; "
            "--set=data.train_examples=null uses all"
        )
    return lines


def _shape(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _name(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:37]}..."


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(map(_name, names[:_NAMES_SHOWN]))
    return f"{shown} and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else shown
