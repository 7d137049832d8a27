"""The worst case: sources that are wrong. Runs `tabular_search` once for each way to be wrong.

    python -m experiments.worst_case --benchmark_dir=DIR --seeds=20 --jobs=2 --output=runs/worst

Each transfer optimizer is compared with its twin without sources on the same targets and seeds.
*Non-inferior*: the 95 % interval of the mean difference lies wholly below `--margin` of the twin's
mean. Writes `worst_case.json` and prints a table.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments import commands, grid, optimizer_names, statistics
from experiments.incumbents import percentile_matrix
from experiments.tabular_units import TableFlags, table_step

_GRID, _TABLE = grid.GridFlags(least_seeds=2, shards=False), TableFlags()
_TWINS = flags.DEFINE_list(
    "twins", ["nao", "bananas"], "Optimizers that have transfer twins, also module:NAME."
)
_KINDS = flags.DEFINE_list(
    "kinds",
    ["none", "shuffle", "negate", "one_shuffled", "one_negated"],
    "Values of --corrupt_sources.",
)
_MARGIN = flags.DEFINE_float(
    "margin", statistics.MARGIN, "Share of the twin's mean that may be lost.", lower_bound=0.0
)
_PASS = flags.DEFINE_multi_string("pass", [], "More flags for tabular_search, without the dashes.")

_CHECKPOINTS = (20, 50, 100)


def search(kind: str, optimizers: Sequence[str]) -> pathlib.Path:
    """Runs `tabular_search` for one way to be wrong; returns its file of evaluations."""
    output = _GRID.output / kind
    table_step(output, optimizers, _TABLE, _GRID, {"corrupt_sources": kind}, _PASS.value)
    return output / "evaluations.csv"


def main() -> None:
    """Runs every kind and compares."""
    alone, rows = search("none", list(_TWINS.value)), []
    for kind in _KINDS.value:
        file = search(kind, [optimizer_names.with_sources(name) for name in _TWINS.value])
        for name in _TWINS.value:
            ours = percentile_matrix(file, optimizer_names.with_sources(name))
            theirs = percentile_matrix(alone, name)
            for c in _CHECKPOINTS:
                rows.append(compare(kind, name, c, ours[..., c - 1], theirs[..., c - 1]))
    commands.write_json(_GRID.output / "worst_case.json", rows)


def compare(kind: str, name: str, at: int, ours: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """Compares one optimizer with its twin and prints the line."""
    found = statistics.compare(ours, theirs, _MARGIN.value)
    transfer = optimizer_names.with_sources(name)
    print(
        f"{kind:>13}  {transfer:<36} @{at:<4} {ours.mean():7.3f}  twin {theirs.mean():7.3f}  "
        f"difference {found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]  "
        f"{'non-inferior' if found.non_inferior else 'NOT SHOWN to be no worse'}"
    )
    return {
        "sources": kind,
        "optimizer": transfer,
        "evaluations": at,
        "mean_percentile": float(ours.mean()),
        "twin_mean_percentile": float(theirs.mean()),
        "difference": found.difference,
        "ci95": [found.low, found.high],
        "margin": _MARGIN.value,
        "non_inferior": found.non_inferior,
    }


if __name__ == "__main__":
    commands.start("worst_case", main)
