"""The table of asked and taken times, and what a failed search says."""

import json
import pathlib
import subprocess
import sys
from unittest import mock

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import time_budgets
from xfernas_jax.errors import UserError


def run(results: pathlib.Path) -> None:
    words = ["x", "--budgets=10s,20s", f"--timings_dir={results}"]
    with flagsaver.flagsaver(), mock.patch.object(sys, "argv", words):
        flags.FLAGS(words)
        time_budgets.main()


def test_what_is_finished_is_read_and_the_late_one_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = []

    def search(dataset: str, budget: str, folder: pathlib.Path) -> dict:
        asked.append(budget)
        seconds = float(budget[:-1])
        late = 1.2 if budget == "20s" else 1.05
        counts = {"num_evaluations": 3, "num_full": 1, "test": 0.5}
        return {"budget": budget, "asked": seconds, "whole": late * seconds, "trained": 9, **counts}

    monkeypatch.setattr(time_budgets, "run_search", search)
    run(tmp_path)
    assert asked == ["10s", "20s"]
    out = capsys.readouterr().out
    assert "| 20s | 24 s | 9 s | 1.20 | 3, 1 | 50.00 % |" in out
    assert "more than 10%: 20s" in out
    run(tmp_path)
    assert asked == ["10s", "20s"]
    assert json.loads((tmp_path / "10s.json").read_text())["whole"] == 10.5


def test_a_failed_search_says_its_last_line(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.CompletedProcess([], 2, "", "first\nrun.py: too short\n")
    monkeypatch.setattr(time_budgets.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(UserError, match=r"--time_budget=10s: run\.py: too short"):
        time_budgets.run_search("digits", "10s", tmp_path / "work")
