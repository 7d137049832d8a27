import gzip
from pathlib import Path

import numpy as np
import pytest

from xfernas_jax.data import DataConfig, load_dataset, tfds_source
from xfernas_jax.data.lazy import LazyImages
from xfernas_jax.errors import DatasetError

pytest.importorskip("tensorflow_datasets")


def idx(array: np.ndarray) -> bytes:
    head = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def write_source(folder: Path, train: int = 40, test: int = 20) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(count) % 10))
    return folder


def test_files_are_prepared_once_and_read_as_they_are(tmp_path: Path) -> None:
    from xfernas_jax.data.fashion_mnist import load_fashion_mnist, read_pair

    source, data_dir = write_source(tmp_path / "source"), str(tmp_path / "tfds")
    parts, names = load_fashion_mnist(None, data_dir, str(source))
    assert len(names) == 10
    for key, count in (("train", 40), ("test", 20)):
        images, labels = read_pair(source, key)
        pairs = {(x.tobytes(), int(y)) for x, y in zip(images, labels, strict=True)}
        split = parts[key].split
        assert len(split) == count
        assert {
            (x.tobytes(), int(y)) for x, y in zip(split.images, split.labels, strict=True)
        } == pairs
    (tmp_path / "source").rename(tmp_path / "gone")
    again, _ = load_fashion_mnist(14, data_dir, str(source))
    np.testing.assert_array_equal(again["train"].digests, parts["train"].digests)
    assert again["train"].split.images.shape == (40, 14, 14, 1)


@pytest.mark.parametrize("image_size", [None, 14])
def test_a_large_set_is_read_by_row(tmp_path: Path, image_size: int | None) -> None:
    from xfernas_jax.data.fashion_mnist import DebianFashionMnist, load_fashion_mnist

    source, data_dir = write_source(tmp_path / "source"), str(tmp_path / "tfds")
    loaded, _ = load_fashion_mnist(image_size, data_dir, str(source))
    builder = DebianFashionMnist(data_dir=data_dir, file_format="array_record")
    lazy, _ = tfds_source.read_builder("fashion_mnist", builder, image_size, lazy_bytes=1)
    for key, part in loaded.items():
        images = lazy[key].split.images
        assert isinstance(images, LazyImages)
        np.testing.assert_array_equal(np.asarray(images), part.split.images)
        rows = np.array([7, 0, 7])
        np.testing.assert_array_equal(images.take(rows)[1:], part.split.images[rows][1:])
        np.testing.assert_array_equal(lazy[key].split.labels, part.split.labels)
        np.testing.assert_array_equal(lazy[key].digests, part.digests)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("file", "change", "rule"),
    [
        ("train-images-idx3-ubyte.gz", cut, "not a readable gzip file"),
        ("t10k-labels-idx1-ubyte.gz", lambda _: gzip.compress(b"xx"), "not an IDX file of rank 1"),
        (
            "train-labels-idx1-ubyte.gz",
            lambda content: gzip.compress(gzip.decompress(content)[:-3]),
            "promises 40 bytes",
        ),
        ("train-labels-idx1-ubyte.gz", lambda _: idx(np.full(40, 10)), r"labels 0\.\.9"),
        ("train-labels-idx1-ubyte.gz", lambda _: idx(np.zeros(39)), "Got shapes"),
    ],
)
def test_damaged_source_is_named_and_nothing_is_prepared(
    tmp_path: Path, file: str, change, rule: str
) -> None:
    from xfernas_jax.data.fashion_mnist import load_fashion_mnist

    source = write_source(tmp_path / "source")
    (source / file).write_bytes(change((source / file).read_bytes()))
    with pytest.raises(DatasetError, match=rule) as caught:
        load_fashion_mnist(None, str(tmp_path / "tfds"), str(source))
    assert str(source) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("tfds/**/*.array_record*"))


def test_without_any_source_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xfernas_jax.data import fashion_mnist

    monkeypatch.setattr(fashion_mnist, "has_tensorflow", lambda: False)
    with pytest.raises(DatasetError, match="apt-get install dataset-fashion-mnist") as caught:
        fashion_mnist.load_fashion_mnist(None, str(tmp_path), str(tmp_path / "absent"))
    assert "\n" not in str(caught.value)


def test_unwritable_folder_is_named(tmp_path: Path) -> None:
    from xfernas_jax.data.fashion_mnist import load_fashion_mnist

    source = write_source(tmp_path / "source")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match="fashion_mnist: ") as caught:
        load_fashion_mnist(None, str(tmp_path / "file"), str(source))
    assert str(tmp_path / "file") in str(caught.value)


@pytest.mark.slow
def test_debians_files_are_fashion_mnist(tmp_path: Path) -> None:
    from xfernas_jax.data.fashion_mnist import DEBIAN_DIR

    if not Path(DEBIAN_DIR).is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    dataset = load_dataset("fashion_mnist", DataConfig(), str(tmp_path))
    assert [len(part) for part in dataset.parts().values()] == [54000, 6000, 10000]
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    both = np.bincount(dataset.train.labels) + np.bincount(dataset.valid.labels)
    assert both.tolist() == [6000] * 10
    assert tfds_source.tfds_dir(str(tmp_path)) == str(tmp_path)
    small = load_dataset(
        "fashion_mnist", DataConfig(train_examples=5000, image_size=14), str(tmp_path)
    )
    assert small.task == dataset.task
    assert np.bincount(small.train.labels).tolist() == [500] * 10
