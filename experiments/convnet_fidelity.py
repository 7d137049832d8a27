"""Whether short trainings rank networks as full ones do, in space convnet.

    python -m experiments.convnet_fidelity --images=../shared/images --sets=flowers,digits
        --num_architectures=20 --output=runs/convnet_fidelity  (one line)

Takes the first architectures of a set's history, which were trained by the recipe that
--recipe=auto searches with, and trains each once by the recipe of what is handed over (all images,
80 epochs), at the size of images that the set has, 32 pixels at most. Writes the values of each
training to `trainings/`, from which it goes on, and `summary.json`: the rank correlation, with its
bootstrap interval over architectures, and what the best of the short trainings is worth in full.
"""

import json
import pathlib
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import commands
from experiments.convnet_table import histories, measured_tasks, rank_correlation
from experiments.image_flags import chosen_sets
from xfernas_jax.data.base import DataConfig
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.symmetry import keeps_class_when_mirrored
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.history import Job
from xfernas_jax.space.convnet import ConvNetSpace

_ARCHITECTURES = flags.DEFINE_integer("num_architectures", 20, "Of each set.", 3)
_OUTPUT = flags.DEFINE_string("output", "runs/convnet_fidelity", "Folder of the results.")

_SEED = 1_000  # of the trainings: not one of those in the histories
_SPACE = ConvNetSpace()


def full_values(name: str, dataset: str, output: pathlib.Path) -> dict[str, Any]:
    """Returns short and full values of a set's architectures; trains what is missing."""
    whole = load_dataset(dataset, DataConfig(image_size=auto.LARGEST_SIDE))
    mirror = keeps_class_when_mirrored(whole.train.images, whole.train.labels, 0).allowed
    own = [study for study in histories() if study.spec.task == whole.task]
    if not own:
        raise FlagError(f"{name}: there is no history of this set.")
    side = min(auto.GAUGE_SIDE, auto.longest_side(whole))
    recipe = auto.final_recipe(whole, mirror, side)
    evaluator = TrainedEvaluator(_SPACE, load_dataset(dataset, recipe.data), recipe)
    (measured,) = measured_tasks(own)
    keys = list(measured.values)[: _ARCHITECTURES.value]
    full = []
    for key in keys:
        file = output / "trainings" / f"{name}-{key}.json"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            job = Job(0, measured.genotypes[key], key, _SEED)
            commands.write_json(file, evaluator.evaluate(job).result.value or 0.0)
        full.append(json.loads(file.read_text()))
        short = measured.values[key][0]
        words = _SPACE.describe(measured.genotypes[key])
        print(f"{name:>10}  short {short:.3f}  full {full[-1]:.3f}  {words}", flush=True)
    return {"short": [measured.values[key][0] for key in keys], "full": full}


def compare(short: np.ndarray, full: np.ndarray) -> dict[str, Any]:
    """Returns how the values of `[N]` architectures agree."""
    rng, count = np.random.default_rng(0), len(short)
    draws = [rng.integers(count, size=count) for _ in range(2_000)]
    with np.errstate(invalid="ignore"):  # a draw of equal values has no correlation
        correlations = [rank_correlation(short[d], full[d]) for d in draws]
    low, high = np.nanquantile(correlations, [0.025, 0.975])
    return {
        "architectures": count,
        "rank_correlation": rank_correlation(short, full),
        "ci95": [float(low), float(high)],
        "full_value_of_the_best_short": float(full[int(short.argmax())]),
        "best_full": float(full.max()),
        "median_full": float(np.median(full)),
    }


def main() -> None:
    """Trains what is missing and writes the summary."""
    datasets, output = chosen_sets(), pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    cache = str((output / "compile_cache").absolute())
    jax.config.update("jax_compilation_cache_dir", cache)
    summary: dict[str, Any] = {"commit": commands.commit(), "sets": {}}
    for name, dataset in datasets.items():
        values = full_values(name, dataset, output)
        found = compare(np.array(values["short"]), np.array(values["full"]))
        summary["sets"][name] = found
        print(
            f"{name}: rank correlation {found['rank_correlation']:.2f} (95 % "
            f"{found['ci95'][0]:.2f} to {found['ci95'][1]:.2f}); full value of the best short "
            f"one {found['full_value_of_the_best_short']:.3f}, best {found['best_full']:.3f}, "
            f"median {found['median_full']:.3f}"
        )
    commands.write_json(output / "summary.json", summary)


if __name__ == "__main__":
    commands.start("convnet_fidelity", main)
