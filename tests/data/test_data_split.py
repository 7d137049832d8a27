import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xfernas_jax.data import DataConfig, ImageDataset, Split
from xfernas_jax.data.lazy import LazyImages
from xfernas_jax.data.split import Part, apply_config, build_dataset, make_part, path_stem
from xfernas_jax.errors import DatasetError

NAMES = ("a", "b", "c", "d")

MANY = tuple(f"class {number}" for number in range(30))


def part_of(ids: list[int] | np.ndarray, labels: list[int] | np.ndarray) -> Part:
    """One 2x2 image for each id: equal ids are exact copies."""
    ids = np.asarray(ids)
    images = np.zeros((len(ids), 2, 2, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 1, 1, 0] = ids % 256, ids // 256
    return make_part(images, np.asarray(labels, np.int32))


def ids_of(images: np.ndarray) -> list[int]:
    return (images[:, 0, 0, 0].astype(int) + 256 * images[:, 1, 1, 0].astype(int)).tolist()


@st.composite
def ids_and_labels(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Groups of one to three copies; copies may differ in label."""
    sizes = draw(st.lists(st.integers(1, 3), min_size=20, max_size=40))
    ids = np.repeat(np.arange(len(sizes)), sizes).tolist()
    classes = st.integers(0, len(NAMES) - 1)
    return ids, draw(st.lists(classes, min_size=len(ids), max_size=len(ids)))


@settings(max_examples=40, deadline=None)
@given(ids_and_labels(), st.booleans())
def test_split_is_complete_disjoint_and_keeps_copies_together(
    examples: tuple[list[int], list[int]], has_test: bool
) -> None:
    part = part_of(*examples)
    given_test = {"test": part_of([999], [0])} if has_test else {}
    dataset = build_dataset("toy", {"train": part, **given_test}, NAMES)
    drawn = {
        key: Counter(zip(ids_of(split.images), split.labels.tolist(), strict=True))
        for key, split in dataset.parts().items()
        if key != "test" or not has_test
    }
    every = Counter(zip(ids_of(part.split.images), part.split.labels.tolist(), strict=True))
    assert sum(drawn.values(), Counter()) == every
    images = [{identity for identity, _ in counts} for counts in drawn.values()]
    assert sum(len(found) for found in images) == len(set().union(*images))


@settings(max_examples=20, deadline=None)
@given(ids_and_labels(), st.integers(0, 2**32 - 1))
def test_split_does_not_depend_on_the_order_of_examples(
    examples: tuple[list[int], list[int]], seed: int
) -> None:
    part = part_of(*examples)
    order = np.random.default_rng(seed).permutation(len(part.split))
    one = build_dataset("toy", {"train": part}, NAMES)
    two = build_dataset("toy", {"train": part.take(order)}, NAMES)
    for key in ("train", "valid", "test"):
        assert sorted(ids_of(one.parts()[key].images)) == sorted(ids_of(two.parts()[key].images))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(5, 90), min_size=2, max_size=4))
def test_split_without_copies_is_stratified(class_sizes: list[int]) -> None:
    labels = np.repeat(np.arange(len(class_sizes)), class_sizes)
    total = len(labels)
    part = part_of(np.arange(total), labels)
    dataset = build_dataset("toy", {"train": part}, NAMES)
    count = round(0.2 * total)
    assert len(dataset.test) == len(dataset.valid) == count
    found = np.bincount(dataset.test.labels, minlength=len(class_sizes))
    # By largest remainders a class is less than one example away from its exact share.
    assert (abs(found - count * np.array(class_sizes) / total) < 1).all()


def test_split_is_the_same_in_every_version() -> None:
    part = part_of(np.arange(20), np.arange(20) % 2)
    dataset = build_dataset("toy", {"train": part}, NAMES[:2])
    # Recorded once: another split under the same words would make old histories lie.
    assert ids_of(dataset.test.images) == [0, 1, 6, 11]
    assert ids_of(dataset.valid.images) == [4, 7, 13, 18]


def classes_of(dataset: ImageDataset) -> dict[str, dict[int, int]]:
    return {key: dict(Counter(part.labels.tolist())) for key, part in dataset.parts().items()}


def with_rare(num_images: int) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Ten classes of so few images beside one of a thousand."""
    labels = [0] * 1_000 + [1 + i for i in range(10) for _ in range(num_images)]
    return {"train": part_of(list(range(len(labels))), labels)}, MANY[:11]


@pytest.mark.parametrize("rare", [3, 4, 5])
def test_rare_classes_with_an_image_for_each_part_are_in_each(rare: int) -> None:
    found = classes_of(build_dataset("toy", *with_rare(rare)))
    for label in range(1, 11):
        counts = [part[label] for part in found.values()]
        assert min(counts) >= 1
        assert sum(counts) == rare
    fifth = round(0.2 * (1_000 + 10 * rare))
    assert [sum(part.values()) for part in found.values()][1:] == [fifth, fifth]


def test_a_class_of_two_is_trained_on_and_compared() -> None:
    found = classes_of(
        build_dataset("toy", {"train": part_of(list(range(202)), [0] * 200 + [1] * 2)}, NAMES[:2])
    )
    assert [part.get(1, 0) for part in found.values()] == [1, 1, 0]


def test_copies_of_a_rare_image_stay_together_and_its_class_is_in_each_part() -> None:
    ids = [*range(200), 900, 900, 901, 902]
    whole = build_dataset("toy", {"train": part_of(ids, [0] * 200 + [1] * 4)}, NAMES[:2])
    assert all(part[1] >= 1 for part in classes_of(whole).values())
    own = [set(ids_of(part.images)) & {900, 901, 902} for part in whole.parts().values()]
    assert sorted(map(len, own)) == [1, 1, 1]


def test_every_class_has_an_image_to_train_on() -> None:
    labels = [label for label in range(10) for _ in range(2)]
    found = classes_of(build_dataset("toy", {"train": part_of(list(range(20)), labels)}, MANY[:10]))
    assert sorted(found["train"]) == list(range(10))
    with pytest.raises(DatasetError, match="every class needs one of its own to train on"):
        build_dataset("toy", {"train": part_of(list(range(30)), list(range(30)))}, MANY)
    given_test = {"train": part_of(list(range(30)), list(range(30))), "test": part_of([99], [0])}
    with pytest.raises(DatasetError, match="too few distinct images to draw a valid part"):
        build_dataset("toy", given_test, MANY)


@pytest.mark.parametrize("count", [50, 60])
def test_a_subset_keeps_rare_classes(count: int) -> None:
    labels = [0] * 5_000 + [1, 2]
    whole = {"train": part_of(list(range(5_002)), labels), "valid": part_of([6_000], [0])}
    found = build_dataset("toy", {**whole, "test": part_of([6_001], [0])}, MANY[:3])
    subset = apply_config(found, DataConfig(train_examples=count))
    assert Counter(subset.train.labels.tolist()) == {0: count - 2, 1: 1, 2: 1}


def test_another_split_has_other_words() -> None:
    even = {"train": part_of(list(range(200)), [0] * 100 + [1] * 100)}
    assert "rare" not in build_dataset("toy", even, NAMES[:2]).task.split
    assert "rare classes in each part" in build_dataset("toy", *with_rare(3)).task.split


def test_given_parts_stay_as_they_are() -> None:
    parts = {
        "train": part_of(np.arange(30), np.arange(30) % 2),
        "valid": part_of([101, 100], [0, 1]),
        "test": part_of([203, 201, 202], [1, 0, 1]),
    }
    dataset = build_dataset("toy", parts, NAMES[:2])
    assert dataset.task.split == "train/valid/test as given"
    for key, part in parts.items():
        np.testing.assert_array_equal(dataset.parts()[key].images, part.split.images)

    del parts["valid"]
    dataset = build_dataset("toy", parts, NAMES[:2])
    assert (len(dataset.train), len(dataset.valid)) == (27, 3)
    assert ids_of(dataset.test.images) == [203, 201, 202]

    parts["valid"] = parts.pop("test")
    dataset = build_dataset("toy", parts, NAMES[:2])
    assert (len(dataset.train), len(dataset.test)) == (24, 6)
    assert ids_of(dataset.valid.images) == [203, 201, 202]


@pytest.mark.parametrize("ids", [[1], [1, 1, 1, 1, 1], [1, 2]])
def test_too_few_distinct_images_are_refused(ids: list[int]) -> None:
    with pytest.raises(DatasetError, match="toy: too few distinct images"):
        build_dataset("toy", {"train": part_of(ids, np.arange(len(ids)) % 2)}, NAMES)


def test_subset_is_stratified_deterministic_and_leaves_task_and_test_alone() -> None:
    labels = np.repeat([0, 1, 2], [100, 200, 300])
    whole = build_dataset("toy", {"train": part_of(np.arange(600), labels)}, NAMES[:3])
    config = DataConfig(train_examples=60, valid_examples=30)
    small, again = apply_config(whole, config), apply_config(whole, config)
    assert np.bincount(small.train.labels).tolist() == [10, 20, 30]
    assert np.bincount(small.valid.labels).tolist() == [5, 10, 15]
    assert set(ids_of(small.train.images)) <= set(ids_of(whole.train.images))
    np.testing.assert_array_equal(small.train.images, again.train.images)
    np.testing.assert_array_equal(small.test.images, whole.test.images)
    assert small.task == whole.task
    assert len(apply_config(whole, DataConfig(train_examples=10**6)).train) == 360


@pytest.mark.parametrize("lazy", [(), ("train",), ("valid",), ("train", "valid")])
def test_validation_images_can_be_trained_on_and_stay_apart_otherwise(
    lazy: tuple[str, ...],
) -> None:
    labels = np.repeat([0, 1], [100, 200])
    whole = build_dataset("toy", {"train": part_of(np.arange(300), labels)}, NAMES[:2])
    config = DataConfig(train_examples=60, valid_examples=30)
    apart = apply_config(whole, config)
    parts = {k: Split(LazyImages(whole.parts()[k].images), whole.parts()[k].labels) for k in lazy}
    joined = apply_config(
        dataclasses.replace(whole, **parts), dataclasses.replace(config, valid_in_train=True)
    )
    assert len(joined.train) == 90
    both = [*ids_of(apart.train.images), *ids_of(apart.valid.images)]
    assert ids_of(joined.train.images[:]) == both
    assert ids_of(joined.train.images[np.array([75, 3, 60])]) == [both[75], both[3], both[60]]
    np.testing.assert_array_equal(
        joined.train.labels, np.concatenate([apart.train.labels, apart.valid.labels])
    )
    assert joined.task == apart.task
    np.testing.assert_array_equal(joined.valid.images[:], apart.valid.images)
    np.testing.assert_array_equal(joined.test.images, apart.test.images)


def test_content_names_the_task_of_a_path() -> None:
    def name(ids: np.ndarray, classes: tuple[str, ...] = ("a", "b")) -> str:
        parts = {"train": part_of(ids, np.arange(20) % 2)}
        return build_dataset("toy", parts, classes, by_content=True).task.dataset

    assert name(np.arange(20)).startswith("toy-")
    assert name(np.arange(20)) == name(np.arange(20))
    assert len({name(np.arange(20)), name(np.arange(1, 21)), name(np.arange(20), ("a", "c"))}) == 3


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("/home/someone/my set.npz", "my_set"),
        ("C:\\data\\usps.npz", "usps"),
        ("photos/", "photos"),
        ("/", "images"),
    ],
)
def test_path_stem_hides_the_folder(path: str, stem: str) -> None:
    assert path_stem(path) == stem
