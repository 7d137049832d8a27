import numpy as np
import pytest

from xfernas_jax.data import DataConfig, ImageDataset, Split
from xfernas_jax.errors import DatasetError, RecipeError
from xfernas_jax.history.record import Task


def make_split(count: int = 4, side: int = 3, classes: int = 2) -> Split:
    labels = (np.arange(count) % classes).astype(np.int32)
    return Split(np.zeros((count, side, side, 1), np.uint8), labels)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 3, 3), np.uint8), np.zeros(2, np.int32)),
        (np.zeros((2, 3, 3, 1), np.float32), np.zeros(2, np.int32)),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros((2, 1), np.int32)),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(3, np.int32)),
        (np.zeros((0, 3, 3, 1), np.uint8), np.zeros(0, np.int32)),
        (np.zeros((2, 0, 3, 1), np.uint8), np.zeros(2, np.int32)),
    ],
)
def test_split_refuses_wrong_shapes_and_types(images: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(DatasetError):
        Split(images, labels)


def test_dataset_refuses_parts_of_other_shape_labels_out_of_range_and_wrong_names() -> None:
    good, task = make_split(), Task("toy", "as given", 2)
    ImageDataset(task, good, good, good, ("a", "b"))
    with pytest.raises(DatasetError, match="toy: all parts have one image shape"):
        ImageDataset(task, good, good, make_split(side=4), ("a", "b"))
    with pytest.raises(DatasetError, match=r"toy: labels lie in 0\.\.1\. Got 0\.\.2 in valid"):
        ImageDataset(task, good, make_split(classes=3), good, ("a", "b"))
    with pytest.raises(DatasetError, match="toy: every class has one name"):
        ImageDataset(task, good, good, good, ("a",))


@pytest.mark.parametrize(
    "values",
    [
        {"train_examples": 0},
        {"valid_examples": -1},
        {"image_size": 0},
        {"crop_padding": -1},
        {"cutout": -2},
        {"cutout_probability": 0.0},
    ],
)
def test_config_refuses_values_out_of_range(values: dict[str, float]) -> None:
    (name,) = values
    with pytest.raises(RecipeError, match=name):
        DataConfig(**values)  # type: ignore[arg-type]
