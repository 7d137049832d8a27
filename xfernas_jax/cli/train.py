"""The verb `train`: one genotype, any recipe, checkpoints, exact resume."""

import contextlib
import dataclasses
import hashlib
import json
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xfernas_jax.cli import flags, hosts, initial, inputs, live, views
from xfernas_jax.cli.first_words import say_data, say_plan
from xfernas_jax.cli.live import TrainingRun
from xfernas_jax.cli.plan_words import recipe_line, train_lines
from xfernas_jax.cli.progress import EpochProgress, console, print_curve
from xfernas_jax.cli.scoring import runtime, trained_spec
from xfernas_jax.cli.views import Views
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.errors import AgreedError, FlagError, TrainingDivergedError
from xfernas_jax.evaluate.recipes import Recipe, is_read
from xfernas_jax.evaluate.trained import TrainedEvaluator, versions
from xfernas_jax.history.metric import Metric
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
    dataset: ImageDataset
    evaluator: TrainedEvaluator
    folder: pathlib.Path
    views: Views

    @property
    def metric(self) -> Metric:
        """What is measured."""
        return self.evaluator.task.metric

    def shown(self) -> list[TrainingRun]:
        """Returns what shows it."""
        return self.views.trainings(self.evaluator.task.dataset, self.folder.name, self.metric)

    @property
    def identity(self) -> dict[str, Any]:
        """Returns a JSON object of all that decides the result."""
        return self.evaluator.identity(self.genotype, self.seed)


def train() -> None:
    """Trains the architecture of a genotype file and reads the test part at the end."""
    with hosts.joined():
        training = together(_prepare)
        if flags.DRY_RUN.value:
            _say_plan(training)
            return
        result = on_first(lambda: _finished(training))
        if result is None:
            result = _train(training)
        on_first(lambda: _hand_over(result, training.folder, training.metric, training.shown()))


def _prepare() -> _Training:
    found = Views()
    if is_first() and not flags.DRY_RUN.value:
        inputs.check_output()
        found = views.opened()
    file = inputs.needed("genotype", flags.GENOTYPE.value)
    given = flags.SPACE.value
    name = read_space_name(file) if given is None else given
    space = lookup_space(name) if given is None else get_space(name)
    genotype, seed = read_genotype(file, space), flags.SEED.value
    spec = trained_spec(space, name, is_final=True)
    dataset = spec.load()
    say_data(dataset, spec.recipe.data)
    evaluator = spec.build_one(runtime(), dataset=dataset)
    digest = hashlib.sha256(
        json.dumps(evaluator.identity(genotype, seed), sort_keys=True).encode()
    ).hexdigest()[:8]
    folder = inputs.folder_of("trainings", f"{evaluator.task.dataset}-{spec.recipe.name}-{digest}")
    return _Training(genotype, seed, spec.recipe, dataset, evaluator, folder, found)


def _say_plan(training: _Training) -> None:
    """Says what the training would be."""
    evaluator, recipe = training.evaluator, training.recipe
    num_params = count_params(evaluator.initial_variables(training.genotype, training.seed))
    lines = train_lines(evaluator.space, num_params)
    has_cells = is_read(evaluator.space, "filters")
    say_plan([recipe_line(recipe, training.dataset, has_cells), *lines])


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
    evaluator, genotype, seed = training.evaluator, training.genotype, training.seed
    epochs, metric = training.recipe.train.epochs, training.metric
    variables = evaluator.initial_variables(genotype, seed)
    on_first(lambda: initial.check_agrees(variables))
    num_params = count_params(variables)
    console.print(
        f"Training {num_params:,} parameters on {evaluator.task.dataset}, {training.recipe.name}, "
        f"{epochs} epochs"
    )
    # Images that are trained on validate nothing: what is measured on them is called by its name.
    is_fit = training.recipe.data.valid_in_train
    progress = EpochProgress(epochs, "fitted" if is_fit else "valid", metric)
    opened = together(lambda: _open_checkpoints(training, progress.go_on) if is_first() else None)
    shown = training.shown()

    def on_epoch(epoch: int, value: float) -> None:
        progress.epoch(epoch, value)
        for each in () if is_fit else shown:
            each.epoch(epoch, value)

    with (
        contextlib.nullcontext() if opened is None else contextlib.closing(opened),
        live.closing(shown),
    ):
        checkpoints = FirstHostCheckpoints(opened) if is_one_of_many() else opened
        try:
            with progress.shown(), hosts.interruptible() as interrupt:
                trained = evaluator.train(
                    genotype, seed, on_epoch, checkpoints, variables, interrupt=interrupt
                )
        except TrainingDivergedError as error:
            raise AgreedError(
                f"{flags.GENOTYPE.value}: {error} Lower --set=train.learning_rate=... or set "
                "--set=train.clip_norm=5."
            ) from error
    values = {
        "valid_value": None if is_fit else trained.curve[-1],
        "test_value": evaluator.test(genotype, trained.variables),
    }
    result = {
        **training.identity,
        "metric": metric.name,
        "recipe_values": training.recipe.to_json(),
        "space": evaluator.space.name,
        "num_params": num_params,
        **values,
        "curve": [] if is_fit else list(trained.curve),
        "losses": list(trained.losses),
        "seconds": time.monotonic() - start,
        "versions": dict(versions()),
    }
    if metric.name == "accuracy":  # the names of version 0.1.0, for scripts that read them
        result["valid_accuracy"] = values["valid_value"]
        result["test_accuracy"] = values["test_value"]
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
    """Reads what a run wrote, also of 0.1.0; `FlagError` where it was damaged since."""
    with contextlib.suppress(OSError, ValueError):
        result = parse_json(file.read_bytes())
        if isinstance(result, dict):
            if "valid_value" not in result and "valid_accuracy" in result:
                result["valid_value"] = result["valid_accuracy"]
                result["test_value"] = result.get("test_accuracy")
            if _is_whole(result):
                return result
    raise FlagError(
        f"{file} is damaged: the result of this training cannot be read. Remove that file; the "
        "next run then continues from the latest checkpoint."
    )


def _is_whole(result: Mapping[str, Any]) -> bool:
    curve, valid, test = (result.get(name) for name in ("curve", "valid_value", "test_value"))
    return (
        {"valid_value", "test_value"} <= set(result)
        and type(result.get("num_params")) is int
        and isinstance(curve, list)
        and all(map(_is_value, curve))
        and (test is None or _is_value(test))
        and (_is_value(valid) if curve else valid is None)
    )


def _is_value(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _hand_over(
    result: Mapping[str, Any],
    folder: pathlib.Path,
    metric: Metric,
    shown: Sequence[TrainingRun],
) -> None:
    with live.closing(shown):
        for each in shown:
            each.end(result)
    inputs.write_output(result)
    valid = result["valid_value"]
    rows = {
        f"validation {metric.label}": "none: those images were trained on"
        if valid is None
        else metric.text(valid),
        f"test {metric.label}": metric.text(result["test_value"]),
        "parameters": f"{result['num_params']:,}",
        "result": str(folder / _RESULT),
        "trained variables": str(folder / "variables"),
        "checkpoints": str(folder / "checkpoints"),
    }
    print_curve("Validation by epoch", result["curve"], rows, metric)
