# pyright: reportInvalidTypeForm=false
"""TFDS sets, with metadata written by the tests and `tfds.testing.mock_data`: no network."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xfernas_jax.data import DataConfig, load_dataset, tfds_source
from xfernas_jax.data.lazy import LazyImages
from xfernas_jax.errors import DatasetError, MissingExtraError

tfds = pytest.importorskip("tensorflow_datasets")
mocking = pytest.importorskip("tensorflow_datasets.testing.mocking")


def write_metadata(name: str, data_dir: Path, splits: dict[str, int]) -> Any:
    """Writes what TFDS takes for a prepared set of these splits; the examples are mocked."""
    builder = tfds.builder(name, data_dir=str(data_dir), file_format="array_record")
    template = tfds.core.ShardedFileTemplate(
        data_dir=builder.data_path,
        template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        dataset_name=builder.name,
        filetype_suffix="array_record",
    )
    infos = [
        tfds.core.SplitInfo(
            name=split, shard_lengths=[count], num_bytes=0,
            filename_template=template.replace(split=split),
        )
        for split, count in splits.items()
    ]  # fmt: skip
    builder.info.set_splits(tfds.core.splits.SplitDict(infos))
    builder.data_path.mkdir(parents=True)
    builder.info.write_to_directory(builder.data_path)
    return builder


@pytest.fixture
def _mock_reads_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repairs TFDS 4.9.10's mock: `__getitems__` is called without the self that it expects."""
    original = mocking._getitems
    monkeypatch.setattr(
        mocking,
        "_getitems",
        lambda keys, generator, **rest: original(None, keys, generator, **rest),
    )


@pytest.mark.usefixtures("_mock_reads_batches")
@pytest.mark.parametrize(
    ("name", "splits", "shape", "classes"),
    [
        ("cifar10", ("train", "test"), (32, 32, 3), 10),
        ("cifar100", ("train", "test"), (32, 32, 3), 100),
        ("mnist", ("train", "test"), (28, 28, 1), 10),
        ("svhn_cropped", ("train", "test", "extra"), (32, 32, 3), 10),
        ("imagenet_resized/16x16", ("train", "validation"), (16, 16, 3), 1000),
        ("cmaterdb", ("train", "test"), (32, 32, 3), 10),
    ],
)
def test_mocked_set_is_read_by_its_tfds_name(
    tmp_path: Path, name: str, splits: tuple[str, ...], shape: tuple[int, ...], classes: int
) -> None:
    write_metadata(name, tmp_path, dict.fromkeys(splits, 60))
    with tfds.testing.mock_data(num_examples=60, data_dir=str(tmp_path)):
        dataset = load_dataset(name, DataConfig(), str(tmp_path))
    assert dataset.input_shape == shape
    assert dataset.task.dataset == name
    assert dataset.task.num_classes == classes
    assert sum(len(part) for part in dataset.parts().values()) == 120


@pytest.mark.usefixtures("_mock_reads_batches")
def test_images_of_many_sizes_need_an_image_size(tmp_path: Path) -> None:
    write_metadata("imagenette", tmp_path, {"train": 30, "validation": 30})
    with tfds.testing.mock_data(num_examples=30, data_dir=str(tmp_path)):
        with pytest.raises(
            DatasetError, match=r"imagenette: its images differ in size.*image_size"
        ):
            load_dataset("imagenette", DataConfig(), str(tmp_path))
        dataset = load_dataset("imagenette", DataConfig(image_size=12), str(tmp_path))
    assert dataset.input_shape == (12, 12, 3)
    assert dataset.task.split.startswith("train/valid as given; 20 % of train for test")


def test_set_that_is_no_classification_is_refused(tmp_path: Path) -> None:
    write_metadata("div2k", tmp_path, {"train": 4, "validation": 4})
    with (
        tfds.testing.mock_data(num_examples=4, data_dir=str(tmp_path)),
        pytest.raises(DatasetError, match="div2k: is not an image-classification set"),
    ):
        load_dataset("div2k", DataConfig(), str(tmp_path))


def test_unprepared_set_names_the_extra_or_the_unreachable_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfds_source, "has_tensorflow", lambda: False)
    with pytest.raises(
        MissingExtraError, match=r"mnist: is not prepared in .*make setup EXTRAS=tf"
    ):
        load_dataset("mnist", DataConfig(), str(tmp_path))

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr(tfds_source, "has_tensorflow", lambda: True)
    monkeypatch.setattr(tfds_source.socket, "create_connection", refuse)
    monkeypatch.setattr(tfds_source.urllib.request, "getproxies", dict)
    with pytest.raises(DatasetError, match=r"mnist: is not prepared .* cannot be reached"):
        load_dataset("mnist", DataConfig(), str(tmp_path))


def test_unknown_version_and_configuration_get_one_line(tmp_path: Path) -> None:
    for name in ("mnist:9.9.9", "imagenet_resized/7x7"):
        with pytest.raises(DatasetError, match=f"{name}: TFDS cannot open it") as caught:
            load_dataset(name, DataConfig(), str(tmp_path))
        assert "\n" not in str(caught.value)


class ToyImages(tfds.core.GeneratorBasedBuilder):
    """PNG images with one part whose labels are not published."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(6, 6, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["a", "b"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {"train": self._examples(1500, False), "test": self._examples(5, True)}

    def _generate_examples(self) -> Iterator[Any]:
        raise NotImplementedError

    def _examples(self, count: int, hidden: bool) -> Iterator[tuple[int, dict[str, Any]]]:
        from PIL import Image

        rng = np.random.default_rng(count)
        for i in range(count):
            pixels = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            yield i, {"image": Image.fromarray(pixels), "label": -1 if hidden else i % 2}


@pytest.fixture(scope="module")
def toy_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    ToyImages(data_dir=str(folder), file_format="array_record").download_and_prepare()
    return folder


def test_prepared_set_is_read_whole_and_hidden_labels_are_left_out(toy_dir: Path) -> None:
    dataset = load_dataset("toy_images", DataConfig(), str(toy_dir))
    assert [len(part) for part in dataset.parts().values()] == [900, 300, 300]
    rng = np.random.default_rng(1500)
    expected = sorted(
        rng.integers(0, 256, (6, 6, 3), dtype=np.uint8).tobytes() for _ in range(1500)
    )
    found = [image.tobytes() for part in dataset.parts().values() for image in part.images]
    assert sorted(found) == expected


def test_the_first_examples_of_a_set_are_read_alone(toy_dir: Path) -> None:
    builder = tfds.builder("toy_images", data_dir=str(toy_dir))
    whole = builder.as_data_source(split="train")
    expected = sorted(whole[row]["image"].tobytes() for row in range(100))
    dataset = load_dataset("toy_images[:100]", DataConfig(), str(toy_dir))
    assert dataset.task.dataset == "toy_images[:100]"
    assert [len(part) for part in dataset.parts().values()] == [60, 20, 20]
    found = [image.tobytes() for part in dataset.parts().values() for image in part.images[:]]
    assert sorted(found) == expected
    all_of_them = load_dataset("toy_images[:9999]", DataConfig(), str(toy_dir))
    assert len(all_of_them.train) == 900
    parts, _ = tfds_source.read_builder("toy_images", builder, None, lazy_bytes=1, first=100)
    lazy = parts["train"].split.images
    assert isinstance(lazy, LazyImages)
    assert sorted(image.tobytes() for image in lazy[:]) == expected


@pytest.mark.parametrize("name", ["toy_images[:0]", "toy_images[:x]", "toy_images[5:]", "[:5]"])
def test_another_selection_is_refused(name: str, toy_dir: Path) -> None:
    with pytest.raises(DatasetError, match="Unknown data set"):
        load_dataset(name, DataConfig(), str(toy_dir))


def test_folder_can_be_named_by_the_environment(
    toy_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(toy_dir))
    dataset = load_dataset("toy_images", DataConfig(image_size=3))
    assert dataset.input_shape == (3, 3, 3)
    assert dataset.task == load_dataset("toy_images", DataConfig(), str(toy_dir)).task


def test_damaged_set_gets_one_line_with_its_folder(toy_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(toy_dir, copy)
    for file in copy.rglob("*train.array_record*"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(
        DatasetError, match=r"toy_images: split train in .* cannot be read"
    ) as caught:
        load_dataset("toy_images", DataConfig(), str(copy))
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)
