"""Makes the histories of last trainings that come with the package.

    python -m experiments.last_histories --images=../shared/images
        --rows=experiments/last_results.jsonl --histories_dir=xfernas_jax/bundled/last  (one line)

It trains nothing: the rows are what `experiments.timed_networks --noshort` measured, a line for
each training. A set with fewer networks than --fewest gets no history.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from experiments import commands
from experiments.image_flags import chosen_sets
from experiments.last_recipe import last_recipe
from experiments.shapes import NETWORKS, SPACE
from xfernas_jax.data.base import ImageDataset
from xfernas_jax.data.facts import task_facts
from xfernas_jax.evaluate.recipes import Recipe
from xfernas_jax.history import Evaluation, Job, Result, StudySpec, write_jsonl

_ROWS = flags.DEFINE_string("rows", "experiments/last_results.jsonl", "The trainings.")
_HISTORIES = flags.DEFINE_string("histories_dir", "runs/last", "Folder of the files.")
_FEWEST = flags.DEFINE_integer("fewest", 5, "Networks of a history.", 2)
_COMMAND = "python -m experiments.last_histories"


def study(
    short: str, dataset: ImageDataset, recipe: Recipe, rows: Sequence[Mapping[str, Any]]
) -> tuple[StudySpec, list[Evaluation]]:
    """Returns the study of a set's trainings; of one network and seed the last row counts.

    Args:
      short: name of the set in those of histories.
      dataset: as it was trained on.
      recipe: of the trainings.
      rows: of this set.
    """
    about = {"num_valid": len(dataset.valid), "seconds": sorted({row["seconds"] for row in rows})}
    task = dataclasses.replace(dataset.task, facts=task_facts(dataset))
    config = {"recipe": recipe.decisive(), "last_trainings": about}
    fingerprint = recipe.fingerprint()
    spec = StudySpec(f"convnet-{short}-last", "collect", task, SPACE.name, fingerprint, config)
    latest = {(SPACE.key(NETWORKS[row["network"]]), row["seed"]): row for row in rows}
    evaluations = []
    for number, ((key, seed), row) in enumerate(latest.items()):
        job = Job(number, NETWORKS[row["network"]], key, seed, "collect")
        costs = (("epochs", float(row["epochs"])),)
        result = Result("complete", row["timed"], costs=costs, seconds=float(row["seconds"]))
        evaluations.append(Evaluation(job, result, fingerprint))
    return spec, evaluations


def main() -> None:
    """Writes a file for each set that has enough rows."""
    file, folder = pathlib.Path(_ROWS.value), pathlib.Path(_HISTORIES.value)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    folder.mkdir(parents=True, exist_ok=True)
    for short, address in chosen_sets().items():
        own = [row for row in rows if row["set"] == short]
        if len({row["network"] for row in own}) < _FEWEST.value:
            print(f"{short}: {len(own)} trainings, too few for a history")
            continue
        dataset, recipe = last_recipe(address, all(row.get("change", True) for row in own))
        spec, evaluations = study(short, dataset, recipe, own)
        made = {"command": _COMMAND, "commits": sorted({row["commit"] for row in own})}
        write_jsonl(folder / f"{spec.name}.jsonl.gz", spec, evaluations, made)
        print(f"{short}: {len(evaluations)} trainings")


if __name__ == "__main__":
    commands.start("last_histories", main)
