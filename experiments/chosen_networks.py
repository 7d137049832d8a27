"""Which network a search would train to the end, and what that is worth: known noise, or none.

    python -m experiments.chosen_networks --images=../shared/images --output=runs/chosen_networks

Works on measured trainings (`experiments/timed_results.jsonl`, by `experiments.timed_networks`) and
trains nothing. Each set in turn is the target, the bundled histories of the others are sources.
Again and again `vgg_small`, `resnet8` and 1, 2 or 4 more networks, drawn at random, have their
short trainings; each rule takes one of them, and its worth is the last training's validation
accuracy:

  vgg_small      always that one
  best           of the last trainings: what there is to win
  short          the best short training, with the outlook of `auto.promised`
  posterior      the best posterior mean, as before values had a known noise
  noise          the same with the noise of a share of so many validation images
  sure           the same, but `vgg_small` or `resnet8` stays where another is not surely better

The last value and the short one are of the same validation images, so all rules look a little
better than they are. `table.md` has the means.
"""

import dataclasses
import json
import pathlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from experiments import commands
from experiments.image_flags import chosen_sets
from experiments.shapes import NETWORKS
from xfernas_jax.data.base import DataConfig
from xfernas_jax.data.facts import task_facts
from xfernas_jax.data.registry import load_dataset
from xfernas_jax.evaluate import auto
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import Evaluation, Job, Result, Task
from xfernas_jax.history.sources import bundled_histories, select_sources
from xfernas_jax.nn.costs import NetworkCosts
from xfernas_jax.nn.network import NetworkConfig
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.phases.confirm import choose_finalists
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.seen import Outlook, Seen
from xfernas_jax.search.sources import task_histories
from xfernas_jax.space.base import Genotype
from xfernas_jax.space.convnet import ConvNetSpace

_TRAININGS = flags.DEFINE_string(
    "trainings", "experiments/timed_results.jsonl", "What `timed_networks` measured."
)
_DRAWS = flags.DEFINE_integer("draws", 60, "Sets of compared networks for each target.", 1)
_OUTPUT = flags.DEFINE_string("output", "runs/chosen_networks", "Folder of the table.")

_IMAGES = 5_000
_SPACE, _ALWAYS, _MORE = ConvNetSpace(), ("vgg_small", "resnet8"), (1, 2, 4)
RULES = ("vgg_small", "best", "short", "posterior", "noise", "sure")


def read(file: pathlib.Path) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Returns trainings of seed 0 by set and network."""
    found: dict[str, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for line in file.read_text().splitlines():
        row = json.loads(line)
        if row["seed"] == 0 and row["network"] in NETWORKS:
            found[row["set"]][row["network"]] = row
    return found


def outlook_of(measured: Mapping[str, Mapping[str, Any]], costs: NetworkCosts) -> Outlook:
    """Returns what short values promise; of other networks by the room that `vgg_small` tells."""
    epochs = {_SPACE.key(NETWORKS[name]): row["epochs"] for name, row in measured.items()}
    base = NETWORKS["vgg_small"]
    room = measured["vgg_small"]["epochs"] * auto.work(costs.at_least(base))

    num_images = _IMAGES  # where fewer epochs count most; no set here has many more

    def promises(genotype: Genotype, value: float, metric: Metric) -> float:
        key = _SPACE.key(genotype)
        own = epochs[key] if key in epochs else room / auto.work(costs.at_least(genotype))
        return auto.promised(value, metric, own, num_images)

    return promises


def compared(
    task: Task, num_valid: int, measured: Mapping[str, Mapping[str, Any]], draws: int, cache: str
) -> dict[str, list[float]]:
    """Returns by rule the last values of what it takes, one for each draw."""
    assert task.num_classes is not None
    shape = (32, 32, 3)  # the ratio of two networks' work hardly depends on it
    costs = NetworkCosts(_SPACE, NetworkConfig(), task.num_classes, shape, ("flops", "activations"))
    outlook = outlook_of(measured, costs)
    sources = select_sources(bundled_histories(), _SPACE, task, "all")
    optimizer = make_optimizer(
        "xfer_nao",
        _SPACE,
        task_histories(_SPACE, sources, (), outlook),
        SearchConfig(predictor=PredictorConfig(cache_dir=cache), task_numbers=task.numbers),
    )
    known = [_SPACE.key(NETWORKS[name]) for name in _ALWAYS]
    rng, others = np.random.default_rng(0), [name for name in measured if name not in _ALWAYS]
    found: dict[str, list[float]] = {rule: [] for rule in RULES}
    for draw in range(draws):
        count = min(_MORE[draw % len(_MORE)], len(others))
        names = [*_ALWAYS, *rng.choice(others, count, replace=False).tolist()]
        shown = tuple(_evaluation(i, name, measured[name]) for i, name in enumerate(names))
        seen = Seen(_SPACE, Goal(), shown, outlook=outlook)
        noisy = dataclasses.replace(seen, num_images=num_valid)
        last = [measured[name]["timed"] for name in names]
        taken = {
            "vgg_small": 0,
            "best": int(np.argmax(last)),
            "short": int(np.argmax([seen.gain(e) for e in shown])),
            "posterior": choose_finalists(optimizer, seen, 1)[0].number,
            "noise": choose_finalists(optimizer, noisy, 1)[0].number,
            "sure": choose_finalists(optimizer, noisy, 1, known)[0].number,
        }
        for rule, place in taken.items():
            found[rule].append(100.0 * last[place])
    return found


def _evaluation(number: int, name: str, row: Mapping[str, Any]) -> Evaluation:
    genotype = NETWORKS[name]
    job = Job(number, genotype, _SPACE.key(genotype), seed=0)
    return Evaluation(job, Result(status="complete", value=float(row["short"])), "short")


def table(found: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """Returns the means by rule and set as lines of Markdown."""
    sets = list(found)
    rows = ["| rule | " + " | ".join(f"`{name}`" for name in sets) + " | mean |"]
    rows.append("|---" * (len(sets) + 2) + "|")
    for rule in RULES:
        means = [float(np.mean(found[name][rule])) for name in sets]
        cells = " | ".join(f"{mean:.1f}" for mean in means)
        rows.append(f"| {rule} | {cells} | {np.mean(means):.2f} |")
    return rows


def main() -> None:
    """Compares the rules and writes the table."""
    output, measured = pathlib.Path(_OUTPUT.value), read(pathlib.Path(_TRAININGS.value))
    found = {}
    for short, address in chosen_sets().items():
        if "vgg_small" not in measured[short] or "resnet8" not in measured[short]:
            continue
        dataset = load_dataset(address, DataConfig(image_size=auto.GAUGE_SIDE))
        task = dataclasses.replace(dataset.task, facts=task_facts(dataset))
        arguments = (measured[short], _DRAWS.value, str(output / "predictor_cache"))
        found[short] = compared(task, len(dataset.valid), *arguments)
    lines = table(found)
    output.mkdir(parents=True, exist_ok=True)
    (output / "table.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    commands.start("chosen_networks", main)
