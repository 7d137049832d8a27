"""Where left-right mirroring and small shifts keep the class: the table behind `data/symmetry.py`.

    python -m experiments.symmetry --sets=digits,mnist_5k,fashion_mnist,folder:photos --seeds=3

Prints a Markdown table, a line for each set and seed. `helped / harmed` is what mirrored (or
shifted) images do to a nearest-neighbour classifier of the training images, see there; the share is
helped / (helped + harmed) with its 95 % interval. Validation and test parts are not looked at.
"""

import pathlib
import subprocess
import time

from absl import flags

from experiments import commands
from xfernas_jax.data import DataConfig, ImageDataset, load_dataset
from xfernas_jax.data.symmetry import (
    MirrorEvidence,
    keeps_class_when_mirrored,
    keeps_class_when_shifted,
)

_SETS = flags.DEFINE_list("sets", ["digits", "mnist_5k"], "Data sets, as `--dataset` takes them.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Draws of at most 4,000 images.", lower_bound=1)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of prepared TFDS sets.")

_HEADER = (
    "| set | seed | images | nearest neighbour | with mirrored | helped / harmed | share (95 %) "
    "| mirror | seconds | shifts: helped / harmed | share (95 %) |"
)


def row(dataset: ImageDataset, seed: int) -> str:
    """Returns the table's line of one set and seed."""
    images, labels = dataset.train.images, dataset.train.labels
    start = time.monotonic()
    mirrored = keeps_class_when_mirrored(images, labels, seed)
    seconds = time.monotonic() - start
    shifted = keeps_class_when_shifted(images, labels, seed)
    name = dataset.found.name if dataset.found else dataset.task.dataset
    return (
        f"| `{name}` | {seed} | {mirrored.num:,} | {mirrored.original:.3f} "
        f"| {mirrored.mirrored:.3f} | {_counts(mirrored)} | {'on' if mirrored.allowed else 'off'} "
        f"| {seconds:.1f} | {_counts(shifted)} |"
    )


def _counts(evidence: MirrorEvidence) -> str:
    total = evidence.helped + evidence.harmed
    share = f"{evidence.helped / total:.2f}" if total else "-"
    return (
        f"{evidence.helped} / {evidence.harmed} | {share} ({evidence.low:.2f} to "
        f"{evidence.high:.2f})"
    )


def _commit() -> str:
    words = ["git", "rev-parse", "--short", "HEAD"]
    here = pathlib.Path(__file__).parent
    done = subprocess.run(words, cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    """Measures all sets."""
    print(f"Commit {_commit()}, {_SEEDS.value} seeds.\n\n{_HEADER}")
    print("|" + "---|" * (_HEADER.count("|") - 1))
    for name in _SETS.value:
        dataset = load_dataset(name, DataConfig(), _DATA_DIR.value)
        for seed in range(_SEEDS.value):
            print(row(dataset, seed), flush=True)


if __name__ == "__main__":
    commands.start("symmetry", main)
