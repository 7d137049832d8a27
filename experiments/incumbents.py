"""The best architectures so far of searches of a table, and `evaluations.csv` of them."""

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


def best_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the row of the best value after each evaluation; the earlier one at a tie.

    Args:
      values: `[N]` of the evaluations, in order; larger is better.
      rows: `[N]` of the table.
    """
    best = np.maximum.accumulate(values)
    is_new = np.concatenate([[True], values[1:] > best[:-1]])
    return rows[np.maximum.accumulate(np.where(is_new, np.arange(len(rows)), 0))]


def percentiles(values: np.ndarray) -> np.ndarray:
    """Returns the share of strictly better architectures, in percent, for each row `[N]`."""
    order = np.sort(values)
    return 100.0 * (len(values) - np.searchsorted(order, values, side="right")) / len(values)
