import pathlib

import pytest

from experiments.image_sets import IMAGE_SETS
from experiments.real_methods import SETS
from experiments.small_tasks import IMAGE_FILES
from xfernas_jax.errors import FlagError
from xfernas_jax.history.sources import bundled_histories


def test_an_address_names_what_is_there(tmp_path: pathlib.Path) -> None:
    (tmp_path / "usps").mkdir()
    (tmp_path / "usps" / "usps.npz").touch()
    address = IMAGE_SETS["usps"].dataset(f"{tmp_path}/")
    assert address == f"npz:{tmp_path}/usps/usps.npz"
    assert IMAGE_SETS["digits"].dataset("nowhere") == "digits"


@pytest.mark.parametrize("short", ["usps", "grocery"])
def test_images_that_are_not_there_are_named_with_the_way_out(
    short: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(FlagError, match=r"is not there; name the folder .* by --images"):
        IMAGE_SETS[short].dataset(str(tmp_path))


def test_each_set_has_one_bundled_history_and_knows_its_images() -> None:
    datasets = [s.spec.task.dataset for s in bundled_histories() if s.spec.space == "convnet"]
    for image_set in IMAGE_SETS.values():
        assert len([name for name in datasets if image_set.images in name]) == 1


def test_the_lists_of_experiments_are_parts_of_the_one_list() -> None:
    names = {each.name for each in IMAGE_SETS.values()}
    assert set(SETS) <= names
    assert set(IMAGE_FILES) == {"usps", "notmnist_10k", "cifar10_subset", "flowers17_16x16"}
