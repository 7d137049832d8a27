"""From flags to what the verbs work on: data, storage, studies, sources, folders."""

import hashlib
import json
import pathlib
import re
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np

from xfernas_jax.cli import flags
from xfernas_jax.cli.progress import console
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.stream import Residence
from xfernas_jax.errors import FlagError, StudyError
from xfernas_jax.evaluate.recipes import Recipe, default_recipe, get_recipe
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.files import check_writable, write_atomically
from xfernas_jax.history import (
    Evaluation,
    Source,
    Storage,
    StudySpec,
    Task,
    bundled_histories,
    choose_studies,
    default_storage_url,
    default_study_name,
    freeze_studies,
    recorded_studies,
    select_sources,
    target_observations,
    thaw_studies,
)
from xfernas_jax.history.goal import Goal
from xfernas_jax.nn.costs import COSTS, NetworkCosts
from xfernas_jax.nn.programs import ProgramChoice
from xfernas_jax.space.base import Space
from xfernas_jax.space.registry import get_space
from xfernas_jax.user_code import load_user_object


def architecture_numbers() -> Callable[[np.ndarray], np.ndarray] | None:
    """Loads the function that the flag names, if it names one."""
    address = flags.ARCHITECTURE_NUMBERS.value
    if not address:
        return None
    found = load_user_object(address, "function of architecture numbers", FlagError)
    if not callable(found):
        raise FlagError(
            f"--architecture_numbers={address} must be a function from tokens [N, L] to numbers "
            f"[N, F]. Found {found!r:.80}."
        )
    return cast(Callable[[np.ndarray], np.ndarray], found)


def recipe(space: Space) -> Recipe:
    """Returns the recipe that the flags name, by default the small one that fits the space."""
    forms = {"depthwise": flags.DEPTHWISE, "remat": flags.REMAT, "scan_cells": flags.SCAN_CELLS}
    changes = [
        f"network.{field}={str(flag.value).lower()}"
        for field, flag in forms.items()
        if flag.value is not None
    ]
    return get_recipe(flags.RECIPE.value or default_recipe(space), [*flags.SET.value, *changes])


def benchmark(
    space: Space, data: ImageDataset, of: Recipe, unfinished_dir: pathlib.Path | None = None
) -> TrainedEvaluator:
    """Returns the benchmark that trains architectures as the flags say."""
    programs = cast(ProgramChoice, flags.PROGRAMS.value)
    residence = cast(Residence, flags.DATA_RESIDENCE.value)
    return TrainedEvaluator(
        space,
        data,
        of,
        programs=programs,
        residence=residence,
        unfinished_dir=unfinished_dir,
        checkpoint_seconds=flags.EVALUATION_CHECKPOINT_SECONDS.value or None,
        costs=recorded_costs(),
    )


def goal() -> Goal:
    """Returns what the flags want beside accuracy."""
    limits = {
        "params": flags.MAX_PARAMS.value,
        "flops": flags.MAX_FLOPS.value,
        "latency_ms": flags.MAX_LATENCY_MS.value,
    }
    given = [(name, float(limit)) for name, limit in limits.items() if limit is not None]
    return Goal(tuple(given), "" if flags.PARETO.value == "none" else flags.PARETO.value)


def recorded_costs() -> tuple[str, ...]:
    """Returns the costs that evaluations record beside parameters, each once, in a fixed order."""
    wanted = {*flags.COSTS.value, *goal().costs}
    if unknown := sorted(wanted - set(COSTS)):
        raise FlagError(f"--costs: unknown cost {unknown[0]!r:.60}. Known: {', '.join(COSTS)}.")
    return tuple(name for name in COSTS if name in wanted and name != "params")


def known_costs(space: Space, data: ImageDataset, of: Recipe) -> NetworkCosts | None:
    """Returns what tells costs with a limit before a training; None where there are none."""
    names = [name for name, _ in goal().limits if name != "latency_ms"]
    if not names:
        return None
    return NetworkCosts(space, of.network, data.task.num_classes, data.input_shape, names)


def dataset(of: Recipe) -> ImageDataset:
    """Loads --dataset as a recipe wants it."""
    return load_dataset(flags.DATASET.value, of.data, flags.DATA_DIR.value)


def compile_cache_folder() -> str:
    """Returns the folder of compiled programs in --workdir."""
    return str(folder_of("compile_cache"))


def storage_url() -> str:
    """Returns --storage, or the SQLite file in --workdir."""
    return flags.STORAGE.value or default_storage_url(_workdir())


def open_storage(create: bool = True) -> Storage:
    """Opens the record; a space of the user's own is loaded first, so that it can be read."""
    if ":" in flags.SPACE.value:
        get_space(flags.SPACE.value)
    return Storage(storage_url(), create=create)


def control(storage: Storage, study: str) -> AbstractContextManager[None]:
    """Makes this process the study's one controller, and lets a take-over by another interrupt it.

    Where SIGINT is ignored, as in the background of a script, the next evaluation ends it.
    """
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def interrupt() -> None:
        signal.pthread_kill(main_thread, signal.SIGINT)  # wakes it where it waits, too

    return storage.control(study, take_over=flags.TAKE_OVER.value, on_lost=interrupt)


def needed(name: str, value: str | None) -> str:
    """Returns a flag's value; `FlagError` where the command cannot do without it."""
    if not value:
        raise FlagError(f"This command needs --{name}.")
    return value


def check_output() -> None:
    """Raises `FlagError` where --output could not be written at the end."""
    if flags.OUTPUT.value:
        try:
            check_writable(flags.OUTPUT.value)
        except OSError as error:
            raise FlagError(
                f"--output={flags.OUTPUT.value} cannot be written ({error.strerror}); name a file "
                "in a folder that you may write to."
            ) from error


def has_fields(value: Any, kinds: Mapping[str, type]) -> bool:
    """Tells whether a result that was read is an object with these fields; int is no float."""
    return isinstance(value, dict) and all(
        isinstance(value.get(name), kind) and not isinstance(value.get(name), bool)
        for name, kind in kinds.items()
    )


def is_curve(value: Any, may_miss: bool = False) -> bool:
    """Tells whether a value that was read is a list of numbers, or also of None."""
    kinds = (int, float, type(None)) if may_miss else (int, float)
    return isinstance(value, list) and all(type(item) in kinds for item in value)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON file whole or not at all."""
    try:
        write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())
    except OSError as error:
        raise FlagError(f"{path} cannot be written ({error.strerror}).") from error


def folder_of(*names: str) -> pathlib.Path:
    """Returns a folder in --workdir; characters that a path gives a meaning are replaced."""
    parts = []
    for name in names:
        safe = re.sub(r"[^\w.=+-]", "_", name)[:100].lstrip(".")
        if safe != name:
            safe += "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
        parts.append(safe)
    return _workdir().joinpath(*parts)


def _workdir() -> pathlib.Path:
    """Returns --workdir, which the record, the results and the compiled programs share."""
    try:
        return pathlib.Path(flags.WORKDIR.value).expanduser().absolute()
    except RuntimeError as error:
        raise FlagError(f"--workdir={flags.WORKDIR.value:.160}: {error}") from error


def study_spec(
    kind: Any, task: Task, space: Space, recipe: str, config: Mapping[str, Any]
) -> StudySpec:
    """Describes the study of this run; its default name is made of task and configuration."""
    full = {**config, "kind": kind, "space": space.name}
    name = flags.STUDY.value or default_study_name(task, full)
    return StudySpec(name, kind, task, space.name, recipe, config)


def choose_sources(
    storage: Storage, space: Space, spec: StudySpec
) -> tuple[dict[str, int], tuple[Source, ...], tuple[Evaluation, ...]]:
    """Chooses what a search learns from and names it in the log.

    A search that goes on gets what it began with, however much was recorded since.

    Returns:
      Number of evaluations of each study that is learned from, the sources, and with
      --reuse_target what earlier studies know of the target itself.
    """
    recorded = {study.spec.name: study for study in bundled_histories()}
    recorded.update({study.spec.name: study for study in recorded_studies(storage)})
    wanted, reuse = flags.SOURCES.value, flags.REUSE_TARGET.value
    chosen = choose_studies(
        recorded.values(), space, spec.task, wanted, reuse_target=reuse, own_study=spec.name
    )
    counts, begun = freeze_studies(chosen), storage.find(spec.name)
    if begun is not None and "source_studies" in begun.config:
        then = begun.config["source_studies"]
        if not isinstance(then, dict) or not all(type(count) is int for count in then.values()):
            raise StudyError(
                f"Study {spec.name!r}: source_studies in its configuration is an object of counts. "
                f"Got {then!r:.80}; choose another --study."
            )
        if then != counts:
            console.print("Sources are those that the study began with; --study=NAME starts anew.")
        counts = then
    thawed = thaw_studies(recorded.values(), counts)
    sources = select_sources(
        thawed,
        space,
        spec.task,
        "all" if counts else "none",
        recipe=spec.recipe,
        reuse_target=reuse,
        own_study=spec.name,
    )
    prior: tuple[Evaluation, ...] = ()
    if reuse:
        prior = target_observations(thawed, space, spec.task, spec.recipe, own_study=spec.name)
    if not sources:
        console.print(f"Space {space.name}: no sources; the search starts from nothing.")
    for source in sources:
        console.print(f"Source {source.name}: {len(source.evaluations)} evaluations")
    if prior:
        console.print(f"Earlier studies of this task: {len(prior)} evaluations")
    return counts, sources, prior
