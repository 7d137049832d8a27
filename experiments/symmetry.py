"""Where left-right mirroring and small shifts keep the class: the table behind `data/symmetry.py`.

    python -m experiments.symmetry --sets=digits,mnist_5k,fashion_mnist,folder:photos --seeds=3

Prints a Markdown table, a line for each set and seed (one seed where all images are
taken). `helped / harmed` is what mirrored (or
shifted) images do to a nearest-neighbour classifier of the training images, see there; the
share is helped / (helped + harmed) with its 95 % interval. A second table has the share of 20
random subsets of few images that allow mirroring. Validation and test parts are not looked at.
"""

import time

import numpy as np
from absl import flags

from experiments import commands
from xfernas_jax.data import DataConfig, ImageDataset, load_dataset
from xfernas_jax.data.symmetry import (
    MOST_IMAGES,
    MirrorEvidence,
    keeps_class_when_mirrored,
    keeps_class_when_shifted,
)

_SETS = flags.DEFINE_list("sets", ["digits", "mnist_5k"], "Data sets, as `--dataset` takes them.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Draws of at most 4,000 images.", lower_bound=1)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of prepared TFDS sets.")
_FEW = flags.DEFINE_list("few", ["100", "300", "1000"], "Sizes of the random subsets.")

_DRAWS = 20  # subsets of each size
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
    return (
        f"| `{_name(dataset)}` | {seed} | {mirrored.num:,} | {mirrored.original:.3f} "
        f"| {mirrored.mirrored:.3f} | {_counts(mirrored)} | {'on' if mirrored.allowed else 'off'} "
        f"| {seconds:.1f} | {_counts(shifted)} |"
    )


def few_row(dataset: ImageDataset, sizes: list[int]) -> str:
    """Returns the second table's line of one set: in how many subsets mirroring is allowed."""
    images, labels = np.asarray(dataset.train.images), dataset.train.labels
    cells = [f"`{_name(dataset)}`"]
    for size in sizes:
        draws = [np.random.default_rng(s).permutation(len(labels))[:size] for s in range(_DRAWS)]
        found = [keeps_class_when_mirrored(images[rows], labels[rows], 0) for rows in draws]
        on = sum(evidence.allowed for evidence in found)
        cells.append("-" if size > len(labels) else f"{on} / {_DRAWS}")
    return f"| {' | '.join(cells)} |"


def _name(dataset: ImageDataset) -> str:
    return dataset.found.name if dataset.found else dataset.task.dataset


def _counts(evidence: MirrorEvidence) -> str:
    total = evidence.helped + evidence.harmed
    share = f"{evidence.helped / total:.2f}" if total else "-"
    return (
        f"{evidence.helped} / {evidence.harmed} | {share} ({evidence.low:.2f} to "
        f"{evidence.high:.2f})"
    )


def main() -> None:
    """Measures all sets."""
    print(f"Commit {commands.commit()}, {_SEEDS.value} seeds.\n\n{_HEADER}")
    print("|" + "---|" * (_HEADER.count("|") - 1))
    datasets = [load_dataset(name, DataConfig(), _DATA_DIR.value) for name in _SETS.value]
    for dataset in datasets:
        seeds = _SEEDS.value if len(dataset.train) > MOST_IMAGES else 1  # all draw the same
        for seed in range(seeds):
            print(row(dataset, seed), flush=True)
    sizes = [int(size) for size in _FEW.value]
    print(f"\n| set | {' | '.join(f'{size:,} images' for size in sizes)} |")
    print("|---|" + "---|" * len(sizes))
    for dataset in datasets:
        print(few_row(dataset, sizes), flush=True)


if __name__ == "__main__":
    commands.start("symmetry", main)
