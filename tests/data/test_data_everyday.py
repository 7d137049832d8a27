"""Folders and files as people have them: each is read right, to the pixel and label, or refused.

Two hundred cases are generated. What a case holds is known, so that "right" needs no second reader.
"""

import pathlib
import shutil
import tempfile
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from xfernas_jax.data.folder import load_folder
from xfernas_jax.data.npz import load_npz
from xfernas_jax.data.split import build_dataset
from xfernas_jax.errors import DatasetError

pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 9, 12
LOSSY = (".jpg", ".JPG", ".jpeg", ".jfif", ".webp")
LOSSLESS = (".png", ".PNG", ".bmp", ".tif", ".TIFF", "")
FORMATS = {".jfif": "JPEG", "": "PNG"}
TURNED = {3: 2, 6: 1, 8: 3}  # EXIF orientation: quarter turns from what is shown to what is stored
CLASSES = ("Kühe", "class 1", "0", "a.b", "dog & cat", "猫", "-dash", "new", "test-set", "犬")
PARTS = {
    "train": ("train", "Train", "TRAINING", "training"),
    "valid": ("val", "valid", "Validation", "dev"),
    "test": ("test", "Test", "testing"),
}
EVERYDAY = settings(
    max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


def picture(label: int, number: int) -> np.ndarray:
    """Returns `[H, W]` uint8 that no other picture equals; its corners tell how it is turned."""
    found = np.full((HEIGHT, WIDTH), 50 + 30 * label, np.uint8)
    found[:, WIDTH // 2 :] += 20 + 3 * number
    found[HEIGHT // 2 :] += 10
    return found


def save(file: pathlib.Path, grey: np.ndarray, mode: str, suffix: str, orientation: int) -> None:
    stored = np.rot90(grey, TURNED.get(orientation, 0))
    image = Image.fromarray(np.ascontiguousarray(stored)).convert("RGB")
    if mode == "L":
        image = image.convert("L")
    elif mode == "RGBA" and suffix not in (".jpg", ".JPG", ".jpeg", ".jfif", ".bmp"):
        image.putalpha(255)
    words: dict[str, Any] = {"quality": 98} if suffix in LOSSY else {}
    if orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        words["exif"] = exif
    kind = FORMATS.get(suffix) or Image.registered_extensions()[suffix.lower()]
    image.save(file, format=kind, **words)


@st.composite
def folders(draw: st.DrawFn) -> dict[str, Any]:
    parts = draw(st.sampled_from([("train",), ("train", "test"), ("train", "valid", "test")]))
    has_parts = len(parts) > 1 or draw(st.booleans())
    return {
        "names": draw(st.lists(st.sampled_from(CLASSES), min_size=2, max_size=4, unique=True)),
        "parts": {key: draw(st.sampled_from(PARTS[key])) for key in parts} if has_parts else None,
        "suffixes": draw(st.lists(st.sampled_from(LOSSY + LOSSLESS), min_size=1, max_size=3)),
        "modes": draw(st.lists(st.sampled_from(["L", "RGB", "RGBA"]), min_size=1, max_size=2)),
        "orientations": draw(st.lists(st.sampled_from([1, 3, 6, 8]), min_size=1, max_size=2)),
        "depths": draw(st.lists(st.integers(0, 2), min_size=1, max_size=2)),
        "count": draw(st.integers(5, 7)),
        "archive": draw(st.booleans()),
        "beside": draw(
            st.lists(
                st.sampled_from(
                    [".DS_Store", "Thumbs.db", "notes.txt", "@eaDir/0.png", "._0.png", "empty/"]
                ),
                unique=True,
            )
        ),
        "twice": draw(st.sampled_from([False] * 6 + [True])),
    }


def write(root: pathlib.Path, case: dict[str, Any]) -> dict[str, tuple[str, str, np.ndarray, bool]]:
    """Writes a case; returns part, class, pixels and exactness by the file's name."""
    top = root / "unpacked" if case["archive"] and case["parts"] else root
    truth: dict[str, tuple[str, str, np.ndarray, bool]] = {}
    folders = case["parts"] or {"train": ""}
    number = 0
    for key, folder in folders.items():
        for label, name in enumerate(sorted(case["names"])):
            for row in range(case["count"]):
                suffix = case["suffixes"][number % len(case["suffixes"])]
                orientation = case["orientations"][number % len(case["orientations"])]
                if suffix in (".bmp",):
                    orientation = 1  # it holds none
                deep = ["batch", "day 2"][: case["depths"][number % len(case["depths"])]]
                place = top.joinpath(folder, name, *deep)
                place.mkdir(parents=True, exist_ok=True)
                file = place / f"{key}_{label}_{row}{suffix}"
                mode = case["modes"][number % len(case["modes"])]
                grey = picture(label, row)
                save(file, grey, mode, suffix, orientation)
                truth[file.name] = (key, name, grey, suffix not in LOSSY)
                number += 1
    for extra in case["beside"]:
        first = top.joinpath(folders["train"], sorted(case["names"])[0])
        place = top.joinpath(folders["train"]) if extra.endswith("/") else first
        target = place / extra
        if extra.endswith("/"):
            target.mkdir(exist_ok=True)
        else:
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(b"not a picture")
    if case["twice"] and case["parts"] and "valid" in case["parts"]:
        other = "dev" if case["parts"]["valid"] != "dev" else "val"
        shutil.copytree(top / case["parts"]["valid"], top / other)
    return truth


@EVERYDAY
@given(folders())
def test_a_folder_is_read_right_to_the_pixel_and_label_or_refused(case: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name) / "photos"
        truth = write(root, case)
        is_twice = case["twice"] and case["parts"] and "valid" in case["parts"]
        if is_twice:
            with pytest.raises(DatasetError, match="both name the validation part"):
                load_folder(str(root), None)
            return
        parts, names, remarks = load_folder(str(root), None)
    assert names == tuple(sorted(case["names"]))
    seen = set()
    for key, part in parts.items():
        for row, file in enumerate(part.files):
            place, label, grey, is_exact = truth[pathlib.Path(file).name]
            assert (place, label) == (key, names[part.split.labels[row]])
            found = np.asarray(part.split.images[row]).astype(int)
            assert found.shape[:2] == grey.shape
            assert abs(found - grey[..., None]).max() <= (0 if is_exact else 12), file
            seen.add(pathlib.Path(file).name)
    assert seen == set(truth)
    assert all("\n" not in remark for remark in remarks)
    whole = build_dataset("photos", parts, names, remarks).parts()
    assert sum(len(part) for part in whole.values()) == len(truth)


@st.composite
def arrays(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "parts": draw(
            st.sampled_from([("",), ("train", "test"), ("train", "val"), ("train", "val", "test")])
        ),
        "image": draw(st.sampled_from(["x", "X", "images", "image", "data", "imgs"])),
        "label": draw(st.sampled_from(["y", "Y", "labels", "label", "targets"])),
        "swapped": draw(st.booleans()),
        "layout": draw(st.sampled_from(["NHW", "NHW1", "NHW3", "N1HW", "N3HW"])),
        "dtype": draw(
            st.sampled_from(["uint8", "int16", "int64", "float16", "float32", "float64", "255.0"])
        ),
        "labels": draw(
            st.sampled_from(["uint8", "int64", "column", "float", "text", "one-hot", "from 1"])
        ),
        "compressed": draw(st.booleans()),
        "fortran": draw(st.booleans()),
        "others": draw(st.lists(st.sampled_from(["ids", "mean", "x_extra"]), unique=True)),
    }


REFUSED = {
    "float": "whole class numbers",
    "text": "whole class numbers",
    "one-hot": "whole class numbers",
    "from 1": "renumber the labels",
}


@EVERYDAY
@given(arrays())
def test_a_file_of_arrays_is_read_right_to_the_pixel_and_label_or_refused(
    case: dict[str, Any],
) -> None:
    rng = np.random.default_rng(0)
    written, truth = {}, {}
    for part in case["parts"]:
        labels = np.arange(12) % 3
        pixels = rng.integers(0, 256, (12, HEIGHT, WIDTH, 3), np.uint8)
        if "3" not in case["layout"]:
            pixels = pixels[..., :1]
        truth[{"": "train", "val": "valid"}.get(part, part)] = (pixels, labels)
        for kind, value in (("image", _images(pixels, case)), ("label", _labels(labels, case))):
            words = [case[kind], part][:: -1 if case["swapped"] else 1]
            written["_".join(filter(None, words))] = value
    written.update({name: np.arange(3) for name in case["others"]})
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/mine.npz"
        (np.savez_compressed if case["compressed"] else np.savez)(file, **written)
        refused = REFUSED.get(case["labels"])
        if case["dtype"] == "255.0":
            refused = "rescale it"
        if refused is not None:
            with pytest.raises(DatasetError, match=refused) as error:
                load_npz(file)
            assert "\n" not in str(error.value)
            return
        parts, names, remarks = load_npz(file)
    assert names == ("0", "1", "2")
    assert parts.keys() == truth.keys()
    for key, (pixels, labels) in truth.items():
        np.testing.assert_array_equal(parts[key].split.images, pixels)
        np.testing.assert_array_equal(parts[key].split.labels, labels)
    assert any("not used of the file" in remark for remark in remarks) == bool(case["others"])


def _images(pixels: np.ndarray, case: dict[str, Any]) -> np.ndarray:
    found = pixels
    if case["layout"] == "NHW":
        found = found[..., 0]
    elif case["layout"] in ("N1HW", "N3HW"):
        found = found.transpose(0, 3, 1, 2)
    if case["dtype"] == "255.0":
        found = found.astype(np.float32)
    elif case["dtype"].startswith("float"):
        found = (found / 255).astype(case["dtype"])
    else:
        found = found.astype(case["dtype"])
    return np.asfortranarray(found) if case["fortran"] else np.ascontiguousarray(found)


def _labels(labels: np.ndarray, case: dict[str, Any]) -> np.ndarray:
    return {
        "column": labels[:, None],
        "float": labels.astype(np.float64),
        "text": labels.astype("U1"),
        "one-hot": np.eye(3, dtype=np.int64)[labels],
        "from 1": labels + 1,
    }.get(case["labels"], labels.astype(case["labels"] if "int" in case["labels"] else np.int64))
