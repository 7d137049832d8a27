"""Collects the histories of space convnet that come with the package.

    python -m experiments.convnet_histories --images=../shared/images --workdir=runs/convnet
        --histories_dir=xfernas_jax/bundled  (one line)

Each set gets the published networks and then random ones, drawn by one seed, as far as they keep
the limit on FLOPs; trained by the recipe that --recipe=auto searches with, and the first
--num_repeated of them twice. A collection that was stopped goes on. For two processes give each a
--workdir and --sets of its own.
"""

import pathlib
import subprocess
import sys
from collections.abc import Sequence

from absl import flags

from experiments import commands
from experiments.image_flags import chosen_sets

_WORKDIR = flags.DEFINE_string("workdir", "runs/convnet", "Folder of the record.")
_ARCHITECTURES = flags.DEFINE_integer("num_architectures", 150, "Of each set.", 1)
_REPEATED = flags.DEFINE_integer("num_repeated", 30, "Of them, trained twice.", 0)
_HISTORIES = flags.DEFINE_string("histories_dir", "runs/convnet/histories", "Folder of the files.")

MAX_FLOPS = 6e6
"""Of a network for one image at the search's size, so that trainings are short on a CPU."""


def collect_words(name: str, dataset: str, count: int, repeated: int, workdir: str) -> list[str]:
    """Returns the words of a collection's command after `run.py`."""
    return [
        "collect",
        f"--dataset={dataset}",
        "--space=convnet",
        f"--max_flops={MAX_FLOPS:.0f}",
        f"--num_architectures={count}",
        f"--num_repeated={min(repeated, count)}",
        f"--workdir={workdir}",
        f"--study=convnet-{name}",
    ]


def _run(words: Sequence[str]) -> None:
    """Runs a command of ours; ends with it where it fails, since it has said why."""
    if subprocess.run([sys.executable, "run.py", *words], check=False).returncode:
        sys.exit(2)


def main() -> None:
    """Collects what is missing, and exports every set."""
    datasets, workdir = chosen_sets(), _WORKDIR.value
    for name, dataset in datasets.items():
        _run(collect_words(name, dataset, _ARCHITECTURES.value, _REPEATED.value, workdir))
    folder = pathlib.Path(_HISTORIES.value)
    folder.mkdir(parents=True, exist_ok=True)
    for name in datasets:
        file = folder / f"convnet-{name}.jsonl.gz"
        study = f"--study=convnet-{name}"
        _run(["history", "export", f"--workdir={workdir}", study, f"--file={file}"])


if __name__ == "__main__":
    commands.start("convnet_histories", main)
