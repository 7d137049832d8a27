import os
from pathlib import Path

import numpy as np
import pytest

from xfernas_jax.data import DataConfig, load_dataset
from xfernas_jax.data.facts import data_facts
from xfernas_jax.data.npz import load_npz
from xfernas_jax.data.split import build_dataset
from xfernas_jax.data.words import data_lines
from xfernas_jax.errors import DatasetError

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 6), dtype=np.uint8)
LABELS = np.arange(40) % 4


def write(folder: Path, **arrays: np.ndarray) -> str:
    path = folder / "toy.npz"
    np.savez(path, **arrays)
    return str(path)


def test_npz_with_all_parts_is_read_as_given(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        x_train=IMAGES[:20], y_train=LABELS[:20], x_valid=IMAGES[20:28], y_valid=LABELS[20:28],
        x_test=IMAGES[28:], y_test=LABELS[28:, None], class_names=np.array(["a", "b", "c", "d"]),
    )  # fmt: skip
    for name in (path, f"npz:{path}"):
        dataset = load_dataset(name, DataConfig())
        assert dataset.class_names == ("a", "b", "c", "d")
        np.testing.assert_array_equal(dataset.test.images[..., 0], IMAGES[28:])
        np.testing.assert_array_equal(dataset.test.labels, LABELS[28:])
        assert str(tmp_path) not in dataset.task.dataset
        assert dataset.task.dataset.startswith("toy-")


def test_npz_without_parts_is_split_and_floats_are_scaled(tmp_path: Path) -> None:
    as_bytes = load_dataset(write(tmp_path, x=IMAGES, y=LABELS), DataConfig())
    as_floats = load_dataset(write(tmp_path, x=IMAGES / 255, y=LABELS), DataConfig())
    assert [len(part) for part in as_bytes.parts().values()] == [24, 8, 8]
    assert as_bytes.task == as_floats.task
    np.testing.assert_array_equal(as_bytes.train.images, as_floats.train.images)
    np.testing.assert_array_equal(np.bincount(as_bytes.test.labels), [2, 2, 2, 2])


BAD_ARRAYS = {
    "no keys": ({"a": IMAGES}, "has keys x_train and y_train"),
    "no labels": ({"x_train": IMAGES}, "has keys x_train and y_train"),
    "unpaired test": ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES}, "in pairs"),
    "object images": ({"x": np.array([IMAGES, None], object), "y": LABELS}, "object arrays"),
    "counts differ": ({"x": IMAGES, "y": LABELS[:-1]}, "same number of examples"),
    "empty": ({"x": IMAGES[:0], "y": LABELS[:0]}, "x is"),
    "rank": ({"x": IMAGES[0], "y": LABELS}, r"x is \[N, H, W\]"),
    "text images": ({"x": IMAGES.astype(str), "y": LABELS}, "numbers"),
    "NaN": ({"x": np.full((40, 6, 6), np.nan), "y": LABELS}, "floating point 0..1"),
    "floats to 255": ({"x": IMAGES.astype(float), "y": LABELS}, "rescale"),
    "integers to 256": ({"x": IMAGES.astype(int) + 1, "y": LABELS}, "rescale"),
    "negative": ({"x": IMAGES.astype(int) - 1, "y": LABELS}, "rescale"),
    "float labels": ({"x": IMAGES, "y": LABELS / 1}, "y is"),
    "negative label": ({"x": IMAGES, "y": LABELS - 1}, "class numbers from 0"),
    "labels from 1": ({"x": IMAGES, "y": LABELS + 1}, "Class 0 does not"),
    "label gap": ({"x": IMAGES, "y": LABELS * 2}, "Class 1 does not"),
    "one class": ({"x": IMAGES, "y": LABELS * 0}, "at least 2 classes"),
    "few names": ({"x": IMAGES, "y": LABELS, "class_names": np.array(["a"])}, "class_names"),
    "number names": ({"x": IMAGES, "y": LABELS, "class_names": np.arange(4)}, "class_names"),
    "test shape": (
        {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, 1:], "y_test": LABELS},
        "one image shape",
    ),
}


@pytest.mark.parametrize("case", sorted(BAD_ARRAYS))
def test_bad_arrays_get_one_line_with_name_and_rule(tmp_path: Path, case: str) -> None:
    arrays, rule = BAD_ARRAYS[case]
    with pytest.raises(DatasetError, match=rule) as caught:
        load_dataset(write(tmp_path, **arrays), DataConfig())
    assert "toy" in str(caught.value)
    assert "\n" not in str(caught.value)


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_nothing_in_the_file_is_executed(tmp_path: Path) -> None:
    path = write(tmp_path, x=np.array([Trap(tmp_path / "sprung")], object), y=LABELS)
    with pytest.raises(DatasetError, match="object arrays"):
        load_dataset(path, DataConfig())
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kind", ["missing", "folder", "text", "empty", "truncated", "flipped"])
def test_damaged_file_gets_one_line_with_the_path(tmp_path: Path, kind: str) -> None:
    path = Path(write(tmp_path, x=IMAGES, y=LABELS))
    content = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
        path.write_bytes(
            {"text": b"hello", "empty": b"", "truncated": content[:middle], "flipped": flipped}[
                kind
            ]
        )
    with pytest.raises(DatasetError) as caught:
        load_dataset(str(path), DataConfig())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


OTHER_NAMES = {
    "MedMNIST": ("train_images", "train_labels", "val_images", "val_labels", "test_images"),
    "capitals": ("X_train", "y_train", "X_val", "y_val", "X_test"),
    "mixed": ("x", "y", "x_val", "y_val", "x_test"),
    "words": ("data", "targets", "dev_data", "dev_targets", "data_testing"),
}


@pytest.mark.parametrize("case", OTHER_NAMES)
def test_a_given_part_is_used_whatever_it_is_called(tmp_path: Path, case: str) -> None:
    x, y, x_valid, y_valid, x_test = OTHER_NAMES[case]
    y_test = x_test.replace("images", "labels").replace("data", "targets")
    y_test = y_test.replace("x_", "y_").replace("X_", "y_")
    arrays = {x: IMAGES[:20], y: LABELS[:20], x_valid: IMAGES[20:28], y_valid: LABELS[20:28]}
    path = write(tmp_path, **arrays, **{x_test: IMAGES[28:], y_test: LABELS[28:, None]})
    dataset = load_dataset(path, DataConfig())
    assert dataset.task.split == "train/valid/test as given"
    np.testing.assert_array_equal(dataset.valid.images[..., 0], IMAGES[20:28])
    np.testing.assert_array_equal(dataset.test.images[..., 0], IMAGES[28:])
    assert dataset.found is not None
    assert dataset.found.remarks == ()


def test_names_do_not_change_the_task(tmp_path: Path) -> None:
    tasks = [
        load_dataset(write(tmp_path, **{x: IMAGES, y: LABELS}), DataConfig()).task
        for x, y in (("x", "y"), ("x_train", "y_train"), ("images", "labels"))
    ]
    assert tasks[0] == tasks[1] == tasks[2]


@pytest.mark.parametrize("keys", [("x", "x_train"), ("images", "X"), ("x_val", "val_images")])
def test_two_names_of_one_thing_are_refused(tmp_path: Path, keys: tuple[str, str]) -> None:
    arrays = {"y": LABELS, "y_val": LABELS, **dict.fromkeys(("x", *keys), IMAGES)}
    with pytest.raises(DatasetError, match="both name the images of the part"):
        load_dataset(write(tmp_path, **arrays), DataConfig())


def test_what_is_not_used_is_named(tmp_path: Path) -> None:
    more = {"weights": np.ones(40), "x_extra": IMAGES, "train_images_masks": IMAGES}
    path = write(tmp_path, x=IMAGES, y=LABELS, **more)
    lines = data_lines(data_facts(load_dataset(path, DataConfig())), DataConfig())
    (line,) = [line for line in lines if "not used" in line]
    assert all(name in line for name in more)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("lazy_bytes", [1, 2**40])
def test_channels_that_come_first_are_found(tmp_path: Path, channels: int, lazy_bytes: int) -> None:
    last = np.random.default_rng(1).integers(0, 256, (40, 6, 7, channels), dtype=np.uint8)
    path = write(tmp_path, x=np.moveaxis(last, 3, 1).copy(), y=LABELS)
    dataset = build_dataset("toy", *load_npz(path, lazy_bytes), by_content=True)
    (tmp_path / "other").mkdir()  # the first file is still read from
    path = write(tmp_path / "other", x=last, y=LABELS)
    plain = build_dataset("toy", *load_npz(path), by_content=True)
    assert dataset.task == plain.task
    np.testing.assert_array_equal(dataset.train.images[:], plain.train.images[:])
    assert dataset.found is not None
    assert "[N, C, H, W]" in dataset.found.remarks[0]


@pytest.mark.parametrize("shape", [(3, 5, 3), (1, 9, 1), (28, 3, 1), (5, 6, 4)])
def test_channels_that_may_come_last_do(tmp_path: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(1).integers(0, 256, (40, *shape), dtype=np.uint8)
    assert load_dataset(write(tmp_path, x=images, y=LABELS), DataConfig()).input_shape == shape


def test_a_path_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, x=IMAGES, y=LABELS)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_dataset("npz:~/toy.npz", DataConfig()).task.num_classes == 4
