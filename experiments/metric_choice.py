"""What a search for balanced accuracy is worth on unequal photos, against one for accuracy.

    python -m experiments.metric_choice --dataset=folder:PHOTOS --output=runs/metric_choice

`run.py search` as it comes, in the same time and from the same seeds, once with each metric. Both
networks answer the same test images, and both metrics are computed from these answers. Searches
that are there already are not made again; `table.md` has the means and paired 95 % intervals over
seeds by Student's t. Leave the machine alone meanwhile.
"""

import pathlib
import subprocess
import sys

import numpy as np
from absl import flags

from experiments import commands
from experiments.statistics import paired
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.tested import FILE, read_tested

_DATASET = flags.DEFINE_string("dataset", "folder:../shared/images/grocery", "See run.py search.")
_TIME = flags.DEFINE_string("time_budget", "2m", "Of a search.")
_SEEDS = flags.DEFINE_integer("num_seeds", 3, "Searches for each metric.", 1)
_OUTPUT = flags.DEFINE_string("output", "runs/metric_choice", "Folder of searches and table.")

METRICS = ("accuracy", "balanced_accuracy")


def scores_of(workdir: pathlib.Path) -> dict[str, float]:
    """Returns the metrics of what a search's network says of the test images."""
    (folder,) = (file.parent for file in (workdir / "studies").glob(f"*/{FILE}"))
    tested = read_tested(folder)
    found = {} if tested is None else {name: tested.score(name) for name in METRICS}
    if any(value is None for value in found.values()) or not found:
        raise FlagError(f"{folder}: holds no answers to test images; remove {workdir}.")
    return {name: float(value) for name, value in found.items() if value is not None}


def searched(metric: str, seed: int) -> dict[str, float]:
    """Searches unless that is done, and returns both metrics of the network."""
    workdir = pathlib.Path(_OUTPUT.value).absolute() / f"{metric}-{seed}"
    if not list((workdir / "studies").glob(f"*/{FILE}")):
        words = [f"--dataset={_DATASET.value}", f"--time_budget={_TIME.value}"]
        words += [f"--metric={metric}", f"--seed={seed}", f"--workdir={workdir}"]
        subprocess.run([sys.executable, "run.py", "search", *words], check=True)
    return scores_of(workdir)


def table(found: dict[str, list[dict[str, float]]]) -> list[str]:
    """Returns means of both metrics by what was searched for, as lines of Markdown."""
    rows = ["| searched for | accuracy | balanced accuracy |", "|---|---|---|"]
    for metric in METRICS:
        cells = [f"{100 * np.mean([each[name] for each in found[metric]]):.1f}" for name in METRICS]
        rows.append(f"| {metric} | " + " | ".join(cells) + " |")
    cells = []
    for name in METRICS:
        ours, theirs = (
            np.array([100 * each[name] for each in found[metric]])
            for metric in ("balanced_accuracy", "accuracy")
        )
        compared = paired(ours, theirs)
        cells.append(f"{compared.difference:+.1f} ({compared.low:+.1f} to {compared.high:+.1f})")
    rows.append("| difference | " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    """Searches and writes the table."""
    found: dict[str, list[dict[str, float]]] = {metric: [] for metric in METRICS}
    for seed in range(_SEEDS.value):
        for metric in METRICS:
            scores = searched(metric, seed)
            found[metric].append(scores)
            print(metric, seed, scores, flush=True)
    lines = table(found)
    (pathlib.Path(_OUTPUT.value) / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    commands.start("metric_choice", main)
