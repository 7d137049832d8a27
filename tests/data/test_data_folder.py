from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xfernas_jax.data import DataConfig, load_dataset
from xfernas_jax.errors import DatasetError


def fill(folder: Path, count: int, seed: int = 0, size: tuple[int, int] = (8, 6), **kinds) -> None:
    """Writes `count` images of (width, height) to each of the classes cat and dog."""
    rng = np.random.default_rng(seed)
    width, height = size
    shape = (height, width) if kinds.get("grey") else (height, width, 3)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            image = Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))
            image.save(folder / name / f"{seed}_{i}.png")


def test_flat_folder_is_split_and_named_by_content(tmp_path: Path) -> None:
    fill(tmp_path / "pets", 10)
    (tmp_path / "pets" / "notes.txt").write_text("not an image")
    dataset = load_dataset(f"folder:{tmp_path / 'pets'}", DataConfig())
    assert dataset.class_names == ("cat", "dog")
    assert dataset.input_shape == (6, 8, 3)
    assert [len(part) for part in dataset.parts().values()] == [12, 4, 4]
    assert dataset.task.dataset.startswith("pets-")
    (tmp_path / "pets").rename(tmp_path / "elsewhere")
    moved = load_dataset(f"folder:{tmp_path / 'elsewhere'}/", DataConfig())
    assert moved.task.dataset.split("-")[1] == dataset.task.dataset.split("-")[1]


@pytest.mark.parametrize("valid", ["valid", "val", "validation"])
def test_folder_with_parts_is_read_as_given(tmp_path: Path, valid: str) -> None:
    for seed, part in enumerate(("train", valid, "test")):
        fill(tmp_path / part, 3 + seed, seed, grey=True)
    dataset = load_dataset(f"folder:{tmp_path}", DataConfig())
    assert [len(part) for part in dataset.parts().values()] == [6, 8, 10]
    assert dataset.task.split == "train/valid/test as given"
    first = np.asarray(Image.open(tmp_path / "test" / "cat" / "2_0.png"))
    np.testing.assert_array_equal(dataset.test.images[0, :, :, 0], first)
    assert dataset.test.labels.tolist() == [0] * 5 + [1] * 5


def test_images_take_the_most_frequent_size_and_the_richest_colour(tmp_path: Path) -> None:
    fill(tmp_path, 10, seed=0, grey=True)
    fill(tmp_path, 2, seed=1, size=(20, 20))
    Image.new("P", (8, 6)).save(tmp_path / "cat" / "palette.gif")
    assert load_dataset(f"folder:{tmp_path}", DataConfig()).input_shape == (6, 8, 3)


def test_image_size_does_not_change_the_task(tmp_path: Path) -> None:
    fill(tmp_path, 10, seed=0)
    fill(tmp_path, 2, seed=1, size=(20, 20))
    whole = load_dataset(f"folder:{tmp_path}", DataConfig())
    small = load_dataset(f"folder:{tmp_path}", DataConfig(image_size=4))
    assert small.input_shape == (3, 4, 3)
    assert small.task == whole.task
    np.testing.assert_array_equal(small.train.labels, whole.train.labels)


def break_file(root: Path) -> None:
    content = (root / "dog" / "0_1.png").read_bytes()
    (root / "dog" / "0_1.png").write_bytes(content[: len(content) // 2])


def write_text(root: Path) -> None:
    (root / "dog" / "0_1.png").write_text("no image")


def write_deep(root: Path) -> None:
    Image.fromarray(np.full((6, 8), 70000, np.int32)).save(root / "dog" / "0_1.tiff")


@pytest.mark.parametrize(
    ("damage", "file", "rule"),
    [
        (break_file, "0_1.png", "not a readable image"),
        (write_text, "0_1.png", "not a readable image"),
        (write_deep, "0_1.tiff", "8 bits a channel"),
    ],
)
def test_bad_file_is_named(tmp_path: Path, damage, file: str, rule: str) -> None:
    fill(tmp_path, 5)
    damage(tmp_path)
    with pytest.raises(DatasetError, match=rule) as caught:
        load_dataset(f"folder:{tmp_path}", DataConfig())
    assert str(tmp_path / "dog" / file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_empty_and_inconsistent_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such folder"):
        load_dataset(f"folder:{tmp_path / 'nowhere'}", DataConfig())
    with pytest.raises(DatasetError, match="no images"):
        load_dataset(f"folder:{tmp_path}", DataConfig())
    fill(tmp_path / "train", 5)
    fill(tmp_path / "test", 5)
    (tmp_path / "test" / "cat").rename(tmp_path / "test" / "cow")
    with pytest.raises(DatasetError, match="In test: cow"):
        load_dataset(f"folder:{tmp_path}", DataConfig())
    (tmp_path / "val").mkdir()
    (tmp_path / "valid").mkdir()
    with pytest.raises(DatasetError, match="val and valid both name"):
        load_dataset(f"folder:{tmp_path}", DataConfig())
