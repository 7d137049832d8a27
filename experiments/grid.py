"""The grid that experiments share: units of work, each done once, in processes and shards.

The result of a unit is a file of its own in the output folder. So a run that was killed goes on,
and several processes or machines may share the work.
"""

import concurrent.futures
import dataclasses
import functools
import json
import math
import multiprocessing
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import flags

from experiments import optimizer_names
from xfernas_jax.errors import FlagError
from xfernas_jax.files import write_atomically


@dataclasses.dataclass(frozen=True, order=True)
class Unit:
    """A search, or another measurement.

    Attributes:
      optimizer: its name, or what else is measured.
      target: the task.
      seed: from 0.
      variant: what else tells units apart, such as a goal; empty where nothing does.
    """

    optimizer: str
    target: str
    seed: int
    variant: str = ""

    @property
    def name(self) -> str:
        """In one word, for people."""
        return "/".join(filter(None, (self.variant, self.optimizer, self.target, str(self.seed))))

    def file(self, output: pathlib.Path, part: str = "units") -> pathlib.Path:
        """Returns where its result lies, or another part of what is kept of it."""
        folder = output / part / self.variant / optimizer_names.folder_of(self.optimizer)
        return folder / f"{self.target.replace('/', '_')}-{self.seed}.json"

    def read(self, output: pathlib.Path) -> Any:
        """Returns its result."""
        return json.loads(self.file(output).read_text())

    @classmethod
    def of_file(cls, file: pathlib.Path) -> "Unit":
        """Inverts `file` for a unit without a variant."""
        target, _, seed = file.stem.rpartition("-")
        return cls(optimizer_names.name_of(file.parent.name), target, int(seed))


Work = Callable[[Unit], Any]
"""Does a unit and returns its result, a JSON object; can be pickled."""


class GridFlags:
    """The flags of every grid; each experiment makes them once, at its top."""

    def __init__(self, seeds: int = 20, least_seeds: int = 1, shards: bool = True) -> None:
        """Defines them: `seeds` is the default; without `shards` all is done here."""
        self._seeds = flags.DEFINE_integer("seeds", seeds, "Seeds, from 0.", least_seeds)
        self._jobs = flags.DEFINE_integer("jobs", 1, "Processes; each uses one core.", 1)
        self._output = flags.DEFINE_string("output", None, "Folder of the results.")
        self._shard = None
        if shards:
            self._shard = flags.DEFINE_string(
                "shard", "1/1", "Which part of the units to run: I/N."
            )

    @property
    def seeds(self) -> int:
        """Number of seeds."""
        return self._seeds.value

    @property
    def jobs(self) -> int:
        """Number of processes."""
        return self._jobs.value

    @property
    def output(self) -> pathlib.Path:
        """The folder, absolute; `FlagError` without one."""
        if not self._output.value:
            raise FlagError("This experiment needs --output.")
        return pathlib.Path(self._output.value).expanduser().absolute()

    @property
    def shard(self) -> tuple[int, int]:
        """I and N of --shard=I/N; `FlagError` for another form."""
        text = "1/1" if self._shard is None else self._shard.value
        numbers = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
        index, parts = (int(x) for x in numbers.groups()) if numbers else (1, 0)
        if index > parts:
            raise FlagError(f"--shard={text}: the form is I/N, such as 1/4.")
        return index, parts


def check_setting(setting: Any, output: pathlib.Path) -> None:
    """Writes `setting.json`, or raises where the folder holds results of another setting.

    Args:
      setting: a dataclass of what all units share.
      output: the folder.

    Raises:
      FlagError: there are other results, or nothing can be written.
    """
    file = output / "setting.json"
    text = json.dumps(dataclasses.asdict(setting), indent=1)
    old, new = json.loads(file.read_text() if file.exists() else text), json.loads(text)
    if fields := [name for name in new if old.get(name) != new[name]]:
        raise FlagError(
            f"{output} holds results of another setting ({', '.join(fields)}); choose another "
            "--output, or delete the folder."
        )
    if not file.exists():
        try:
            write_atomically(file, text.encode())
        except OSError as error:
            raise FlagError(f"--output={output} cannot be written ({error.strerror}).") from error


def run(
    work: Work, units: Sequence[Unit], output: pathlib.Path, chosen: GridFlags, what: str
) -> bool:
    """Does the units of this shard that are not done; writes results and `timings.json`.

    Units of one target and seed are done by one process: they share the sources' fit.

    Args:
      work: does one.
      units: of all shards.
      output: the folder.
      chosen: number of processes, and the shard.
      what: the groups in words, for the lines that tell how far it is.

    Returns:
      Whether all units are done, those of other shards too.
    """
    index, parts = chosen.shard
    shard = [group for i, group in enumerate(groups_of(units)) if i % parts == index - 1]
    missing = [[unit for unit in group if not unit.file(output).exists()] for group in shard]
    mine = [group for group in missing if group]
    for _ in in_processes(functools.partial(_run_group, work, output), mine, chosen.jobs, what):
        pass
    _write_timings(output)
    return all(unit.file(output).exists() for unit in units)


def units_of(
    optimizers: Sequence[str],
    targets: Sequence[str],
    num_seeds: int,
    variants: Sequence[str] = ("",),
) -> list[Unit]:
    """Returns all units; those of one target and seed lie together."""
    return [
        Unit(optimizer, target, seed, variant)
        for target in targets
        for seed in range(num_seeds)
        for variant in variants
        for optimizer in optimizers
    ]


def groups_of(units: Sequence[Unit]) -> list[list[Unit]]:
    """Returns the units of each target and seed together, in order."""
    groups: dict[tuple[str, int], list[Unit]] = {}
    for unit in units:
        groups.setdefault((unit.target, unit.seed), []).append(unit)
    return list(groups.values())


def _run_group(work: Work, output: pathlib.Path, units: Sequence[Unit]) -> None:
    for unit in units:
        start = time.monotonic()
        result = work(unit)
        entry = {unit.name: round(time.monotonic() - start, 3)}
        write_atomically(unit.file(output), json.dumps(result).encode())
        write_atomically(unit.file(output, "timings"), json.dumps(entry).encode())


def _write_timings(output: pathlib.Path) -> None:
    """Writes `timings.json` from the units' own files; keeps what it said of others."""
    whole = output / "timings.json"
    timings = json.loads(whole.read_text()) if whole.exists() else {}
    for file in (output / "timings").rglob("*.json"):
        timings |= json.loads(file.read_text())
    write_atomically(whole, json.dumps(timings, indent=1, sort_keys=True).encode())


def in_processes(
    function: Callable[[Any], Any], items: Sequence[Any], num_processes: int, what: str
) -> Iterator[Any]:
    """Yields what a function gives for each item, as they come, and tells how far it is."""
    single_threaded()  # the children inherit it
    context = multiprocessing.get_context("spawn")
    every = max(math.ceil(len(items) / 20), 1)
    with concurrent.futures.ProcessPoolExecutor(num_processes, mp_context=context) as pool:
        futures = [pool.submit(function, item) for item in items]
        for done, future in enumerate(concurrent.futures.as_completed(futures), start=1):
            yield future.result()
            if done % every == 0 or done == len(futures):
                print(f"{done}/{len(futures)} {what}", flush=True)


def single_threaded() -> None:
    """Makes this process use one core; to be called before NumPy and JAX start their threads."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    more = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {more}".strip()
    os.environ["JAX_PLATFORMS"] = "cpu"
