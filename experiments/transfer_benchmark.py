"""Does transfer help from the first evaluation, and does it ever hurt? One protocol over tables.

    python -m experiments.transfer_benchmark --benchmark_dir=DIR --output=runs/transfer --jobs=2

Each task of a table in turn is the target, the others are sources; an evaluation is a look-up. A
case is TABLE:ROWS, with so many random rows of each source, or TABLE:all, with whole columns; any
folder with a manifest will do (`docs/DATA.md`), and `convnet` is made of the histories that come
with the package. Of the tables in --wrong the sources are made wrong too, in the ways of --kinds.

Of each draw of the sources there are several searches (--searches): what is compared are the means
of a draw, so that intervals do not count searches of one draw as independent. Optimizers without
sources search once for each table and serve all its cases.

Each search is a file in --output as soon as it is over, so the command goes on where it was
stopped; several processes or machines may share the work (--shard=1/4). Writes
`transfer_benchmark.md`, one page, and `summary.json`, after each case. --power runs nothing and
prints what difference the searches that are there can show.
"""

import functools
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from absl import flags

from experiments import commands, grid, optimizer_names, transfer_page
from experiments.tabular_units import Setting, cached_table, checked_optimizers, run_unit
from experiments.transfer_cases import KINDS, RIGHT, Case, alone, cases_of
from experiments.transfer_measures import Reached, reached
from xfernas_jax.errors import FlagError
from xfernas_jax.files import write_atomically

_GRID = grid.GridFlags(seeds=40)
_DIR = flags.DEFINE_string("benchmark_dir", None, "Folder with a manifest.json.")
_CASES = flags.DEFINE_list(
    "cases",
    [
        "transnas_micro:200",
        "nasbench201:50",
        "nasbench201:all",
        "nasbench_graph:200",
        "nb201_robust:200",
        "fcnet:200",
        "convnet:all",
    ],
    "TABLE:ROWS or TABLE:all of each.",
)
_WRONG = flags.DEFINE_list(
    "wrong",
    ["transnas_micro:200", "nasbench_graph:200", "fcnet:200"],
    "Those of --cases whose sources are made wrong too.",
)
_KINDS = flags.DEFINE_list("kinds", [kind for kind in KINDS if kind != RIGHT], "In which ways.")
_OPTIMIZERS = flags.DEFINE_list(
    "optimizers",
    ["xfer_nao"],
    "Optimizers with sources, also module:NAME; their twins are run too.",
)
_SEARCHES = flags.DEFINE_integer("searches", 4, "Searches for each draw of the sources.", 1)
_BUDGET = flags.DEFINE_integer("budget", 100, "Evaluations of a search.", 1)
_SURROGATE = flags.DEFINE_string("surrogate", "head", "Surrogate: head, joint or graph.")
_POWER = flags.DEFINE_bool("power", False, "Only print what difference can be seen.")

CONVNET = "convnet"
"""The table of the histories that come with the package."""


def _shared() -> dict[str, Any]:
    if _GRID.seeds % _SEARCHES.value:
        raise FlagError(
            f"--seeds={_GRID.seeds}: a multiple of --searches={_SEARCHES.value}, the searches for "
            "each draw of the sources."
        )
    names = {"budget": _BUDGET, "surrogate": _SURROGATE, "searches": _SEARCHES}
    return {name: flag.value for name, flag in names.items()}


def _optimizers() -> list[str]:
    """Returns the names of --optimizers; their twins exist."""
    names = checked_optimizers(_OPTIMIZERS.value)
    if plain := [name for name in names if not optimizer_names.uses_sources(name)]:
        raise FlagError(
            f"--optimizers={plain[0]}: name those that learn from sources (xfer_...); their twins "
            "without sources are run too."
        )
    checked_optimizers([optimizer_names.without_sources(name) for name in names])
    return names


def _folder(name: str) -> str:
    """Returns the folder of a table; makes the one of the package's own histories."""
    if name != CONVNET:
        if not _DIR.value:
            raise FlagError(f"--cases: table {name!r} needs --benchmark_dir, where it lies.")
        return _DIR.value
    folder = _GRID.output / "tables"
    if not (folder / "manifest.json").exists():
        command = [sys.executable, "-m", "experiments.convnet_table", f"--table_dir={folder}"]
        if subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode:
            sys.exit(2)  # it has said why
    return str(folder)


def _steps(cases: list[Case], names: list[str]) -> Iterator[tuple[str, Setting, list[str]]]:
    """Yields folder, setting and optimizers of what is run, a table's searches alone first."""
    shared, seen = _shared(), set()
    for case in cases:
        table = cached_table(_folder(case.table), case.table)
        if case.table not in seen:
            seen.add(case.table)
            twins = dict.fromkeys(optimizer_names.without_sources(name) for name in names)
            yield transfer_page.alone_folder(case.table), alone(table, shared), ["random", *twins]
        yield case.folder, case.setting(table, shared), names


def _found(case: Case, names: list[str]) -> transfer_page.Found:
    """Reads what is there of a case."""
    shared, output = _shared(), _GRID.output
    table = cached_table(_folder(case.table), case.table)
    without = output / transfer_page.alone_folder(case.table), alone(table, shared)
    own = output / case.folder, case.setting(table, shared)

    def read(name: str, where: tuple[pathlib.Path, Setting]) -> Reached | None:
        folder, setting = where
        return reached(folder, name, setting, table, _GRID.seeds)

    return transfer_page.Found(
        case,
        len(table.space.rows),
        read("random", without),
        {name: read(name, own) for name in names},
        {name: read(optimizer_names.without_sources(name), without) for name in names},
    )


def _made(output: pathlib.Path) -> list[str]:
    """Adds this commit to those that made the results, and returns them."""
    file = output / "made.json"
    commits = json.loads(file.read_text()) if file.exists() else []
    commits = list(dict.fromkeys([*commits, commands.commit()]))
    write_atomically(file, json.dumps(commits).encode())
    return commits


def _write(output: pathlib.Path, cases: list[Case], names: list[str], commits: list[str]) -> None:
    found = [_found(case, names) for case in cases]
    draws = f"{_GRID.seeds // _SEARCHES.value} draws of the sources x {_SEARCHES.value} searches"
    local = ("--benchmark_dir", "--output", "--jobs", "--shard")
    words = [word for word in sys.argv[1:] if not word.startswith(local)]
    command = " ".join(["python -m experiments.transfer_benchmark --benchmark_dir=DIR", *words])
    commands.write_json(output / "summary.json", transfer_page.summary(found))
    text = transfer_page.page(found, command, draws, commits)
    write_atomically(output / "transfer_benchmark.md", text.encode())


def main() -> None:
    """Runs what is missing and writes the page, or prints what can be seen."""
    names, output = _optimizers(), _GRID.output
    cases = cases_of(_CASES.value, _WRONG.value, _KINDS.value)
    _ = _shared(), _GRID.shard  # mistakes are told before anything is written
    if _POWER.value:
        print("\n".join(transfer_page.power([_found(case, names) for case in cases])))
        return
    steps = list(_steps(cases, names))
    commits = None
    for folder, setting, optimizers in steps:
        grid.check_setting(setting, output / folder)
        commits = commits or _made(output)
        units = grid.units_of(optimizers, setting.targets, _GRID.seeds)
        work = functools.partial(run_unit, setting, _folder(setting.table), output / folder)
        print(f"{folder}: {len(units)} searches of up to {setting.budget} evaluations", flush=True)
        grid.run(work, units, output / folder, _GRID, "(target, seed) pairs")
        _write(output, cases, names, commits)
    print(output / "transfer_benchmark.md")


if __name__ == "__main__":
    commands.start("transfer_benchmark", main)
