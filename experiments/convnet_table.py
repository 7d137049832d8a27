"""Histories of space convnet as a table of architectures and tasks, and what can be read off it.

    python -m experiments.convnet_table --table_dir=runs/convnet_table [--histories=FILE,FILE]
    python -m experiments.tabular_search --benchmark_dir=runs/convnet_table --table=convnet
        --optimizers=random,nao,xfer_nao --source_evaluations=60 --budget=30 --seeds=10
        --output=runs/convnet_search  (one line)

Rows are the architectures that all histories hold, values the means of an architecture's
trainings. Writes `manifest.json` and `convnet.csv`, which `tabular_search` reads, and `facts.json`
with, for each task: the spread of the values over their noise, the rank correlation with each
other task, and the share of better architectures for each published network and for what the
other tasks recommend: the best mean rank over them. By default the histories are those that come
with the package.
"""

import dataclasses
import hashlib
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags
from scipy import stats

from experiments import commands, statistics
from xfernas_jax.errors import FlagError
from xfernas_jax.files import write_atomically
from xfernas_jax.history.record import Evaluation
from xfernas_jax.history.sources import RecordedStudy, bundled_histories, recorded_file
from xfernas_jax.space.convnet import ConvNetSpace
from xfernas_jax.space.published import PUBLISHED

_RESULTS = flags.DEFINE_string("table_dir", "runs/convnet_table", "Folder that is written.")
_FILES = flags.DEFINE_list("histories", [], "History files; by default those of the package.")

_SPACE = ConvNetSpace()


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one task's histories say.

    Attributes:
      task: name of its data set, without a digest.
      values: of each architecture's complete trainings, by key.
      genotypes: by key.
    """

    task: str
    values: Mapping[str, list[float]]
    genotypes: Mapping[str, Any]


def histories() -> list[RecordedStudy]:
    """Returns the studies of --histories, or those of the package in space convnet."""
    studies = [recorded_file(file) for file in _FILES.value] or bundled_histories()
    return [study for study in studies if study.spec.space == _SPACE.name]


def measured_tasks(studies: Sequence[RecordedStudy]) -> list[Measured]:
    """Joins the studies of each data set; those of another space are left out."""
    found: dict[str, list[Evaluation]] = {}
    recipes: dict[str, set[str]] = {}
    for study in studies:
        if study.spec.space == _SPACE.name:
            name = study.spec.task.dataset.partition("-")[0]
            found.setdefault(name, []).extend(e for e in study.load() if e.value is not None)
            recipes.setdefault(name, set()).add(study.spec.recipe)
    mixed = [name for name, its in recipes.items() if len(its) > 1]
    if mixed:
        raise FlagError(f"--histories: {mixed[0]} has several recipes, whose values do not mix.")
    tasks = []
    for name in sorted(found):
        values: dict[str, list[float]] = {}
        for evaluation in found[name]:
            assert evaluation.value is not None
            values.setdefault(evaluation.key, []).append(evaluation.value)
        tasks.append(Measured(name, values, {e.key: e.genotype for e in found[name]}))
    return tasks


def common_keys(tasks: Sequence[Measured]) -> list[str]:
    """Returns the architectures that all tasks hold, in the first one's order."""
    return [key for key in tasks[0].values if all(key in task.values for task in tasks)]


def matrix(tasks: Sequence[Measured], keys: Sequence[str]) -> np.ndarray:
    """Returns `[tasks, architectures]` mean values."""
    return np.array([[np.mean(task.values[key]) for key in keys] for task in tasks])


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Returns Spearman's correlation; equals share their mean rank."""
    return float(np.corrcoef(stats.rankdata(first), stats.rankdata(second))[0, 1])


def share_better(values: np.ndarray, row: int) -> float:
    """Returns the share of architectures better than one, in percent; of its equals, half."""
    better, equal = (values > values[row]).sum(), (values == values[row]).sum() - 1
    return float(100.0 * (better + 0.5 * equal) / (len(values) - 1))


def facts(tasks: Sequence[Measured], keys: Sequence[str]) -> dict[str, Any]:
    """Returns the content of `facts.json`."""
    values = matrix(tasks, keys)
    ranks = values.argsort(1).argsort(1)
    known = {
        name: _SPACE.key(its) for name, (space, its) in PUBLISHED.items() if space == "convnet"
    }
    rows = {}
    for i, task in enumerate(tasks):
        repeated = [its for its in task.values.values() if len(its) > 1]
        noise = statistics.pooled_deviation(repeated) if repeated else None
        others = np.delete(ranks, i, axis=0).mean(0)
        rows[task.task] = {
            "architectures": len(task.values),
            "repeated": len(repeated),
            "spread": float(values[i].std(ddof=1)),
            "noise": noise,
            "best": float(values[i].max()),
            "median": float(np.median(values[i])),
            "rank_correlation": {
                other.task: rank_correlation(values[i], values[j])
                for j, other in enumerate(tasks)
                if j != i
            },
            "percent_better_than_what_others_recommend": share_better(
                values[i], int(others.argmax())
            ),
            "percent_better_than": {
                name: share_better(values[i], keys.index(key))
                for name, key in known.items()
                if key in keys
            },
        }
    return {"common_architectures": len(keys), "tasks": rows}


def write_table(folder: pathlib.Path, tasks: Sequence[Measured], keys: Sequence[str]) -> None:
    """Writes the CSV and its manifest."""
    columns = [f"{i}_{text.partition('=')[0]}" for i, text in enumerate(_words(tasks[0], keys[0]))]
    header = [*columns, *(task.task for task in tasks)]
    values = matrix(tasks, keys)
    lines = [
        [
            *(text.partition("=")[2] for text in _words(tasks[0], key)),
            *map(repr, map(float, column)),
        ]
        for key, column in zip(keys, values.T, strict=True)
    ]
    text = "\n".join(",".join(line) for line in [header, *lines]) + "\n"
    write_atomically(folder / "convnet.csv", text.encode())
    alphabets = [
        [_SPACE.vocabulary[token].partition("=")[2] for token in choice]
        for choice in _SPACE.choices
    ]
    entry = {
        "path": "convnet.csv",
        "rows": len(keys),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        "tasks": [
            {
                "column": t.task,
                "task": t.task,
                "split": "valid",
                "unit": "fraction",
                "maximize": True,
            }
            for t in tasks
        ],
        "space": {
            "name": "convnet_table",
            "tokens": [
                {
                    "column": column,
                    "separator": "|",
                    "alphabet": alphabet,
                    "min_length": 1,
                    "max_length": 1,
                }
                for column, alphabet in zip(columns, alphabets, strict=True)
            ],
        },
    }
    commands.write_json(folder / "manifest.json", {"convnet": entry})


def _words(task: Measured, key: str) -> list[str]:
    """Returns the symbol at each position, such as "width=16"."""
    genotype = _SPACE.canonical(task.genotypes[key])
    return [_SPACE.vocabulary[token] for token in _SPACE.encode(genotype)]


def main() -> None:
    """Writes the table and prints its facts."""
    tasks = measured_tasks(histories())
    if len(tasks) < 2:
        raise FlagError("--histories: a table needs histories of two tasks in space convnet.")
    keys, folder = common_keys(tasks), pathlib.Path(_RESULTS.value)
    if len(keys) < 2:
        raise FlagError("--histories: the tasks have no two architectures in common.")
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder, tasks, keys)
    found = facts(tasks, keys)
    commands.write_json(folder / "facts.json", found)
    print(f"{len(keys)} architectures in common")
    for name, row in found["tasks"].items():
        noise = "" if row["noise"] is None else f"  noise {row['noise']:.4f}"
        mean = np.mean(list(row["rank_correlation"].values()))
        others = row["percent_better_than_what_others_recommend"]
        known = ", ".join(f"{n} {p:.0f}" for n, p in row["percent_better_than"].items())
        print(
            f"{name:>16}  median {row['median']:.3f}  best {row['best']:.3f}  "
            f"spread {row['spread']:.4f}{noise}  mean rank correlation {mean:.2f}  "
            f"better in percent: what others recommend {others:.0f}; {known}"
        )
    pairs = itertools.combinations(tasks, 2)
    for a, b in pairs:
        print(f"  {a.task} - {b.task}: {found['tasks'][a.task]['rank_correlation'][b.task]:.2f}")


if __name__ == "__main__":
    commands.start("convnet_table", main)
