"""The histories that come with the package."""

from collections import Counter
from importlib import resources

import pytest

from xfernas_jax.data import DataConfig, load_dataset
from xfernas_jax.data.facts import task_facts
from xfernas_jax.data.symmetry import keeps_class_when_mirrored
from xfernas_jax.evaluate import auto
from xfernas_jax.history import bundled_histories
from xfernas_jax.history.jsonl import read_header
from xfernas_jax.history.sources import image_family

STUDIES = {study.spec.name: study for study in bundled_histories()}
WHOLE = [name for name in STUDIES if name not in ("convnet-flowers", "convnet-grocery")]


def test_all_are_collections_of_the_default_space_with_facts_and_provenance() -> None:
    folder = resources.files("xfernas_jax").joinpath("bundled")
    for name, study in STUDIES.items():
        assert (study.spec.kind, study.spec.space) == ("collect", "convnet")
        assert study.spec.task.facts is not None
        command = read_header(str(folder.joinpath(f"{name}.jsonl.gz"))).provenance["command"]
        assert "collect" in command
        assert "=/" not in command
        assert ":/" not in command
    families = {image_family(study.spec.task.dataset) for study in STUDIES.values()}
    assert len(families) == len(STUDIES) == 8


@pytest.mark.slow
def test_six_hold_150_architectures_and_30_under_a_second_seed() -> None:
    assert len(WHOLE) == 6
    for name, study in STUDIES.items():
        counts = Counter(e.key for e in study.load() if e.value is not None)
        assert len(counts) >= (150 if name in WHOLE else 60)
        assert sum(count > 1 for count in counts.values()) >= 29


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dataset"), [("digits", "digits"), ("mnist", "mnist_5k")])
def test_they_are_of_the_recipe_and_the_facts_of_today(name: str, dataset: str) -> None:
    spec = STUDIES[f"convnet-{name}"].spec
    whole = load_dataset(dataset, DataConfig(image_size=auto.LARGEST_SIDE))
    mirror = keeps_class_when_mirrored(whole.train.images, whole.train.labels, 0).allowed
    assert spec.recipe == auto.search_recipe(whole, mirror).fingerprint()
    assert spec.task.facts == task_facts(whole)
    assert spec.task == whole.task
