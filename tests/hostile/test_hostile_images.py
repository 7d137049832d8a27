"""Images and labels: a data set of what is really there, or one line."""

import io
import os
import pathlib
import pickle
import struct
import zipfile
from typing import Any

import numpy as np
import pytest
from hostile_guard import Bait, cases, refused, sandbox
from hostile_values import damaged, names, numbers
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from xfernas_jax.data import DataConfig, ImageDataset, load_dataset
from xfernas_jax.data.base import Split
from xfernas_jax.data.npz import load_npz
from xfernas_jax.errors import DatasetError
from xfernas_jax.history.record import Task

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)
LABELS = np.arange(20) % 2
_DTYPES = (
    "u1",
    "i1",
    "i8",
    ">i4",
    "u8",
    "f2",
    "f4",
    "f8",
    "g",
    "c8",
    "?",
    "U1",
    "S1",
    "M8[s]",
    "V2",
)
_SHAPES = ((20, 4, 4), (20, 4, 4, 1), (20, 4, 4, 3), (20,), (20, 1), (20, 0), (0, 4, 4), (), (1,))


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Draws an array of any kind, with NaN, infinity or a value out of range in one place."""
    dtype, shape = draw(st.sampled_from(_DTYPES)), draw(st.sampled_from(_SHAPES))
    with np.errstate(all="ignore"):
        array = np.resize(LABELS, shape).astype(dtype)
        if array.size and array.dtype.kind in "iufg":
            value = draw(
                st.sampled_from([np.nan, np.inf, -np.inf, -1, 1, 2, 255, 256, 2**40, 1e-8])
            )
            place = draw(st.integers(0, array.size - 1))
            array.ravel()[place] = np.asarray(value).astype(dtype)
    return array


def check_dataset(dataset: ImageDataset) -> None:
    for part in dataset.parts().values():
        assert part.images.dtype == np.uint8
        assert len(part.images) == len(part.labels) > 0
        assert 0 <= part.labels.min() <= part.labels.max() < dataset.task.num_classes


def check_loads(name: str) -> None:
    """Loads by name, as the command does."""
    was_refused, dataset = refused(lambda: load_dataset(name, DataConfig(image_size=4)))
    if not was_refused:
        check_dataset(dataset)


@cases(150)
@given(
    st.dictionaries(
        st.sampled_from(["x", "y", "x_train", "y_train", "x_test", "y_test", "class_names", "z"]),
        arrays(),
        max_size=2,
    ),
    st.sampled_from([("x", "y"), ("x_train", "y_train")]),
)
def test_changed_arrays_are_read_right_or_refused(
    changes: dict[str, np.ndarray], keys: tuple[str, str]
) -> None:
    with sandbox() as work:
        members: dict[str, Any] = {**dict(zip(keys, (IMAGES, LABELS), strict=True)), **changes}
        np.savez(work / "set.npz", **members)
        check_loads(f"npz:{work}/set.npz")


def npz_bytes(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


_DESCRS = (
    "'|u1'", "'|O'", "'<f8'", "'<U0'", "'V0'", "'<U1000000'", "[]", "[()]", "('<u1',)", "None", "1",
    "[('a','|O')]", "'hostile_canary:NAME'", "__import__('os').mkdir('x')", "('|u1',(2,))",
)  # fmt: skip
_HEADER_SHAPES = (
    "(20, 4, 4)", "(20,)", "()", "(-1,)", "(-20, 4, 4)", "(1099511627776,)", "(2**40,)", "None",
    f"(1{'0' * 30},)", "(4294967296, 4294967296)", "(0,)", "(20.5,)", "(True,)", "'x'", "[20]",
    "(" * 90 + ")" * 90, "-" * 5000 + "1", "(20,'x')", "(3037000500, 3037000500, 2)",
)  # fmt: skip


@pytest.mark.slow
@cases(150)
@given(
    st.sampled_from(_DESCRS),
    st.sampled_from(_HEADER_SHAPES),
    st.sampled_from(["True", "False", "0", "[]"]),
    st.sampled_from([(1, 0), (1, 0), (2, 0), (3, 0), (9, 9)]),
    st.sampled_from(["x", "y", "class_names"]),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]),
    st.sampled_from([1, 2**30]),
)
@example("'<U0'", "(1099511627776,)", "False", (1, 0), "class_names", zipfile.ZIP_STORED, 1)
def test_headers_that_lie_are_refused_or_read_right(
    descr: str,
    shape: str,
    order: str,
    version: tuple[int, int],
    key: str,
    compression: int,
    lazy_bytes: int,
) -> None:
    with sandbox() as work:
        text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n".encode()
        length = struct.pack("<H" if version[0] == 1 else "<I", len(text))
        content = b"\x93NUMPY" + bytes(version) + length + text + bytes(IMAGES.size)
        good = zipfile.ZipFile(io.BytesIO(npz_bytes(x=IMAGES, y=LABELS)))
        with zipfile.ZipFile(work / "set.npz", "w", compression) as members:
            for name in {"x", "y"} - {key}:
                members.writestr(f"{name}.npy", good.read(f"{name}.npy"))
            members.writestr(f"{key}.npy", content)
        refused(lambda: load_npz(str(work / "set.npz"), lazy_bytes))
        check_loads(f"npz:{work}/set.npz")


@cases(150)
@given(
    damaged(npz_bytes(x=IMAGES, y=LABELS, class_names=np.array(["a", "b"]))),
    st.sampled_from([1, 2**30]),
)
def test_damaged_files_are_refused_or_read_right(data: bytes, lazy_bytes: int) -> None:
    with sandbox() as work:
        (work / "set.npz").write_bytes(data)
        refused(lambda: load_npz(str(work / "set.npz"), lazy_bytes))
        check_loads(f"npz:{work}/set.npz")


@cases(15)
@given(names.filter(lambda name: "\0" not in name), st.sampled_from([b"x", b"\x80\x04.", b""]))
def test_members_of_any_name_stay_in_the_file(name: str, content: bytes) -> None:
    with sandbox() as work:
        with zipfile.ZipFile(work / "set.npz", "w") as members:
            for key, array in (("x", IMAGES), ("y", LABELS)):
                with members.open(f"{key}.npy", "w") as stream:
                    np.save(stream, array)
            members.writestr(name.encode("utf-8", "replace").decode() or "y", content)
        check_loads(f"npz:{work}/set.npz")
        assert os.listdir(work) == ["set.npz"]


@pytest.mark.parametrize("key", ["x", "x.npy"])
def test_a_member_that_is_no_array_is_refused(key: str, tmp_path: pathlib.Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as members:
        members.writestr(key, b"text")
        members.writestr("y.npy", b"text")
    with pytest.raises(DatasetError, match="not a whole"):
        load_dataset(f"npz:{tmp_path}/set.npz", DataConfig())


def test_a_locked_member_is_refused(tmp_path: pathlib.Path) -> None:
    data = bytearray(npz_bytes(x=IMAGES, y=LABELS))
    for head, flag in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(head) + flag] |= 1  # the bit that says encrypted
    (tmp_path / "set.npz").write_bytes(data)
    with pytest.raises(DatasetError, match="encrypted"):
        load_dataset(f"npz:{tmp_path}/set.npz", DataConfig())


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_zip_that_declares_terabytes_is_refused_at_once(
    compression: int, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "set.npz"
    with zipfile.ZipFile(file, "w", compression) as members:
        members.writestr("x.npy", bytes(1000))
        members.writestr("y.npy", bytes(1000))
        for member in members.infolist():
            member.file_size = 2**42
    with pytest.raises(DatasetError, match=r"GiB in memory|not a whole"):
        load_dataset(f"npz:{file}", DataConfig())


@cases(10)
@given(st.integers(0, 5), st.sampled_from(["set.npz", "x", "x.npy"]))
def test_pickles_are_never_loaded(protocol: int, place: str) -> None:
    with sandbox() as work:
        content = pickle.dumps(Bait(work / "sprung"), protocol)
        if place == "set.npz":
            (work / place).write_bytes(content)
        else:
            with zipfile.ZipFile(work / "set.npz", "w") as members:
                members.writestr(place, content)
                members.writestr("y.npy", content)
        assert refused(lambda: load_dataset(f"npz:{work}/set.npz", DataConfig()))[0]
        assert not (work / "sprung").exists()


_IMAGE = Image.fromarray(IMAGES[0])


def image_bytes(form: str, mode: str = "L", size: tuple[int, int] = (4, 4)) -> bytes:
    stream = io.BytesIO()
    _IMAGE.convert(mode).resize(size).save(stream, form)
    return stream.getvalue()


_FILES = {
    ".png": image_bytes("PNG"),
    ".jpg": image_bytes("JPEG", "RGB"),
    ".gif": image_bytes("GIF"),
    ".bmp": image_bytes("BMP", "RGB"),
    ".tiff": image_bytes("TIFF", "RGBA"),
    ".ppm": image_bytes("PPM", "RGB"),
    ".webp": image_bytes("WEBP", "RGB"),
}


@cases(150)
@given(st.data())
def test_a_changed_folder_is_read_right_or_refused(data: st.DataObject) -> None:
    with sandbox() as work:
        for name in ("cat", "dog"):
            (work / "set" / name).mkdir(parents=True)
            for row in range(6):
                image = Image.fromarray(IMAGES[row] ^ (name == "cat"))
                image.save(work / "set" / name / f"{row}.png")
        suffix = data.draw(st.sampled_from(sorted(_FILES)))
        content = data.draw(damaged(_FILES[suffix]))
        (work / "set" / "cat" / f"changed{suffix}").write_bytes(content)
        folder = data.draw(names.filter(lambda name: len(name.encode("utf-8", "replace")) < 200))
        folder = folder.replace("\0", "").replace("/", "").replace("\ud800", "").strip(".")
        if folder:
            (work / "set" / folder).mkdir()
            (work / "set" / folder / "0.png").write_bytes(_FILES[".png"])
        check_loads(f"folder:{work}/set")


def make_pipe(path: pathlib.Path) -> None:
    os.mkfifo(path)


def make_loop(path: pathlib.Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("make", [make_pipe, make_loop])
def test_what_is_no_file_is_refused(make: Any, tmp_path: pathlib.Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(_FILES[".png"])
    make(tmp_path / "cat" / "1.png")
    with pytest.raises(DatasetError, match=r"1\.png: is not a readable image \(not a file"):
        load_dataset(f"folder:{tmp_path}", DataConfig())


def test_a_folder_that_declares_terabytes_is_refused_at_once(tmp_path: pathlib.Path) -> None:
    head = bytearray(_FILES[".bmp"])
    head[18:26] = struct.pack("<ii", 9000, 9000)  # width and height
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(2000):
            (tmp_path / name / f"{number}.bmp").write_bytes(head)
    with pytest.raises(DatasetError, match=r"GiB in memory.*image_size"):
        load_dataset(f"folder:{tmp_path}", DataConfig())


@cases(60)
@given(arrays(), arrays(), numbers.filter(lambda value: type(value) is int))
def test_arrays_of_a_function_are_right_or_refused(
    images: np.ndarray, labels: np.ndarray, num_classes: int
) -> None:
    def build() -> ImageDataset:
        split = Split(images, labels)
        names = tuple(map(str, range(min(num_classes, 100))))
        return ImageDataset(Task("mine", "as given", num_classes), split, split, split, names)

    with sandbox():
        was_refused, dataset = refused(build)
        if not was_refused:
            check_dataset(dataset)


@pytest.mark.parametrize("kind", ["npz", "folder"])
@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "a/" * 3000, ""])
def test_a_path_that_cannot_be_is_refused(kind: str, name: str) -> None:
    with pytest.raises(DatasetError, match="no such"):
        load_dataset(f"{kind}:{name}", DataConfig())
