"""Averaging over mirror images: the same function in evaluation, test, inference and export."""

import jax
import numpy as np
import pytest

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.export.program import export_program, flat_arrays
from xfernas_jax.space import get_space
from xfernas_jax.space.nasbench201 import TopologyCell

CELL = TopologyCell(("nor_conv_1x1", "none", "none", "avg_pool_3x3", "identity", "none"))
CHANGES = ["train.epochs=4", "data.train_examples=512", "network.filters=4", "network.num_cells=1"]


@pytest.mark.slow
def test_the_exported_function_averages_and_gives_the_test_score_of_the_evaluator() -> None:
    recipe = get_recipe("cpu", [*CHANGES, "data.test_flips=true"])
    dataset = load_dataset("digits", recipe.data)
    flipping, plain = (
        TrainedEvaluator(get_space("nasbench201"), dataset, r, jax.devices()[:1], "own")
        for r in (recipe, get_recipe("cpu", CHANGES))
    )
    variables = flipping.train(CELL, seed=0).variables
    program = export_program(flipping.inference(CELL), flat_arrays(variables), (8, 8, 1))
    model, test = jax.export.deserialize(bytearray(program)), dataset.test
    logits = np.asarray(model.call(flat_arrays(variables), test.images))
    infer = jax.jit(plain.inference(CELL))
    both = [infer(variables, images) for images in (test.images, test.images[:, :, ::-1])]
    np.testing.assert_allclose(logits, np.mean(both, axis=0), rtol=1e-4, atol=1e-5)
    assert np.mean(logits.argmax(-1) == test.labels) == flipping.test(CELL, variables)
    assert flipping.test(CELL, variables) != plain.test(CELL, variables)
