"""Whether searches keep to their time: a table of what was asked for and what was taken.

    python -m experiments.time_budgets --budgets=2m,5m,10m,30m,60m --timings_dir=runs/time_budgets

Each search is a process of its own with an empty folder; nothing else may run beside it. `asked`
counts from the moment when the data was read, so the table has both: the seconds since then, which
the program is held to, and those of the whole process. Finished searches are kept in --timings_dir,
and the same command goes on where it was stopped.
"""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
from typing import Any

from absl import flags

from experiments import commands
from xfernas_jax.cli.auto import parse_seconds
from xfernas_jax.errors import UserError

_BUDGETS = flags.DEFINE_list("budgets", ["2m", "5m", "10m", "30m", "60m"], "Times to ask for.")
_SET = flags.DEFINE_string("image_set", "mnist_5k", "Data set, as --dataset of `search`.")
_RESULTS = flags.DEFINE_string("timings_dir", "runs/time_budgets", "Folder that is written.")
_WIDEST = 0.10  # of the budget, that a search may be off


def run_search(dataset: str, budget: str, folder: pathlib.Path) -> dict[str, Any]:
    """Searches in an empty folder and returns what it took.

    Raises:
      UserError: the search failed; its last line is told.
    """
    shutil.rmtree(folder, ignore_errors=True)
    words = ["search", f"--dataset={dataset}", "--space=convnet", f"--time_budget={budget}"]
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "xfernas_jax", *words, f"--workdir={folder}", "--study=timed"],
        capture_output=True,
        text=True,
        check=False,
    )
    whole = time.monotonic() - start
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise UserError(f"--time_budget={budget}: {' '.join(last)}")
    result = json.loads((folder / "studies" / "timed" / "result.json").read_text())
    return {
        "budget": budget,
        "asked": parse_seconds(budget),
        "whole": whole,
        "trained": result["seconds"],
        "num_evaluations": result["num_evaluations"],
        "num_full": result["num_confirmations"],
        "test": result["test_value"],
        "cores": os.cpu_count(),
        "machine": platform.machine(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Returns the results as Markdown."""
    lines = [
        "| asked | whole process | of it training | process / asked | short, full | test |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = row["whole"] / row["asked"]
        lines.append(
            f"| {row['budget']} | {row['whole']:.0f} s | {row['trained']:.0f} s | {ratio:.2f} | "
            f"{row['num_evaluations']}, {row['num_full']} | {100 * row['test']:.2f} % |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs what is missing and prints the table."""
    folder = pathlib.Path(_RESULTS.value)
    rows = []
    for budget in _BUDGETS.value:
        file = folder / f"{budget}.json"
        if not file.is_file():
            found = run_search(_SET.value, budget, folder / f"work_{budget}")
            commands.write_json(file, found)
        rows.append(json.loads(file.read_text()))
        print(table(rows))
    late = [row["budget"] for row in rows if row["whole"] > (1 + _WIDEST) * row["asked"]]
    print(f"longer than asked by more than {_WIDEST:.0%}: {', '.join(late) or 'none'}")


if __name__ == "__main__":
    commands.start("time_budgets", main)
