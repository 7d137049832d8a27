"""How right the mean of several networks' logits is."""

import itertools
from collections.abc import Mapping, Sequence

import jax
import numpy as np

Found = Mapping[int, Sequence[np.ndarray]]
"""Logits `[N, K]` of the validation images, for each number of epochs those of its seeds."""


def accuracies(found: Found, labels: np.ndarray) -> dict[tuple[int, int], float]:
    """Returns the mean accuracy by (members, epochs of each), over all choices of members."""
    means = {}
    for epochs, members in found.items():
        log_shares = [np.asarray(jax.nn.log_softmax(logits)) for logits in members]
        for count in range(1, len(members) + 1):
            right = [
                np.mean(np.sum(chosen, axis=0).argmax(axis=-1) == labels)
                for chosen in itertools.combinations(log_shares, count)
            ]
            means[count, epochs] = float(np.mean(right))
    return means


def table(of_sets: Mapping[str, Mapping[tuple[int, int], float]]) -> list[str]:
    """Returns the accuracies in % as lines of Markdown, by epochs in all."""
    kinds = sorted({kind for means in of_sets.values() for kind in means}, key=_in_all)
    rows = [
        "| epochs in all | members x epochs | "
        + " | ".join(f"`{s}`" for s in of_sets)
        + " | mean |",
        "|---" * (3 + len(of_sets)) + "|",
    ]
    for count, epochs in kinds:
        values = [100 * means[count, epochs] for means in of_sets.values()]
        cells = [f"{value:.2f}" for value in (*values, np.mean(values))]
        rows.append(f"| {count * epochs} | {count} x {epochs} | " + " | ".join(cells) + " |")
    return rows


def _in_all(kind: tuple[int, int]) -> tuple[int, int]:
    return kind[0] * kind[1], kind[0]
