"""What transfer is worth before any evaluation of the target, in space convnet; trains for it.

    python -m experiments.first_suggestion --images=../shared/images --output=runs/first_suggestion

Each set in turn is the target, and the histories of all others are the sources. Compared are, by
fresh trainings of the recipe that --recipe=auto searches with:

  first    what `xfer_nao` suggests before anything of the target is known but its facts, one
           suggestion a seed, within the limit of operations that the histories have;
  random   the best of 10 random architectures by their validation values in the target's own
           history, which cost 10 evaluations; other 10 for each seed;
  fixed    the best fixed default: the architecture of the best mean rank over the sources;
  and the known networks within the limit.

Each training is kept in `trainings/`, so it goes on where it was stopped, and processes may share
the work by --sets of their own. `summary.json` has means over the targets with bootstrap intervals
over (target, seed), on validation and test images, and the share of the target's own history that
is better than the first suggestion. Test values are read here alone and choose nothing.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments import commands, statistics
from experiments.convnet_histories import MAX_FLOPS
from experiments.convnet_table import Measured, histories, measured_tasks
from experiments.image_flags import chosen_sets
from xfernas_jax.data.base import DataConfig
from xfernas_jax.data.facts import task_facts
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.data.symmetry import keeps_class_when_mirrored
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate import auto
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.history import Job
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.sources import RecordedStudy, select_sources
from xfernas_jax.nn.costs import NetworkCosts
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.base import suggest
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.seen import Seen
from xfernas_jax.search.sources import task_histories
from xfernas_jax.space.base import Genotype
from xfernas_jax.space.convnet import ConvNetSpace
from xfernas_jax.space.published import PUBLISHED

_SEEDS = flags.DEFINE_integer("seeds", 3, "Suggestions and trainings of each kind.", 1)
_OPTIMIZER = flags.DEFINE_string("optimizer", "xfer_nao", "What suggests.")
_OUTPUT = flags.DEFINE_string("output", "runs/first_suggestion", "Folder of the results.")

_NUM_RANDOM = 10
_FIRST_SEED = 1_000  # of the trainings: not one of those in the histories
_SPACE, _COSTS = ConvNetSpace(), ("flops",)
_KNOWN = {name: its for name, (space, its) in PUBLISHED.items() if space == _SPACE.name}
_Rows = dict[str, list[dict[str, Any]]]  # by kind: what was trained, a seed each


@dataclasses.dataclass(frozen=True)
class Target:
    """A set that is a target.

    Attributes:
      name: of the set.
      evaluator: trains on it.
      known_costs: operations of an architecture, before any training.
      study: its own history.
      others: the histories of the other sets.
    """

    name: str
    evaluator: TrainedEvaluator
    known_costs: NetworkCosts
    study: RecordedStudy
    others: Sequence[RecordedStudy]


def read_target(name: str, dataset: str, studies: Sequence[RecordedStudy]) -> Target:
    """Loads a set and finds its history; `FlagError` where that is of another recipe, or none."""
    whole = load_dataset(dataset, DataConfig(image_size=auto.LARGEST_SIDE))
    mirror = keeps_class_when_mirrored(whole.train.images, whole.train.labels, 0).allowed
    recipe = auto.search_recipe(whole, mirror)
    data = load_dataset(dataset, recipe.data)
    task = dataclasses.replace(data.task, facts=task_facts(data))
    own = [study for study in studies if study.spec.task == task]
    if not own or own[0].spec.recipe != recipe.fingerprint():
        raise FlagError(f"{name}: there is no history of this set under the recipe of today.")
    evaluator = TrainedEvaluator(_SPACE, dataclasses.replace(data, task=task), recipe)
    assert task.num_classes is not None
    costs = NetworkCosts(_SPACE, recipe.network, task.num_classes, data.input_shape, _COSTS)
    others = [study for study in studies if study is not own[0]]
    return Target(name, evaluator, costs, own[0], others)


def first_suggestion(target: Target, seed: int, cache_dir: str) -> Genotype:
    """Returns what the optimizer suggests before any evaluation of the target."""
    task = target.evaluator.task
    histories_of = task_histories(
        _SPACE, select_sources(target.others, _SPACE, task, "all"), _COSTS
    )
    config = SearchConfig(predictor=PredictorConfig(cache_dir=cache_dir), task_numbers=task.numbers)
    optimizer = make_optimizer(_OPTIMIZER.value, _SPACE, histories_of, config)
    seen = Seen(_SPACE, Goal((("flops", MAX_FLOPS),)), known_costs=target.known_costs)
    return suggest(optimizer, seen, seed, 0, 1)[0].genotype


def fixed_default(measured: Sequence[Measured]) -> Genotype:
    """Returns the architecture of the best mean rank over tasks, among those that all hold."""
    keys = [key for key in measured[0].values if all(key in task.values for task in measured)]
    values = np.array([[np.mean(task.values[key]) for key in keys] for task in measured])
    best = keys[int(values.argsort(1).argsort(1).mean(0).argmax())]
    return measured[0].genotypes[best]


def best_of_random(own: Measured, rng: np.random.Generator) -> Genotype:
    """Returns the best of 10 random architectures by what one training said."""
    known = {_SPACE.key(genotype) for genotype in _KNOWN.values()}
    keys = [key for key in own.values if key not in known]
    if not keys:
        raise FlagError(f"--histories: {own.task} has no random architecture.")
    drawn = rng.choice(len(keys), min(_NUM_RANDOM, len(keys)), replace=False)
    return own.genotypes[max((keys[i] for i in drawn), key=lambda key: own.values[key][0])]


def chosen_of(target: Target, seeds: int, cache_dir: str) -> dict[str, list[Genotype]]:
    """Returns the architectures of each kind, one for each seed."""
    within = {n: g for n, g in _KNOWN.items() if target.known_costs(g)["flops"] <= MAX_FLOPS}
    own, others = measured_tasks([target.study])[0], measured_tasks(target.others)
    rng = np.random.default_rng([0, len(target.name), *target.name.encode()])
    return {
        "first": [first_suggestion(target, seed, cache_dir) for seed in range(seeds)],
        "random": [best_of_random(own, rng) for _ in range(seeds)],
        "fixed": [fixed_default(others)] * seeds,
        **{name: [genotype] * seeds for name, genotype in within.items()},
    }


def train(target: Target, genotype: Genotype, seed: int) -> dict[str, Any]:
    """Trains once; returns validation and test values."""
    job = Job(0, genotype, _SPACE.key(genotype), _FIRST_SEED + seed)
    scored = target.evaluator.evaluate(job)
    test = None
    if scored.variables is not None:
        test = target.evaluator.test(genotype, scored.variables)
    own = measured_tasks([target.study])[0].values.values()
    means, value = np.array([np.mean(values) for values in own]), scored.result.value or 0.0
    return {
        "valid": value,
        "test": test or 0.0,
        "params": dict(scored.result.costs)["params"],
        "percent_better": float(100.0 * (means > value).mean()),
        "is": _SPACE.describe(genotype),
    }


def rows_of(target: Target, seeds: int, output: pathlib.Path) -> _Rows:
    """Returns what each kind gave on a target; trains what is missing."""
    found: _Rows = {}
    for kind, genotypes in chosen_of(target, seeds, str(output / "fits")).items():
        found[kind] = []
        for seed, genotype in enumerate(genotypes):
            file = output / "trainings" / f"{target.name}-{_SPACE.key(genotype)}-{seed}.json"
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                commands.write_json(file, train(target, genotype, seed))
            found[kind].append(json.loads(file.read_text()))
        shown = "  ".join(f"{row['valid']:.3f}/{row['test']:.3f}" for row in found[kind])
        words = found[kind][0]["is"]
        print(f"{target.name:>10} {kind:>15}  valid/test {shown}  {words}", flush=True)
    return found


def summarize(rows: Mapping[str, _Rows]) -> dict[str, Any]:
    """Returns means and what the first suggestion is better by, in percent.

    Args:
      rows: by target; kinds that not all targets have are left out.
    """
    targets = list(rows)
    kinds = [kind for kind in rows[targets[0]] if all(kind in rows[t] for t in targets)]
    found: dict[str, Any] = {kind: {} for kind in kinds}
    for part in ("valid", "test"):
        values = {
            kind: np.array([[100.0 * row[part] for row in rows[t][kind]] for t in targets])
            for kind in kinds
        }
        for kind, matrix in values.items():
            gain = values["first"] - matrix
            found[kind][part] = {
                "mean": float(matrix.mean()),
                "of_targets": dict(zip(targets, matrix.mean(1).tolist(), strict=True)),
                "first_is_better_by": float(gain.mean()),
                "ci95": statistics.interval(gain),
            }
    for kind in kinds:
        better = {t: float(np.mean([r["percent_better"] for r in rows[t][kind]])) for t in targets}
        found[kind]["percent_better_in_history"] = better
    return found


def main() -> None:
    """Trains what is missing and writes the summary."""
    datasets, seeds, output = chosen_sets(), _SEEDS.value, pathlib.Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    cache = str((output / "compile_cache").absolute())
    jax.config.update("jax_compilation_cache_dir", cache)
    studies = histories()
    rows = {
        name: rows_of(read_target(name, dataset, studies), seeds, output)
        for name, dataset in datasets.items()
    }
    summary = summarize(rows)
    commands.write_json(
        output / "summary.json", {"commit": commands.commit(), "seeds": seeds, "kinds": summary}
    )
    for kind, row in summary.items():
        shown = "  ".join(
            f"{part} {row[part]['mean']:.2f} (first is better by "
            f"{row[part]['first_is_better_by']:.2f}, 95 % {row[part]['ci95'][0]:.2f} to "
            f"{row[part]['ci95'][1]:.2f})"
            for part in ("valid", "test")
        )
        print(f"{kind:>15}  {shown}")


if __name__ == "__main__":
    commands.start("first_suggestion", main)
