"""Manifests and tables of scores: the numbers that are really there, or one line."""

import functools
import gzip
import hashlib
import json
import pathlib
import pickle
from typing import Any

import numpy as np
import pytest
from hostile_guard import Bait, cases, refused, sandbox
from hostile_values import damaged, mutated, to_text
from hypothesis import given
from hypothesis import strategies as st

from xfernas_jax.errors import BenchmarkError
from xfernas_jax.evaluate import tabular
from xfernas_jax.evaluate.tabular import TabularEvaluator, load_table
from xfernas_jax.history.record import Job

TABLE = b"ops,valid,x_seconds\r\na|bb,10,1\r\nbb,30.5,2\r\nbb|a,90,3\r\n"
ENTRY = {
    "path": "t.csv",
    "rows": 3,
    "sha256": hashlib.sha256(TABLE).hexdigest(),
    "tasks": [
        {"column": "valid", "task": "x", "split": "valid", "unit": "percent", "maximize": True}
    ],
    "space": {
        "name": "mine",
        "tokens": [
            {
                "column": "ops",
                "separator": "|",
                "alphabet": ["a", "bb"],
                "min_length": 1,
                "max_length": 2,
            }
        ],
    },
}


def check_read(folder: pathlib.Path) -> None:
    """Reads the table; each of its rows must have a score and its own genotype."""
    was_refused, table = refused(lambda: load_table(folder, "t"))
    if was_refused:
        return
    for task, split in table.columns:
        evaluate = TabularEvaluator(table, task, split).evaluate
        for row in table.space.rows:
            genotype = table.space.decode(row.tolist())
            job = Job(0, genotype, table.space.key(genotype), 0)
            is_refused, scored = refused(functools.partial(evaluate, job))
            if not is_refused:
                assert 0.0 <= scored.result.value <= 1.0
    assert table.space.sample(np.random.default_rng(0))


@cases(200)
@given(mutated({"t": ENTRY}))
def test_a_changed_manifest_is_read_right_or_refused(manifest: Any) -> None:
    with sandbox() as work:
        (work / "data").mkdir()
        (work / "data" / "manifest.json").write_text(to_text(manifest))
        (work / "data" / "t.csv").write_bytes(TABLE)
        (work / "secret.csv").write_bytes(TABLE)
        check_read(work / "data")


@pytest.mark.slow
@cases(80)
@given(damaged(TABLE), st.sampled_from(["t.csv", "t.csv.gz", "t.csv.gz of plain text"]))
def test_a_changed_table_is_read_right_or_refused(data: bytes, form: str) -> None:
    with sandbox() as work:
        path = form.partition(" ")[0]
        content = gzip.compress(data, mtime=0) if form.endswith("gz") else data
        (work / path).write_bytes(content)
        for digest in (hashlib.sha256(content).hexdigest(), ENTRY["sha256"]):
            for rows in (3, 0, len(data.splitlines()) - 1):
                entry = {**ENTRY, "path": path, "sha256": digest, "rows": rows}
                (work / "manifest.json").write_text(json.dumps({"t": entry}))
                check_read(work)


@cases(12)
@given(st.integers(0, 5), st.sampled_from(["manifest.json", "t.csv"]))
def test_pickles_are_never_loaded(protocol: int, name: str) -> None:
    with sandbox() as work:
        data = pickle.dumps(Bait(work / "sprung"), protocol)
        entry = {**ENTRY, "sha256": hashlib.sha256(data).hexdigest()}
        (work / "manifest.json").write_text(json.dumps({"t": entry}))
        (work / name).write_bytes(data)
        assert refused(lambda: load_table(work, "t"))[0]
        assert not (work / "sprung").exists()


def test_a_compressed_table_is_read_within_a_bound(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabular, "_LARGEST_TABLE", 2**20)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TABLE + b"\n" * 2**20))
    digest = hashlib.sha256((tmp_path / "t.csv.gz").read_bytes()).hexdigest()
    entry = {**ENTRY, "path": "t.csv.gz", "sha256": digest}
    (tmp_path / "manifest.json").write_text(json.dumps({"t": entry}))
    with pytest.raises(BenchmarkError, match="more than 1048576 bytes"):
        load_table(tmp_path, "t")
