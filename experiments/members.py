"""One long training or several shorter ones whose logits are averaged, in as many steps.

    python -m experiments.members --images=../shared/images --sets=grocery,cifar10,flowers,usps

Each network is trained by the recipe of what is handed over, at 32 pixels at most, under several
seeds for each number of epochs; what the trainings say of the validation images is kept in
`logits/`, from which the command goes on. The table of a network has, for each number of epochs in
all, the mean accuracy of one training and of several shorter ones, over all choices of members.
What the recipe's values are worth is seen by --changes, which has a table of its own.
"""

import dataclasses
import io
import pathlib

import jax
import numpy as np
from absl import flags

from experiments import commands
from experiments.averages import accuracies, table
from experiments.image_flags import chosen_sets
from experiments.last_recipe import last_recipe
from experiments.shapes import NETWORKS, SPACE
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.evaluate.inference import all_logits
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.files import write_atomically
from xfernas_jax.options import parse_changes

_NETWORK = flags.DEFINE_string("network", "lean 1 2 2", "That is trained; a name of shapes.py.")
_NUM_IMAGES = flags.DEFINE_integer("num_images", 2_500, "Training images of a set, at most.", 1)
_EPOCHS = flags.DEFINE_list("epochs", ["80:2", "40:4", "20:4"], "Of a training: seeds.")
_CHANGES = flags.DEFINE_list("changes", [], "Of the recipe, such as train.mixup=0.2.")
_OUTPUT = flags.DEFINE_string("output", "runs/members", "Folder of the results.")


def trained_logits(
    dataset: str, recipe: Recipe, epochs: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Trains the network; returns logits and labels of the validation part."""
    recipe = parse_changes(recipe, _CHANGES.value)
    train = dataclasses.replace(recipe.train, epochs=epochs)
    data = dataclasses.replace(recipe.data, train_examples=_NUM_IMAGES.value)
    recipe = dataclasses.replace(recipe, train=train, data=data)
    images, genotype = load_dataset(dataset, data), NETWORKS[_NETWORK.value]
    evaluator = TrainedEvaluator(SPACE, images, recipe)
    variables = evaluator.train(genotype, seed).variables
    infer = jax.jit(evaluator.inference(genotype))
    logits = all_logits(infer, variables, images.valid.images, train.eval_batch_size)
    return logits, images.valid.labels


def main() -> None:
    """Trains what is missing and writes the table."""
    output, of_sets = pathlib.Path(_OUTPUT.value), {}
    (output / "logits").mkdir(parents=True, exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str((output / "compile_cache").absolute()))
    plan = [tuple(map(int, each.split(":"))) for each in _EPOCHS.value]
    network = "+".join([_NETWORK.value.replace(" ", "_"), *_CHANGES.value])
    for short, dataset in chosen_sets().items():
        _, recipe = last_recipe(dataset)
        found: dict[int, list[np.ndarray]] = {}
        labels = np.zeros(0)
        for epochs, num_seeds in plan:
            for seed in range(num_seeds):
                file = output / "logits" / f"{short}-{network}-{epochs}-{seed}.npz"
                if not file.exists():
                    logits, labels = trained_logits(dataset, recipe, epochs, seed)
                    _write(file, logits, labels)
                    print(short, epochs, seed, np.mean(logits.argmax(-1) == labels), flush=True)
                with np.load(file, allow_pickle=False) as kept:
                    found.setdefault(epochs, []).append(kept["logits"])
                    labels = kept["labels"]
        of_sets[short] = accuracies(found, labels)
        (output / f"table-{network}.md").write_text("\n".join(table(of_sets)) + "\n")
    print("\n".join(table(of_sets)))


def _write(file: pathlib.Path, logits: np.ndarray, labels: np.ndarray) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, logits=logits, labels=labels)
    write_atomically(file, stream.getvalue())


if __name__ == "__main__":
    commands.start("members", main)
