"""Whether a person is better off with us than with what they would write by hand: real image sets.

    python -m experiments.real_tasks --images=DIR --results=runs/real_tasks

Ours is `run.py search` with its defaults. The rivals get the same images and split, and the same
minutes of the same cores: (a) known networks, trained alone by our trainer, (b) networks in plain
Flax, (c) random search and NAO without sources in our space, (d) AutoKeras, where
--autokeras_python names an interpreter that has it, (e) Optuna's TPE in our space.

Each run of a method is a file in --results as soon as it is over, so the command goes on where it
was stopped; a run that was cut off begins anew, one that failed is kept as failed. After each,
`real_tasks.md` and `summary.json` are written again; they tell of everything in the folder and
name what is missing. --sets, --methods, --times and --seeds choose what is done now. One run at a
time has all cores: leave the machine alone meanwhile.

With the defaults that is 24 runs of 3 minutes and 6 of 10 for each set without AutoKeras, 13 hours
for all sets. `fashion_mnist` needs what the data set of this name needs; --images holds the others,
`grocery` as a folder and the rest as NAME/NAME.npz.
"""

import fcntl
import os
import pathlib
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from absl import flags

from experiments import commands, real_page
from experiments.grid import Unit
from experiments.real_methods import AUTOKERAS, METHODS, OURS, SETS, Work, source_names
from experiments.real_units import (
    Outcome,
    do_missing,
    images_file,
    planned,
    prepare,
    read_facts,
    read_outcomes,
    run,
)
from xfernas_jax.errors import FlagError
from xfernas_jax.files import write_atomically

_IMAGES = flags.DEFINE_string("images", "../shared/images", "Folder of the sets.")
_RESULTS = flags.DEFINE_string("results", "runs/real_tasks", "Folder of runs and page.")
_SETS = flags.DEFINE_list("sets", list(SETS), "Sets that are tried now.")
_METHODS = flags.DEFINE_list("methods", list(METHODS), "Methods that are tried now.")
_TIMES = flags.DEFINE_list("times", ["3m", "10m"], "Times of a run; from 10m on one seed of a few.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds that are tried now, as far as planned.")
_AUTOKERAS = flags.DEFINE_string(
    "autokeras_python", None, "Interpreter that has AutoKeras; without it AutoKeras is left out."
)

_DEFAULT_TIMES = ("3m", "10m")


def _chosen(name: str, values: Sequence[str], known: Sequence[str]) -> list[str]:
    if unknown := [value for value in values if value not in known]:
        raise FlagError(f"--{name}={unknown[0]:.80}: known are {', '.join(known)}.")
    return list(values)


def _seeds() -> list[int]:
    known = [str(seed) for seed in range(max(method.seeds for method in METHODS.values()))]
    return [int(seed) for seed in _chosen("seeds", _SEEDS.value, known)]


def _units(python: str | None, recorded: Sequence[Unit]) -> tuple[list[Unit], list[Unit]]:
    """Returns all units that the page is about, and those that are to be done now."""
    sets = _chosen("sets", _SETS.value, list(SETS))
    methods = _chosen("methods", _METHODS.value, list(METHODS))
    now = [
        unit
        for unit in planned(_TIMES.value, _seeds())
        if unit.target in sets
        and unit.optimizer in methods
        and (python or unit.optimizer != AUTOKERAS)
    ]
    usual = [u for u in planned(_DEFAULT_TIMES) if python or u.optimizer != AUTOKERAS]
    return list(dict.fromkeys([*usual, *now, *recorded])), now


def _python() -> str | None:
    """Returns the interpreter that has AutoKeras; its own folder tells it its packages."""
    if not _AUTOKERAS.value:
        return None
    found = shutil.which(_AUTOKERAS.value)
    if found is None:
        raise FlagError(f"--autokeras_python={_AUTOKERAS.value} is no program.")
    return os.path.abspath(found)


@contextmanager
def _alone(results: pathlib.Path) -> Iterator[None]:
    """Keeps a second command off the folder, also while a run of a killed one still goes on."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        lock = open(results / "lock", "ab")  # noqa: SIM115
    except OSError as error:
        raise FlagError(f"--results={results} cannot be written ({error.strerror}).") from error
    with lock:
        os.set_inheritable(lock.fileno(), True)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FlagError(f"--results={results}: another run is at work there.") from error
        yield


def _stop(*_: Any) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Does what is missing and writes the page after each run."""
    images, results = os.path.abspath(_IMAGES.value), pathlib.Path(_RESULTS.value).absolute()
    python = _python()
    _, now = _units(python, [])
    addresses = {unit.target: SETS[unit.target].dataset(images) for unit in now}
    signal.signal(signal.SIGTERM, _stop)
    with _alone(results):
        ready: set[str] = set()

        def do(unit: Unit) -> Outcome:
            name, image_set = unit.target, SETS[unit.target]
            if name not in ready:
                prepare(name, addresses[name], results, with_images=python is not None)
                ready.add(name)
            print(f"{unit.name} ...", flush=True)
            folder = results / "work"
            work = Work(
                addresses[name],
                images_file(results, name),
                unit.variant,
                unit.seed,
                folder,
                folder / "output.json",
                source_names(image_set) if unit.optimizer == OURS else None,
                python,
            )
            log = unit.file(results, "logs").with_suffix(".txt")
            outcome = run(unit.optimizer, work, log, image_set)
            shown = outcome.failure or f"test {outcome.test:.4f} with {outcome.network}"
            print(f"{unit.name}: {shown}, {outcome.seconds:.0f} s", flush=True)
            return outcome

        def write() -> None:
            outcomes = read_outcomes(results)
            every, _ = _units(python, list(outcomes))
            summary = real_page.summarize(outcomes, every)
            notes = [] if python else ["AutoKeras is left out: no --autokeras_python was given."]
            command = " ".join(["python -m experiments.real_tasks", *_shown_flags()])
            text = real_page.page(summary, read_facts(results), command, notes)
            commands.write_json(results / "summary.json", summary)
            write_atomically(results / "real_tasks.md", text.encode())

        write()
        try:
            do_missing(now, results, do, write)
        except KeyboardInterrupt:
            print("real_tasks: stopped; the same command goes on from here.", file=sys.stderr)
            sys.exit(130)


def _shown_flags() -> list[str]:
    """Returns the flags of the command line without what is of this machine."""
    local = ("--images", "--results", "--autokeras_python")
    return [word for word in sys.argv[1:] if not word.startswith(local)]


if __name__ == "__main__":
    commands.start("real_tasks", main)
