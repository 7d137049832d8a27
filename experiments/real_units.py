"""The units of `real_tasks`: a set, a method, a time and a seed, each done by a process of its own.

A unit begins with an empty folder of work, so nothing that another one compiled, measured or fitted
helps it; one that was killed begins anew.
"""

import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np

from experiments import commands
from experiments.grid import Unit
from experiments.image_sets import ImageSet
from experiments.real_methods import (
    AUTOKERAS,
    METHODS,
    SEARCHES,
    SETS,
    Work,
    seconds_of,
)
from xfernas_jax.data import DataConfig, ImageDataset, load_dataset
from xfernas_jax.errors import FlagError

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_LARGEST_SIDE = 64  # pixels of an image; larger ones are shrunk for all methods


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a unit gave.

    Attributes:
      test: accuracy, read once, in [0, 1]; None where it failed.
      valid: accuracy, by which the network was chosen.
      network: name of a known one, or "found".
      num_params: of it.
      seconds: of the whole process.
      budget_seconds: that it was given.
      failure: why it does not count, in a line; else empty.
      details: what else its program said.
      made: commit, machine, versions, day and command.
    """

    test: float | None
    valid: float | None
    network: str
    num_params: int | None
    seconds: float
    budget_seconds: float
    failure: str
    details: Mapping[str, Any]
    made: Mapping[str, Any]


def planned(times: Sequence[str], seeds: Sequence[int] | None = None) -> list[Unit]:
    """Returns all units in their order: a seed of a set gets all its methods in a row.

    So what is compared with one another runs on one machine, also where a session ends in between.
    """
    ordered = sorted(dict.fromkeys(times), key=seconds_of)
    most = max(method.seeds for method in METHODS.values())
    return [
        Unit(name, image_set, seed, time)
        for seed in (range(most) if seeds is None else seeds)
        for time in ordered
        for image_set in SETS
        for name, method in METHODS.items()
        if seed < method.seeds_of(seconds_of(time))
    ]


def do_missing(
    units: Sequence[Unit],
    folder: pathlib.Path,
    do: Callable[[Unit], Outcome],
    after: Callable[[], None],
) -> None:
    """Does the units that have no file yet, one at a time.

    Args:
      units: in order.
      folder: of the results.
      do: does one; an exception ends all and leaves nothing of that unit.
      after: called after each.
    """
    for unit in units:
        if not unit.file(folder).exists():
            commands.write_json(unit.file(folder), dataclasses.asdict(do(unit)))
            after()


def read_outcomes(folder: pathlib.Path) -> dict[Unit, Outcome]:
    """Reads every unit's file."""
    found = {}
    for file in sorted((folder / "units").glob("*/*/*.json")):
        target, _, seed = file.stem.rpartition("-")
        unit = Unit(file.parent.name, target, int(seed), file.parents[1].name)
        found[unit] = Outcome(**unit.read(folder))
    return found


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a set holds, after the split that all methods share.

    Attributes:
      dataset: name, with a digest of the content where the set has a path.
      split: the rule, in words.
      num_classes: of it.
      shape: of an image.
      num_images: of the parts.
      num_copies: test images that are among those of an earlier part too.
    """

    dataset: str
    split: str
    num_classes: int
    shape: list[int]
    num_images: dict[str, int]
    num_copies: int


def look_at(dataset: ImageDataset) -> Facts:
    """Returns the facts of a set."""
    assert dataset.task.num_classes is not None
    assert dataset.found is not None
    contents = [part.contents for part in dataset.found.parts.values()]
    copies = 0
    if all(each is not None for each in contents):
        *earlier, test = (np.asarray(each) for each in contents)
        copies = int(np.isin(test, np.concatenate(earlier)).sum())
    return Facts(
        dataset.task.dataset,
        dataset.task.split,
        dataset.task.num_classes,
        list(dataset.input_shape),
        {name: len(part) for name, part in dataset.parts().items()},
        copies,
    )


def prepare(name: str, address: str, folder: pathlib.Path, with_images: bool) -> None:
    """Reads a set and writes its facts, and its images for strangers.

    Raises:
      FlagError: the folder holds results of other images under this name.
    """
    dataset = load_dataset(address, DataConfig(image_size=_LARGEST_SIDE))
    facts, file = look_at(dataset), folder / "sets" / f"{name}.json"
    if file.exists() and read_facts(folder)[name] != facts:
        raise FlagError(f"--results={folder} holds results of other images of {name}; name another")
    commands.write_json(file, dataclasses.asdict(facts))
    if with_images:
        arrays: dict[str, Any] = {
            f"{letter}_{key}": np.asarray(values)
            for key, part in dataset.parts().items()
            for letter, values in (("x", part.images[:]), ("y", part.labels))
        }
        np.savez(images_file(folder, name), **arrays)


def images_file(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the file with a set's images for programs that know nothing of ours."""
    return folder / "sets" / f"{name}.npz"


def read_facts(folder: pathlib.Path) -> dict[str, Facts]:
    """Reads the facts of all sets that were looked at."""
    files = sorted((folder / "sets").glob("*.json"))
    return {file.stem: Facts(**json.loads(file.read_text())) for file in files}


def run(method: str, work: Work, log: pathlib.Path, image_set: ImageSet) -> Outcome:
    """Runs a unit's process to its end, or ends it where it takes far too long."""
    shutil.rmtree(work.folder, ignore_errors=True)
    work.folder.mkdir(parents=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    words, budget = METHODS[method].command(work), seconds_of(work.time)
    made = _made(words, work)
    start = time.monotonic()
    failure = _run(words, log, most_seconds=_most_seconds(method, budget))
    seconds = time.monotonic() - start
    said: dict[str, Any] = {}
    if not failure:
        try:
            said = json.loads(work.output.read_text())
        except (OSError, ValueError) as error:
            failure = f"it left no result ({error})"
    shutil.rmtree(work.folder, ignore_errors=True)
    if said and method in SEARCHES:
        failure, said = _leak(said, image_set), _of_search(said)
    found = {name: said.pop(name, None) for name in ("test", "valid", "network", "num_params")}
    if found["test"] is None and not failure:
        failure = "it has no test accuracy"
    found["network"] = found["network"] or ""
    return Outcome(
        **found, seconds=seconds, budget_seconds=budget, failure=failure, details=said, made=made
    )


def _leak(result: Mapping[str, Any], image_set: ImageSet) -> str:
    """Returns why a search does not count, where it learned from its own images; else nothing."""
    leaked = [name for name in result["sources"] if image_set.images in name]
    if not leaked:
        return ""
    return f"not counted: it learned from {', '.join(leaked)}, which may hold its images"


def _of_search(result: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a search's result in the words of the other programs."""
    best = [row["name"] for row in result["references"] if row["is_best"]]
    told = ("dataset", "sources", "num_evaluations", "best_genotype", "references")
    return {
        "test": result["test_value"],
        "valid": result["best_value"],
        "network": best[0] if best else "found",
        "num_params": result["num_params"],
        **{name: result[name] for name in told},
    }


def _most_seconds(method: str, budget: float) -> float:
    """Returns when a process is killed.

    A stranger gets a minute beyond its budget, for its start and the test part. Ours keep time
    themselves, but for reading the data and a first epoch, which are always finished.
    """
    return budget + 60.0 if method == AUTOKERAS else 2.0 * budget + 120.0


def _run(words: Sequence[str], log: pathlib.Path, most_seconds: float) -> str:
    """Returns why a process failed; empty where it did not. It dies where this one is ended."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            words,
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            close_fds=False,  # it holds the lock of the results as long as it lives
        )
        try:
            code = process.wait(most_seconds)
        except subprocess.TimeoutExpired:
            return f"killed after {most_seconds:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"exit code {code}: {lines[-1] if lines else 'nothing was said'}"[:300] if code else ""


def _made(words: Sequence[str], work: Work) -> dict[str, Any]:
    """Returns what a number has to be read with; the command without folders of this machine."""
    command = " ".join(["python", *words[1:]]).replace(str(_ROOT), ".")
    for text, name in ((work.output, "OUTPUT"), (work.folder, "WORK"), (work.images, "IMAGES")):
        command = command.replace(str(text), name)
    command = re.sub(r"(--dataset=\w+:)\S*/", r"\1", command)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "command": command,
        "commit": commands.commit(),
        "machine": f"{cores} cores, {platform.system()} {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("jax", "flax", "optax", "numpy")},
        },
        "date": datetime.date.today().isoformat(),
    }
