"""The verb `train`: one genotype, any recipe, checkpoints, exact resume."""

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from xfernas_jax.cli import flags, hosts, inputs, tensorboard
from xfernas_jax.cli.progress import EpochProgress, console, print_curve
from xfernas_jax.cli.tensorboard import TrainingFiles
from xfernas_jax.errors import AgreedError, FlagError, TrainingDivergedError
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator, versions
from xfernas_jax.nn.compile import count_params
from xfernas_jax.space import read_genotype, read_space_name
from xfernas_jax.space.base import Genotype
from xfernas_jax.space.registry import get_space, lookup_space
from xfernas_jax.strict_json import parse_json
from xfernas_jax.train.checkpoint import TrainingCheckpoints, VariablesStore
from xfernas_jax.train.hosts import (
    FirstHostCheckpoints,
    is_first,
    is_one_of_many,
    on_first,
    together,
)
from xfernas_jax.types import PyTree

_RESULT = "result.json"


@dataclasses.dataclass(frozen=True)
class _Training:
    """What the flags ask for, and the folder of it."""

    genotype: Genotype
    seed: int
    recipe: Recipe
    dataset: str
    benchmark: TrainedEvaluator
    folder: pathlib.Path
    event_files: pathlib.Path | None

    @property
    def identity(self) -> dict[str, Any]:
        """Returns a JSON object of all that decides the result."""
        return self.benchmark.identity(self.genotype, self.seed)


def train() -> None:
    """Trains the architecture of a genotype file and reads the test part at the end."""
    with hosts.joined():
        training = together(_prepare)
        result = on_first(lambda: _finished(training))
        if result is None:
            result = _train(training)
        on_first(lambda: _hand_over(result, training.folder, training.event_files))


def _prepare() -> _Training:
    if flags.OBJECTIVE.value is not None:
        raise FlagError(
            f"--objective={flags.OBJECTIVE.value} is for `search` and `collect`; `train` trains a "
            "network of ours."
        )
    event_files = None
    if is_first():
        inputs.check_output()
        event_files = tensorboard.folder()
    file = inputs.needed("genotype", flags.GENOTYPE.value)
    given = flags.given("space")
    space = get_space(flags.SPACE.value) if given else lookup_space(read_space_name(file))
    genotype, recipe, seed = read_genotype(file, space), inputs.recipe(space), flags.SEED.value
    dataset = inputs.dataset(recipe)
    benchmark = inputs.benchmark(space, dataset, recipe)
    identity = benchmark.identity(genotype, seed)
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]
    name = dataset.task.dataset
    folder = inputs.folder_of("trainings", f"{name}-{recipe.name}-{digest}")
    event_files = event_files and event_files / folder.name
    return _Training(genotype, seed, recipe, name, benchmark, folder, event_files)


def _finished(training: _Training) -> Mapping[str, Any] | None:
    """Returns the result of an earlier run; None where there is none."""
    file = training.folder / _RESULT
    if not file.is_file():
        return None
    console.print("This training is finished; nothing is trained or tested again.")
    return _read_result(file)


def _train(training: _Training) -> Mapping[str, Any]:
    """Trains and tests in all processes; the first writes."""
    start = time.monotonic()
    benchmark, genotype, epochs = (
        training.benchmark,
        training.genotype,
        training.recipe.train.epochs,
    )
    variables = benchmark.initial_variables(genotype, training.seed)
    num_params = count_params(variables)
    console.print(
        f"Training {num_params:,} parameters on {training.dataset}, {training.recipe.name}, "
        f"{epochs} epochs"
    )
    # Images that are trained on validate nothing: what is measured on them is called by its name.
    is_fit = training.recipe.data.valid_in_train
    progress = EpochProgress(epochs, "fitted" if is_fit else "valid")
    opened = together(lambda: _open_checkpoints(training, progress.go_on) if is_first() else None)
    event_files = TrainingFiles(training.event_files)

    def on_epoch(epoch: int, valid_accuracy: float) -> None:
        progress.epoch(epoch, valid_accuracy)
        if not is_fit:
            event_files.epoch(epoch, valid_accuracy)

    with (
        contextlib.nullcontext() if opened is None else contextlib.closing(opened),
        contextlib.closing(event_files),
    ):
        checkpoints = FirstHostCheckpoints(opened) if is_one_of_many() else opened
        try:
            with progress.bar, hosts.interruptible() as interrupt:
                trained = benchmark.train(
                    genotype,
                    training.seed,
                    on_epoch,
                    checkpoints,
                    variables,
                    interrupt=interrupt,
                )
        except TrainingDivergedError as error:
            raise AgreedError(
                f"{flags.GENOTYPE.value}: {error} Lower --set=train.learning_rate=... or set "
                "--set=train.clip_norm=5."
            ) from error
    result = {
        **training.identity,
        "recipe_values": training.recipe.to_json(),
        "space": benchmark.space.name,
        "num_params": num_params,
        "valid_accuracy": None if is_fit else trained.curve[-1],
        "test_accuracy": benchmark.test_accuracy(genotype, trained.variables),
        "curve": [] if is_fit else list(trained.curve),
        "losses": list(trained.losses),
        "seconds": time.monotonic() - start,
        "versions": dict(versions()),
    }
    on_first(lambda: _write(result, trained.variables, training.folder))
    return result


def _open_checkpoints(
    training: _Training, on_restored: Callable[[int], None]
) -> TrainingCheckpoints:
    return TrainingCheckpoints(
        training.folder / "checkpoints",
        training.identity,
        flags.CHECKPOINT_EPOCHS.value,
        on_restored=on_restored,
    )


def _write(result: Mapping[str, Any], variables: PyTree, folder: pathlib.Path) -> None:
    VariablesStore(folder).save("variables", variables)
    inputs.write_json(folder / _RESULT, result)


def _read_result(file: pathlib.Path) -> Mapping[str, Any]:
    """Reads what an earlier run wrote; `FlagError` where the file was damaged since."""
    kinds = {"test_accuracy": float, "num_params": int}
    with contextlib.suppress(OSError, ValueError):
        result = parse_json(file.read_bytes())
        if (
            inputs.has_fields(result, kinds)
            and inputs.is_curve(result.get("curve"))
            and type(result.get("valid_accuracy")) is (float if result["curve"] else type(None))
        ):
            return result
    raise FlagError(
        f"{file} is damaged: the result of this training cannot be read. Remove that file; the "
        "next run then continues from the latest checkpoint."
    )


def _hand_over(
    result: Mapping[str, Any], folder: pathlib.Path, event_files: pathlib.Path | None = None
) -> None:
    with contextlib.closing(TrainingFiles(event_files)) as files:
        files.end(result)
    if flags.OUTPUT.value:
        inputs.write_json(pathlib.Path(flags.OUTPUT.value), result)
    valid = result["valid_accuracy"]
    shown = "none: those images were trained on" if valid is None else f"{100 * valid:.2f} %"
    rows = {
        "validation accuracy": shown,
        "test accuracy": f"{100 * result['test_accuracy']:.2f} %",
        "parameters": f"{result['num_params']:,}",
        "result": str(folder / _RESULT),
        "trained variables": str(folder / "variables"),
        "checkpoints": str(folder / "checkpoints"),
    }
    print_curve("Validation accuracy by epoch", result["curve"], rows)
