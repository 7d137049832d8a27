"""A training that is interrupted before any step goes on to the bits of an unbroken one."""

import pathlib
from contextlib import closing

import jax
import numpy as np
import pytest

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.stream import Residence
from xfernas_jax.errors import TrainingInterruptedError
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.space import get_space
from xfernas_jax.space.nasbench201 import TopologyCell
from xfernas_jax.train.checkpoint import TrainingCheckpoints

CELL = TopologyCell(("nor_conv_1x1", "none", "none", "avg_pool_3x3", "identity", "none"))
CHANGES = ["train.epochs=3", "data.train_examples=128", "train.batch_size=32"]  # 4 steps an epoch
CHANGES += ["network.filters=4", "network.num_cells=1", "network.dropout_keep=0.8"]
CHANGES += ["train.schedule=one_cycle", "train.warmup=0.3", "train.nesterov=true"]
CHANGES += ["train.decay_all=false", "train.average_decay=0.9", "train.mixup=0.3"]
CHANGES += ["train.class_weights=balanced", "data.augment=flip", "data.test_flips=true"]


@pytest.mark.slow
@pytest.mark.parametrize("residence", ["device", "stream"])
def test_an_interrupted_training_ends_with_the_bits_of_an_unbroken_one(
    residence: Residence, tmp_path: pathlib.Path
) -> None:
    recipe = get_recipe("cpu", CHANGES)
    bench = TrainedEvaluator(
        get_space("nasbench201"),
        load_dataset("digits", recipe.data),
        recipe,
        jax.devices()[:2],
        residence=residence,
    )
    whole = bench.train(CELL, seed=1)
    for step in (0, 3, 4, 6, 7, 8):  # in the middle of epochs, at their ends, twice in one
        with closing(TrainingCheckpoints(tmp_path, {})) as checkpoints:
            with pytest.raises(TrainingInterruptedError) as left:
                bench.train(
                    CELL, 1, checkpointer=checkpoints, interrupt=lambda done, at=step: done == at
                )
            assert left.value.epochs == step // 4
        assert (tmp_path / str(step)).is_dir()
    with closing(TrainingCheckpoints(tmp_path, {})) as checkpoints:
        broken = bench.train(CELL, 1, checkpointer=checkpoints)
    assert (broken.losses, broken.curve) == (whole.losses, whole.curve)
    jax.tree.map(np.testing.assert_array_equal, broken.variables, whole.variables)
