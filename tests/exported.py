"""The folder of a small exported network, without a search."""

import json
import pathlib
from collections.abc import Sequence

import jax
import numpy as np

from xfernas_jax.data.registry import load_dataset
from xfernas_jax.evaluate.recipes import Recipe, get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.export.model import ModelFacts
from xfernas_jax.export.program import export_program, flat_arrays
from xfernas_jax.nn.members import joined
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.space import PUBLISHED, get_space, write_genotype
from xfernas_jax.train.config import TrainConfig

SPACE = get_space("convnet")
GENOTYPE = PUBLISHED["vgg_tiny"][1]


def write_network(folder: pathlib.Path, num_members: int = 1) -> pathlib.Path:
    """Trains a network for a few epochs of `digits` and writes what `load_network` reads.

    Where it has several members, each is a training under another seed.
    """
    data = get_recipe("cpu", ["data.test_flips=true", "data.train_examples=512"]).data
    train = TrainConfig(epochs=4, batch_size=32, learning_rate=0.1)
    recipe = Recipe("quick", NetworkConfig(), data, train)
    dataset = load_dataset("digits", recipe.data)
    evaluator = TrainedEvaluator(SPACE, dataset, recipe, jax.devices()[:1])
    members = [evaluator.train(GENOTYPE, seed).variables for seed in range(num_members)]
    variables = joined(members)
    tested = evaluator.test(GENOTYPE, variables)
    assert tested is not None
    write_genotype(folder / "genotype.json", SPACE, GENOTYPE)
    arrays = flat_arrays(variables)
    np.savez(folder / "variables.npz", allow_pickle=False, **arrays)
    names, score = dataset.class_names, ("digits", "accuracy", tested)
    ModelFacts(
        *("convnet", recipe.network, (8, 8, 1), evaluator.normalizer, True, names, *score),
        num_members=num_members,
    ).write(folder)
    program = export_program(evaluator.inference(GENOTYPE, num_members), arrays, (8, 8, 1))
    (folder / "model.stablehlo").write_bytes(program)
    return folder


def rename_classes(folder: pathlib.Path, names: Sequence[str]) -> None:
    """Gives the classes other names."""
    (folder / "classes.json").write_text(json.dumps(list(names)))
