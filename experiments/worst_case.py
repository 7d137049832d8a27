"""The worst case: sources that are wrong. Runs `tabular_search` once for each way to be wrong.

    python -m experiments.worst_case --benchmark_dir=DIR --seeds=20 --jobs=2 --output=runs/worst

Each transfer optimizer is compared with its twin without sources on the same targets and seeds.
*Not worse*: the 95 % interval of the difference is not wholly above 0, and the mean difference is
at most a quarter of the twin's mean. Writes `worst_case.json` and prints a table.
"""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, flags

from experiments import optimizer_names, statistics
from experiments.commands import search_table
from experiments.incumbents import percentile_matrix
from xfernas_jax.files import write_atomically

_DIR = flags.DEFINE_string("benchmark_dir", None, "Folder with a manifest.json.", required=True)
_TABLE = flags.DEFINE_string("table", "transnas_micro", "Name of a table.")
_TWINS = flags.DEFINE_list(
    "twins", ["nao", "bananas"], "Optimizers that have transfer twins, also module:NAME."
)
_KINDS = flags.DEFINE_list(
    "kinds",
    ["none", "shuffle", "negate", "one_shuffled", "one_negated"],
    "Values of --corrupt_sources.",
)
_SEEDS = flags.DEFINE_integer("seeds", 20, "Seeds.", lower_bound=2)
_JOBS = flags.DEFINE_integer("jobs", 1, "Processes.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "Folder of the results.", required=True)
_PASS = flags.DEFINE_multi_string("pass", [], "More flags for tabular_search, without the dashes.")

_CHECKPOINTS = (20, 50, 100)


def search(kind: str, optimizers: Sequence[str]) -> pathlib.Path:
    """Runs `tabular_search` for one way to be wrong; returns its folder."""
    output = pathlib.Path(_OUTPUT.value) / kind
    values = {
        "benchmark_dir": _DIR.value,
        "table": _TABLE.value,
        "corrupt_sources": kind,
        "seeds": _SEEDS.value,
        "jobs": _JOBS.value,
    }
    search_table(output, optimizers, values, _PASS.value)
    return output


def main(argv: Sequence[str]) -> None:
    """Runs every kind and compares."""
    del argv
    alone = search("none", list(_TWINS.value))
    rows = []
    for kind in _KINDS.value:
        folder = search(kind, [optimizer_names.with_sources(name) for name in _TWINS.value])
        for name in _TWINS.value:
            ours = percentile_matrix(folder / "evaluations.csv", optimizer_names.with_sources(name))
            theirs = percentile_matrix(alone / "evaluations.csv", name)
            for c in _CHECKPOINTS:
                rows.append(compare(kind, name, c, ours[..., c - 1], theirs[..., c - 1]))
    output = pathlib.Path(_OUTPUT.value) / "worst_case.json"
    write_atomically(output, (json.dumps(rows, indent=1) + "\n").encode())


def compare(kind: str, name: str, at: int, ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """Compares one optimizer with its twin and prints the line."""
    found = statistics.compare(ours, theirs)
    transfer = optimizer_names.with_sources(name)
    print(
        f"{kind:>13}  {transfer:<36} @{at:<4} {ours.mean():7.3f}  twin {theirs.mean():7.3f}  "
        f"difference {found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]  "
        f"{'not worse' if found.not_worse else 'WORSE'}"
    )
    return {
        "sources": kind,
        "optimizer": transfer,
        "evaluations": at,
        "mean_percentile": float(ours.mean()),
        "twin_mean_percentile": float(theirs.mean()),
        "difference": found.difference,
        "ci95": [found.low, found.high],
        "not_worse": found.not_worse,
    }


if __name__ == "__main__":
    app.run(main)
