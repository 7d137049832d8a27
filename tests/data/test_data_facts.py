import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from xfernas_jax.data import DataConfig, ImageDataset, Split, load_dataset
from xfernas_jax.data.facts import DataFacts, data_facts, task_facts
from xfernas_jax.data.lazy import LazyImages
from xfernas_jax.data.npz import load_npz
from xfernas_jax.data.split import apply_config, build_dataset, make_part
from xfernas_jax.errors import DatasetError, HistoryError
from xfernas_jax.history.record import Task, TaskFacts

RNG = np.random.default_rng(0)


def images(count: int, side: int = 4, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (count, side, side, channels), np.uint8)


def as_given(
    train: list[int], valid: list[int], test: list[int], pictures: dict[str, np.ndarray]
) -> ImageDataset:
    labels = {"train": train, "valid": valid, "test": test}
    parts = {key: make_part(pictures[key], np.array(labels[key], np.int32)) for key in labels}
    return build_dataset("toy", parts, ("a", "b", "c"))


def unequal() -> ImageDataset:
    """Copies: one in training, one of training in validation, two in test; one has two labels."""
    train = images(8)
    train[5] = train[4]
    valid, test = images(3), images(4)
    valid[0], test[1], test[2] = train[0], train[7], train[7]
    pictures = {"train": train, "valid": valid, "test": test}
    return as_given([0, 0, 0, 0, 0, 0, 1, 2], [0, 1, 0], [0, 1, 2, 1], pictures)


def test_unequal_classes_and_missing_ones_are_named() -> None:
    facts = data_facts(unequal())
    assert facts.largest_class == ("a", 6)
    assert facts.smallest_class == ("b", 1)
    assert [part.num_images for part in facts.parts.values()] == [8, 3, 4]
    assert [part.missing for part in facts.parts.values()] == [(), ("c",), ()]
    assert facts.parts["test"].most_frequent == "b"
    assert facts.parts["test"].majority_share == 0.5


def test_copies_within_and_between_parts_are_counted() -> None:
    parts = data_facts(unequal()).parts
    assert [part.num_copies for part in parts.values()] == [1, 0, 1]
    assert [part.num_in_train for part in parts.values()] == [0, 1, 2]


def test_a_picture_under_two_labels_is_counted_once() -> None:
    assert data_facts(unequal()).num_contradicting == 1  # train[7] is c; in test b and c


def test_facts_are_those_of_the_whole_set_whatever_a_recipe_takes() -> None:
    whole = unequal()
    part = apply_config(whole, DataConfig(train_examples=3, image_size=2, valid_in_train=True))
    facts, other = data_facts(whole), data_facts(part)
    assert other.shape == (2, 2, 3)
    assert other.sizes == facts.sizes
    assert (other.parts, other.largest_class) == (facts.parts, facts.largest_class)


def test_sizes_of_a_folder_are_those_of_its_files(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i, (width, height) in enumerate([(8, 6)] * 6 + [(20, 10)] * 3 + [(4, 4)]):
            shape = (height, width, 3)
            pixels = RNG.integers(0, 256, shape, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    facts = data_facts(load_dataset(f"folder:{tmp_path}", DataConfig(image_size=4)))
    sizes = facts.sizes
    assert (sizes.num_distinct, sizes.most_frequent, sizes.most_frequent_share) == (3, (6, 8), 0.6)
    assert (sizes.smallest, sizes.largest, sizes.median) == ((4, 4), (10, 20), (6, 8))
    assert facts.shape == (3, 4, 3)
    assert facts.name == tmp_path.name


@pytest.mark.parametrize(
    ("channels", "equal", "colour"),
    [
        (1, True, "grey"),
        (3, True, "grey stored as colour"),
        (3, False, "colour"),
        (4, False, "other"),
    ],
)
def test_channels_are_told_by_what_they_hold(channels: int, equal: bool, colour: str) -> None:
    def shown(count: int) -> np.ndarray:
        grey = np.repeat(images(count, channels=1), channels, axis=3)
        return grey if equal else images(count, channels=channels)

    pictures = {"train": shown(3), "valid": shown(3), "test": shown(3)}
    assert data_facts(as_given([0, 1, 2], [0, 1, 2], [0, 1, 2], pictures)).colour == colour


def test_one_coloured_image_makes_a_set_coloured() -> None:
    grey = np.repeat(images(9, channels=1), 3, axis=3)
    grey[8, 1, 1, 0] ^= 1
    pictures = {"train": grey[:3], "valid": grey[3:6], "test": grey[6:]}
    assert data_facts(as_given([0, 1, 2], [0, 1, 2], [0, 1, 2], pictures)).colour == "colour"


class _CountingRows:
    """Images that count how many of them were read."""

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels, self.shape, self.num_read = pixels, pixels.shape, 0

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.num_read += len(rows)
        return self._pixels[rows]


def test_images_in_files_are_not_read_again_and_it_is_said() -> None:
    grey = np.repeat(images(1500, channels=1), 3, axis=3)
    rows = _CountingRows(grey)
    labels = (np.arange(1500) % 3).astype(np.int32)
    split = Split(LazyImages(rows), labels)
    own = ImageDataset(Task("own", "as given", 3), split, split, split, ("a", "b", "c"))
    facts = data_facts(own)
    assert rows.num_read <= 1024
    assert facts.parts["train"].num_copies is None
    assert facts.num_contradicting is None
    assert any("copies" in text for text in facts.left_out)
    assert any("grey" in text for text in facts.left_out)


def test_a_mapped_file_tells_what_a_loaded_one_does(tmp_path: Path) -> None:
    path = str(tmp_path / "toy.npz")
    pixels = images(60)
    pixels[1] = pixels[0]
    np.savez(path, x=pixels, y=np.arange(60) % 3)
    loaded = data_facts(build_dataset("toy", *load_npz(path), by_content=True))
    mapped = data_facts(build_dataset("toy", *load_npz(path, lazy_bytes=1), by_content=True))
    assert mapped == loaded
    assert loaded.num_contradicting == 1


def test_facts_come_back_from_json() -> None:
    facts = data_facts(unequal())
    assert DataFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_classes", "3"),
        ("num_classes", True),
        ("colour", "red"),
        ("shape", [4, 4]),
        ("largest_class", ["a"]),
        ("parts", {}),
        ("more", 1),
    ],
)
def test_other_fields_or_kinds_of_values_are_refused(field: str, value: Any) -> None:
    with pytest.raises(HistoryError, match="facts"):
        DataFacts.from_json({**data_facts(unequal()).to_json(), field: value})


def test_ten_thousand_images_take_less_than_a_second() -> None:
    train = images(8000, side=32)
    labels = (np.arange(8000) % 3).astype(np.int32)
    parts = {
        "train": make_part(train, labels),
        "valid": make_part(train[:1000], labels[:1000]),
        "test": make_part(train[1000:2000], labels[1000:2000]),
    }
    dataset = build_dataset("toy", parts, ("a", "b", "c"))
    start = time.process_time()
    data_facts(dataset)
    assert time.process_time() - start < 1.0


def test_a_picture_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.fromarray(images(1)[0]).save(tmp_path / name / f"{i}.png")
    file = tmp_path / "dog" / "3.png"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(DatasetError, match=r"3\.png: is not a readable image") as caught:
        load_dataset(f"folder:{tmp_path}", DataConfig())
    assert "\n" not in str(caught.value)


def test_what_places_a_task_is_that_of_the_whole_set() -> None:
    whole = unequal()
    assert task_facts(whole) == TaskFacts(8, 3, 4, True, 6.0)
    part = apply_config(whole, DataConfig(train_examples=3, image_size=2, valid_in_train=True))
    assert task_facts(part) == task_facts(whole)
    grey = as_given(
        [0, 1, 2],
        [0],
        [1],
        {k: images(3, 5, 1)[: 3 if k == "train" else 1] for k in ("train", "valid", "test")},
    )
    assert task_facts(grey) == TaskFacts(3, 3, 5, False, 1.0)
