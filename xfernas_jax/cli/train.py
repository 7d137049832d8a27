"""The verb `train`: one genotype, any recipe, checkpoints, exact resume."""

import contextlib
import hashlib
import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from xfernas_jax.benchmarks.trained import versions
from xfernas_jax.cli import flags, inputs
from xfernas_jax.cli.progress import EpochProgress, console, print_curve
from xfernas_jax.errors import FlagError, TrainingDivergedError, UserError
from xfernas_jax.nn.compile import count_params
from xfernas_jax.space import read_genotype, read_space_name
from xfernas_jax.space.registry import get_space, lookup_space
from xfernas_jax.strict_json import parse_json
from xfernas_jax.train.checkpoint import TrainingCheckpoints, VariablesStore


def train() -> None:
    """Trains the architecture of a genotype file and reads the test part at the end."""
    inputs.check_output()
    file = inputs.needed("genotype", flags.GENOTYPE.value)
    given = flags.given("space")
    space = get_space(flags.SPACE.value) if given else lookup_space(read_space_name(file))
    genotype, recipe, seed = read_genotype(file, space), inputs.recipe(space), flags.SEED.value
    dataset = inputs.dataset(recipe)
    benchmark = inputs.benchmark(space, dataset, recipe)
    identity = benchmark.identity(genotype, seed)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    folder = inputs.folder_of("trainings", f"{dataset.task.dataset}-{recipe.name}-{digest}")
    result_file = folder / "result.json"
    if result_file.is_file():
        console.print("This training is finished; nothing is trained or tested again.")
        _hand_over(_read_result(result_file), folder)
        return
    start = time.monotonic()
    variables = benchmark.initial_variables(genotype, seed)
    num_params = count_params(variables)
    console.print(
        f"Training {num_params:,} parameters on {dataset.task.dataset}, {recipe.name}, "
        f"{recipe.train.epochs} epochs"
    )
    every = flags.CHECKPOINT_EPOCHS.value
    opened = TrainingCheckpoints(folder / "checkpoints", identity, every)
    with contextlib.closing(opened) as checkpoints:
        progress = EpochProgress(recipe.train.epochs, checkpoints.latest_epoch())
        try:
            with progress.bar:
                trained = benchmark.train(genotype, seed, progress.epoch, checkpoints, variables)
        except TrainingDivergedError as error:
            raise UserError(
                f"{file}: {error} Lower --set=train.learning_rate=... or set "
                "--set=train.clip_norm=5."
            ) from error
    VariablesStore(folder).save("variables", trained.variables)
    result = {
        **identity,
        "recipe_values": recipe.to_json(),
        "space": space.name,
        "num_params": num_params,
        "valid_accuracy": trained.curve[-1],
        "test_accuracy": benchmark.test_accuracy(genotype, trained.variables),
        "curve": list(trained.curve),
        "losses": list(trained.losses),
        "seconds": time.monotonic() - start,
        "versions": dict(versions()),
    }
    inputs.write_json(result_file, result)
    _hand_over(result, folder)


def _read_result(file: pathlib.Path) -> Mapping[str, Any]:
    """Reads what an earlier run wrote; `FlagError` where the file was damaged since."""
    kinds = {"valid_accuracy": float, "test_accuracy": float, "num_params": int}
    with contextlib.suppress(OSError, ValueError):
        result = parse_json(file.read_bytes())
        if inputs.has_fields(result, kinds) and inputs.is_curve(result.get("curve")):
            return result
    raise FlagError(
        f"{file} is damaged: the result of this training cannot be read. Remove that file; the "
        "next run then continues from the latest checkpoint."
    )


def _hand_over(result: Mapping[str, Any], folder: pathlib.Path) -> None:
    if flags.OUTPUT.value:
        inputs.write_json(pathlib.Path(flags.OUTPUT.value), result)
    rows = {
        "validation accuracy": f"{100 * result['valid_accuracy']:.2f} %",
        "test accuracy": f"{100 * result['test_accuracy']:.2f} %",
        "parameters": f"{result['num_params']:,}",
        "result": str(folder / "result.json"),
        "trained variables": str(folder / "variables"),
        "checkpoints": str(folder / "checkpoints"),
    }
    print_curve("Validation accuracy by epoch", result["curve"], rows)
