from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from xfernas_jax.data import DataConfig, load_dataset
from xfernas_jax.data.pictures import read_header, read_image
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


def remarks(root: Path) -> str:
    found = load_dataset(f"folder:{root}", DataConfig()).found
    assert found is not None
    return "; ".join(found.remarks)


@pytest.mark.parametrize(
    "parts",
    [
        ("Train", "Val", "TEST"),
        ("training", "dev", "testing"),
        ("train", "validation", "test"),
    ],
    ids=str,
)
def test_parts_are_known_by_any_common_name(tmp_path: Path, parts: tuple[str, ...]) -> None:
    for seed, part in enumerate(parts):
        fill(tmp_path / part, 3 + seed, seed)
    dataset = load_dataset(f"folder:{tmp_path}", DataConfig())
    assert [len(part) for part in dataset.parts().values()] == [6, 8, 10]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    (tmp_path / "cat").rename(tmp_path / "train")
    assert load_dataset(f"folder:{tmp_path}", DataConfig()).class_names == ("dog", "train")


def test_a_folder_beside_train_that_names_no_part_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "train", 5)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "list.txt").write_text("x")
    load_dataset(f"folder:{tmp_path}", DataConfig())
    fill(tmp_path / "more", 5)
    with pytest.raises(DatasetError, match="beside train stands more"):
        load_dataset(f"folder:{tmp_path}", DataConfig())


def test_pictures_deep_in_a_class_count_and_a_folder_in_a_folder_is_entered(
    tmp_path: Path,
) -> None:
    root = tmp_path / "unpacked" / "pets"
    fill(root, 10)
    (root / "dog" / "batch2" / "day").mkdir(parents=True)
    (root / "dog" / "0_0.png").rename(root / "dog" / "batch2" / "day" / "moved.png")
    dataset = load_dataset(f"folder:{tmp_path}", DataConfig())
    assert sum(len(part) for part in dataset.parts().values()) == 20
    assert "read from unpacked/pets" in remarks(tmp_path)
    (root / "dog" / "loop").symlink_to(root)
    assert sum(len(part) for part in load_dataset(f"folder:{root}", DataConfig()).parts().values())


@pytest.mark.parametrize("name", ["x.jfif", "x", "x.JPE", "x.photo", "x.jp2"])
def test_a_picture_counts_whatever_its_name_ends_in(tmp_path: Path, name: str) -> None:
    fill(tmp_path, 10)
    kind = "JPEG2000" if name.endswith("jp2") else "JPEG"
    for i in range(5):
        (tmp_path / "cow").mkdir(exist_ok=True)
        file = tmp_path / "cow" / f"{i}{name}"
        Image.new("RGB", (8, 6), (i, 9, 9)).save(file, format=kind)
    assert load_dataset(f"folder:{tmp_path}", DataConfig()).class_names == ("cat", "cow", "dog")


def test_what_systems_leave_behind_is_nothing(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    for folder in ("@eaDir", "__MACOSX", ".ipynb_checkpoints", "#recycle"):
        fill(tmp_path / folder, 1)
        fill(tmp_path / "cat" / folder, 1)
    for name in ("._0_0.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "dog" / name).write_bytes(b"\0\5\x16\7")
    dataset = load_dataset(f"folder:{tmp_path}", DataConfig())
    assert dataset.class_names == ("cat", "dog")
    assert sum(len(part) for part in dataset.parts().values()) == 20
    assert not remarks(tmp_path)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    (tmp_path / "empty").mkdir()
    (tmp_path / "dog" / "notes.txt").write_text("x")
    Image.new("RGB", (8, 6)).save(tmp_path / "loose.png")
    said = remarks(tmp_path)
    assert "empty, so it is no class" in said
    assert "1 files are no pictures (notes.txt)" in said
    assert "1 pictures in no class's folder are left out (loose.png)" in said


def test_a_format_that_is_not_read_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    (tmp_path / "dog" / "photo.HEIC").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"photo.HEIC.*convert them to PNG or JPEG"):
        load_dataset(f"folder:{tmp_path}", DataConfig())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_read_as_it_is_shown(tmp_path: Path, orientation: int) -> None:
    fill(tmp_path, 10, size=(6, 8))
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    # what a camera stores, so that turned as EXIF says it is `pixels`
    stored = {
        **{1: pixels, 2: pixels[:, ::-1], 3: pixels[::-1, ::-1], 4: pixels[::-1]},
        **{5: pixels.swapaxes(0, 1), 6: np.rot90(pixels, 1)},
        **{7: pixels[::-1, ::-1].swapaxes(0, 1), 8: np.rot90(pixels, -1)},
    }[orientation]
    file = tmp_path / "cat" / "photo.png"
    Image.fromarray(np.ascontiguousarray(stored)).save(file, exif=exif)
    np.testing.assert_array_equal(read_image(file, 3), pixels)
    assert read_header(file).size == (8, 6)
    assert ("1 pictures are turned" in remarks(tmp_path)) == (orientation > 1)


def test_a_shape_in_the_alpha_channel_is_seen(tmp_path: Path) -> None:
    shape = np.zeros((8, 6, 4), np.uint8)
    shape[2:5, 1:4, 3] = 255
    for level in (0, 255):  # drawn in black, and in white
        shape[..., :3] = level
        file = tmp_path / f"{level}.png"
        Image.fromarray(shape).save(file)
        for channels in (1, 3):
            found = read_image(file, channels)
            inside = np.zeros((8, 6), bool)
            inside[2:5, 1:4] = True
            assert (found[inside] == level).all()
            assert (found[~inside] == 255 - level).all()


def test_a_transparent_colour_of_a_palette_is_white(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.info["transparency"] = 0
    image.save(tmp_path / "a.gif", transparency=0)
    found = read_image(tmp_path / "a.gif", 3)
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[0, 1].tolist() == [200, 100, 50]


def test_the_first_of_several_frames_counts_and_is_said(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    frames = [Image.new("RGB", (8, 6), (i, i, i)) for i in (10, 200)]
    for name in ("stack.tiff", "moving.gif"):
        frames[0].save(tmp_path / "cat" / name, save_all=True, append_images=frames[1:])
    assert (read_image(tmp_path / "cat" / "stack.tiff", 3) == 10).all()
    assert "2 pictures have several frames" in remarks(tmp_path)


def test_a_folder_may_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "pets", 10)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_dataset("folder:~/pets", DataConfig()).class_names == ("cat", "dog")
