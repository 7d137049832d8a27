import importlib.util

import numpy as np
import pytest

from experiments.bench import comparison, evaluators
from experiments.bench.naive import HostData
from xfernas_jax.data import load_dataset
from xfernas_jax.errors import RecipeError
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.space import get_space
from xfernas_jax.space.nasbench201 import TopologyCell

SPACE = get_space("nasbench201")
CELL = TopologyCell(("nor_conv_3x3", "none", "identity", "identity", "identity", "nor_conv_3x3"))
RECIPE = get_recipe("cpu", ["network.num_cells=1", "data.train_examples=1000", "train.epochs=6"])
DATASET = load_dataset("digits", RECIPE.data)


@pytest.mark.slow
@pytest.mark.parametrize("way", evaluators.WAYS)
def test_every_way_trains(way: str) -> None:
    if way == "torch" and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed")
    found = evaluators.measure(way, SPACE, DATASET, RECIPE)(CELL, 1)
    # Chance is 0.1. The least of 25 trainings with other seeds, over the three ways, gave 0.65.
    assert found["valid_accuracy"] > 0.5
    assert 0.0 < found.get("training_seconds", 0.1) <= found["seconds"]


def test_batches_are_those_of_the_recipe_and_validation_is_whole() -> None:
    data = HostData(DATASET, RECIPE)
    batches = list(data.epoch(seed=1, epoch=2))
    assert {len(labels) for _, labels in batches} == {RECIPE.train.batch_size}
    assert len(batches) == data.steps_per_epoch
    assert sum(len(labels) for _, labels in data.valid()) == len(DATASET.valid)
    pixels = np.concatenate([images for images, _ in batches])
    assert abs(pixels.mean()) < 0.05  # 64,000 standardised pixels of nearly the whole part
    assert abs(pixels.std() - 1.0) < 0.05


@pytest.mark.parametrize("change", ["data.augment=crop", "network.drop_path_keep=0.9"])
def test_what_the_plain_trainings_lack_is_refused(change: str) -> None:
    with pytest.raises(RecipeError, match="plain trainings"):
        HostData(DATASET, get_recipe("cpu", [change]))


def rows(differences: list[float]) -> list[dict]:
    ours = {"seconds": 2.0, "valid_accuracy": 0.5}
    other = [{"seconds": 5.0, "valid_accuracy": 0.5 + d} for d in differences]
    return [{"ours": ours, "naive": row} for row in other]


def test_ways_are_compared_and_unequal_accuracies_refused() -> None:
    found = comparison.compare("naive", rows([0.02, -0.02, 0.01, -0.01]))
    assert found["median_ratio"] == found["ratio_of_totals"] == 2.5
    assert found["evaluations_per_hour"] == 720.0
    with pytest.raises(comparison.AccuracyError, match="naive"):
        comparison.compare("naive", rows([-0.10, -0.11, -0.12, -0.11]))
