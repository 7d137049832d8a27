"""Reads `evaluations.csv` of `tabular_search`."""

import csv
import pathlib

import numpy as np


def percentile_matrix(
    file: pathlib.Path, optimizer: str, num_seeds: int | None = None
) -> np.ndarray:
    """Returns the incumbents' percentiles `[targets, seeds, evaluations]` of one optimizer.

    Targets and seeds are sorted; the shortest search decides the length. With
    `num_seeds`, later seeds are left out.
    """
    runs: dict[tuple[str, int], list[float]] = {}
    with file.open(newline="") as stream:
        for row in csv.DictReader(stream):
            if row["optimizer"] == optimizer:
                key = (row["target"], int(row["seed"]))
                runs.setdefault(key, []).append(float(row["incumbent_percentile"]))
    targets = sorted({target for target, _ in runs})
    seeds = sorted({seed for _, seed in runs} if num_seeds is None else range(num_seeds))
    length = min((len(values) for values in runs.values()), default=0)
    return np.array([[runs[t, s][:length] for s in seeds] for t in targets])
