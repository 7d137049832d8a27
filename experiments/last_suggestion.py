"""What last trainings of other tasks recommend on a task that is left out.

    python -m experiments.last_suggestion

From the bundled histories of last trainings; nothing is trained. First a table of them. Then each
set in turn is the target, of which only the epochs are known that its networks get, those that were
measured times --times; what the others recommend among its networks has the value that was
measured there. Equal networks and epochs, so this says nothing of what --times=2 would give.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import flags

from experiments import commands
from experiments.shapes import NETWORKS, SPACE
from xfernas_jax.evaluate.auto import MOST_EPOCHS, enough_epochs, missing_epochs
from xfernas_jax.history.sources import bundled_last_trainings, last_trainings
from xfernas_jax.search.recommend import in_order, last_value, universal_log_errors

_TIMES = flags.DEFINE_list("times", ["1", "2", "4"], "Of the epochs that were measured.")
_KNOWN = "vgg_small"
_NAMES = {SPACE.key(genotype): name for name, genotype in NETWORKS.items()}

Rows = Mapping[str, tuple[float, float]]
"""Accuracy and epochs of each network of a set, by key."""


def read() -> tuple[dict[str, Rows], dict[str, tuple[int, int]]]:
    """Returns the rows of each set, and its images: of an epoch and of a value."""
    rows, sizes = {}, {}
    for study in bundled_last_trainings():
        about, facts = last_trainings(study.spec), study.spec.task.facts
        assert about is not None
        assert facts is not None
        name = study.spec.name.removeprefix("convnet-").removesuffix("-last")
        rows[name] = {e.key: (e.value, e.costs["epochs"]) for e in study.load() if e.value}
        sizes[name] = (facts.num_images, about["num_valid"])
    return rows, sizes


def recommended(
    rows: Mapping[str, Rows], sizes: Mapping[str, tuple[int, int]], target: str, times: float
) -> list[str]:
    """Returns the keys of a target's networks, the best by the others first."""
    epochs = {key: min(MOST_EPOCHS, times * each) for key, (_, each) in rows[target].items()}
    tasks = []
    for name, own in rows.items():
        if name != target:
            num_images, num_valid = sizes[name]
            tasks.append(
                {
                    key: last_value(
                        accuracy,
                        num_valid,
                        missing_epochs(epochs[key], sizes[target][0])
                        - missing_epochs(each, num_images),
                    )
                    for key, (accuracy, each) in own.items()
                    if key in epochs
                }
            )
    errors = universal_log_errors(tasks)
    return in_order(errors, epochs, enough_epochs(sizes[target][0]))


def table(rows: Mapping[str, Rows]) -> list[str]:
    """Returns accuracy in % and epochs of each network and set, as lines of Markdown."""
    names = list(rows)
    lines = [f"| network | {' | '.join(f'`{name}`' for name in names)} |"]
    lines.append("|---" * (1 + len(names)) + "|")
    keys = dict.fromkeys(key for own in rows.values() for key in own)
    for key in sorted(keys, key=lambda key: list(NETWORKS).index(_NAMES[key])):
        cells = [_cell(own.get(key)) for own in rows.values()]
        lines.append(f"| {_NAMES[key]} | {' | '.join(cells)} |")
    return lines


def _cell(row: tuple[float, float] | None) -> str:
    return "" if row is None else f"{100 * row[0]:.1f} ({row[1]:.0f})"


def _percent(value: float) -> str:
    return "" if np.isnan(value) else f"{100 * value:.1f}"


def main() -> None:
    """Prints both tables."""
    rows, sizes = read()
    print("\n".join(table(rows)))
    print(f"\n| set | times | recommended | accuracy, % | {_KNOWN} | best measured |")
    print("|---|---|---|---|---|---|")
    for times in map(float, _TIMES.value):
        means = []
        for target, own in rows.items():
            first = recommended(rows, sizes, target, times)[0]
            values: dict[str, Any] = {_NAMES[key]: row[0] for key, row in own.items()}
            shown = (values[_NAMES[first]], values.get(_KNOWN, np.nan), max(values.values()))
            means.append(shown)
            cells = " | ".join(map(_percent, shown))
            print(f"| `{target}` | {times:g} | {_NAMES[first]} | {cells} |")
        cells = " | ".join(map(_percent, np.nanmean(means, axis=0).tolist()))
        print(f"| mean | {times:g} | | {cells} |")


if __name__ == "__main__":
    commands.start("last_suggestion", main)
