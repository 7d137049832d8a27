import jax
import numpy as np
import pytest

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.stream import Residence
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.space import get_space
from xfernas_jax.space.nasbench201 import TopologyCell

CELL = TopologyCell(("nor_conv_1x1", "none", "none", "avg_pool_3x3", "identity", "none"))
CHANGES = ["train.epochs=2", "data.train_examples=200", "network.filters=4"]
CHANGES += ["data.augment=crop_flip", "data.crop_padding=1", "network.num_cells=1"]


@pytest.mark.slow
@pytest.mark.parametrize(("num_devices", "standardize"), [(1, "image"), (4, "dataset")])
def test_a_streamed_training_is_bit_for_bit_the_resident_one(
    num_devices: int, standardize: str
) -> None:
    # 359 validation examples in batches of 100: the last one is padded.
    changes = [*CHANGES, f"data.standardize={standardize}", "train.eval_batch_size=100"]
    recipe = get_recipe("cpu", changes)
    dataset, devices = load_dataset("digits", recipe.data), jax.devices()[:num_devices]

    def results(residence: Residence) -> tuple:
        bench = TrainedEvaluator(
            get_space("nasbench201"), dataset, recipe, devices, "own", residence
        )
        trained = bench.train(CELL, seed=3)
        return trained, bench.test(CELL, trained.variables)

    (resident, resident_test), (streamed, streamed_test) = results("device"), results("stream")
    assert streamed.losses == resident.losses
    assert streamed.curve == resident.curve
    assert streamed_test == resident_test
    jax.tree.map(np.testing.assert_array_equal, streamed.variables, resident.variables)
