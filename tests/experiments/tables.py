"""Small tables for tests."""

import csv
import gzip
import hashlib
import itertools
import json
import pathlib

import numpy as np


def write_topology_table(folder: pathlib.Path) -> None:
    """Writes the table `small`: 243 architectures, three related tasks, split `valid` only."""
    rng = np.random.default_rng(0)
    shared, own = rng.normal(size=(5, 3)), rng.normal(size=(3, 5, 3))
    rows = []
    for ops in itertools.product(range(3), repeat=5):
        scores = [
            float((shared + 0.4 * own[t])[np.arange(5), ops].sum() + 0.1 * rng.normal())
            for t in range(3)
        ]
        rows.append(["".join(map(str, ops)), *(f"{score:.6f}" for score in scores)])
    with gzip.open(folder / "small.csv.gz", "wt", newline="") as file:
        csv.writer(file).writerows([["ops", "a_score", "b_score", "c_score"], *rows])
    entry = {
        "path": "small.csv.gz",
        "rows": len(rows),
        "sha256": hashlib.sha256((folder / "small.csv.gz").read_bytes()).hexdigest(),
        "tasks": [
            {"column": f"{t}_score", "task": t, "split": "valid", "unit": "nats", "maximize": True}
            for t in "abc"
        ],
        "space": {
            "name": "small",
            "tokens": [
                {
                    "column": "ops",
                    "separator": "",
                    "alphabet": ["0", "1", "2"],
                    "min_length": 5,
                    "max_length": 5,
                }
            ],
        },
    }
    (folder / "manifest.json").write_text(json.dumps({"small": entry}))
