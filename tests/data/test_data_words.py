import dataclasses
from typing import get_args

import pytest

from xfernas_jax.data.base import Augment, DataConfig
from xfernas_jax.data.facts import DataFacts, PartFacts, SizeFacts
from xfernas_jax.data.words import data_lines


def part(num_images: int, share: float = 0.125, **others) -> PartFacts:
    values = {"missing": (), "num_copies": 0, "num_in_train": 0, **others}
    return PartFacts(num_images, values["missing"], "Apple", share, *list(values.values())[1:])


FACTS = DataFacts(
    name="grocery",
    num_classes=43,
    parts={"train": part(2640), "valid": part(296), "test": part(2485)},
    smallest_class=("Oatghurt", 16),
    largest_class=("Apple", 278),
    sizes=SizeFacts(1, (64, 85), 1.0, (64, 85), (64, 85), (64, 85)),
    shape=(64, 85, 3),
    colour="colour",
    num_contradicting=0,
    left_out=(),
)
PLAIN = DataConfig()


def test_a_set_without_oddities_is_four_lines() -> None:
    assert data_lines(FACTS, PLAIN) == [
        "grocery: 2,640 training, 296 validation and 2,485 test images in 43 classes",
        "size: all 64x85; colour",
        'classes: 16 (Oatghurt) to 278 (Apple) training images; always saying "Apple" would be '
        "right for 12.5 % of the test images",
        "used: 64x85 pixels, all 2,640 training images, no augmentation",
    ]


def test_several_sizes_are_told_and_that_images_are_stretched() -> None:
    sizes = SizeFacts(3, (64, 85), 0.39, (64, 85), (64, 64), (64, 113))
    lines = data_lines(dataclasses.replace(FACTS, sizes=sizes, shape=(48, 64, 3)), PLAIN)
    assert lines[1] == "sizes, height x width: 64x64 to 64x113, most 64x85 (39.0 %); colour"
    assert "48x64 pixels (from 64x85 and other sizes, stretched to one shape)" in lines[-1]


def test_copies_between_parts_are_one_line() -> None:
    parts = {
        "train": part(2640, num_copies=4),
        "valid": part(296),
        "test": part(2485, num_in_train=3),
    }
    lines = data_lines(dataclasses.replace(FACTS, parts=parts, num_contradicting=2), PLAIN)
    assert [line for line in lines if line.startswith("copies")] == [
        "copies: 4 training images are copies of others, 3 test images stand in training too, "
        "2 pictures have more than one label (their scores are too good); nothing is removed"
    ]


def test_classes_that_a_part_lacks_are_named_up_to_five() -> None:
    parts = {**FACTS.parts, "valid": part(296, missing=tuple("abcdefg"))}
    lines = data_lines(dataclasses.replace(FACTS, parts=parts), PLAIN)
    words = "no validation image of: a, b, c, d, e and 2 more; networks are compared without them"
    assert words in lines


def test_what_a_recipe_leaves_out_is_said_with_the_way_out() -> None:
    config = DataConfig(train_examples=512, valid_examples=200, image_size=8)
    lines = data_lines(dataclasses.replace(FACTS, shape=(6, 8, 3)), config)
    assert lines[3:] == [
        "used: 6x8 pixels (from 64x85), 512 of 2,640 training images, 200 of 296 validation "
        "images, no augmentation",
        "warning: 99.1 % of the pixels are lost; --set=data.image_size=85 keeps them",
        "warning: 2,128 training images are not used; --set=data.train_examples=null uses all",
    ]


def test_where_the_time_decided_on_the_size_that_is_said() -> None:
    facts, config = dataclasses.replace(FACTS, shape=(6, 8, 3)), DataConfig(image_size=8)
    assert data_lines(facts, config, is_timed=True)[-1] == (
        "warning: 99.1 % of the pixels are lost to save time; if you have more, "
        "--set=data.image_size=85 keeps them"
    )


def test_augmentation_is_said_in_words() -> None:
    config = DataConfig(augment="crop_flip", cutout=16, valid_in_train=True)
    last = data_lines(FACTS, config)[-1]
    assert "validation images are trained on too, random crops and left-right flips" in last
    assert "a random square of 16 pixels a side is erased" in last


@pytest.mark.parametrize("augment", get_args(Augment))
def test_every_augmentation_has_words(augment: Augment) -> None:
    assert data_lines(FACTS, DataConfig(augment=augment))


def test_what_nobody_looked_at_is_said() -> None:
    facts = dataclasses.replace(FACTS, left_out=("copies",), num_contradicting=None)
    assert "not looked at: copies" in data_lines(facts, PLAIN)


def test_grey_images_in_a_colour_set_are_told() -> None:
    lines = data_lines(dataclasses.replace(FACTS, colour="grey stored as colour"), PLAIN)
    assert lines[1] == "size: all 64x85; stored as colour, but all are grey"
