"""Histories of convnet as they are collected, and the experiment with the first suggestion."""

import pathlib
import subprocess
import sys
from typing import Any

import pytest

from xfernas_jax.history import read_jsonl

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(module: str, *words: str) -> Any:
    command = [sys.executable, "-m", f"experiments.{module}", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def ask(expression: str) -> str:
    """Evaluates in a process of its own: flags of experiments clash with those of the commands."""
    words = ["-c", f"from experiments import convnet_histories as its; print({expression})"]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return done.stdout.strip()


@pytest.mark.slow
def test_a_set_has_a_study_of_its_own_and_no_more_repeats_than_networks() -> None:
    words = ask("its.collect_words('usps', 'npz:a.npz', 20, 30, 'w')")
    for part in ("--num_architectures=20", "--num_repeated=20", "--study=convnet-usps"):
        assert part in words


@pytest.mark.slow
@pytest.mark.parametrize("module", ["convnet_histories", "first_suggestion"])
@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--sets=mnist,cats"], "there is no set 'cats'"),
        (["--sets=usps", "--images=nowhere"], "nowhere/usps/usps.npz is not there"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: pathlib.Path, module: str, words: list[str], part: str
) -> None:
    where = "workdir" if module == "convnet_histories" else "output"
    done = run(module, *words, f"--{where}={tmp_path / 'out'}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"{module}: ")
    assert part in done.stderr


@pytest.mark.slow
def test_histories_are_collected_and_exported_and_go_on(tmp_path: pathlib.Path) -> None:
    folders = [f"--workdir={tmp_path / 'work'}", f"--histories_dir={tmp_path / 'files'}"]
    for count in (1, 2):
        words = ["--sets=digits", f"--num_architectures={count}", "--num_repeated=1"]
        done = run("convnet_histories", *words, *folders)
        assert done.returncode == 0, done.stderr
    spec, evaluations = read_jsonl(tmp_path / "files" / "convnet-digits.jsonl.gz")
    assert spec.task.facts is not None
    assert spec.task.facts.numbers()[1:3] == pytest.approx((3.32, 3.0), abs=0.01)
    assert [evaluation.key for evaluation in evaluations[:2]] == [evaluations[0].key] * 2
    assert len({evaluation.key for evaluation in evaluations}) == 2


SCRIPT = """
import numpy as np
from experiments.convnet_table import Measured
from experiments.first_suggestion import best_of_random, fixed_default, summarize
from xfernas_jax.space import get_space
space, rng = get_space("convnet"), np.random.default_rng(0)
networks = {space.key(g): g for g in (space.sample(rng) for _ in range(12))}
def measured(values):
    return Measured("a", {k: [v] for k, v in zip(networks, values, strict=True)}, networks)
rising = measured([float(i) for i in range(12)])
other = measured([5.0 + (i == 10) - i / 100 for i in range(12)])
keys = list(networks)
print(keys.index(space.key(fixed_default([rising, other]))))
print(keys.index(space.key(best_of_random(rising, np.random.default_rng(0)))) >= 9)
def row(value):
    return {"valid": value, "test": value / 2, "percent_better": 10.0}
of_target = {"first": [row(0.5), row(0.6)], "fixed": [row(0.4), row(0.5)]}
found = summarize({"x": of_target, "y": {**of_target, "more": [row(0.1)] * 2}})
print(sorted(found), round(found["fixed"]["test"]["first_is_better_by"], 6))
print([round(x, 6) for x in found["fixed"]["valid"]["ci95"]])
"""


@pytest.mark.slow
def test_what_the_first_suggestion_is_compared_with() -> None:
    """In a process of its own: the flags of experiments clash with those of the commands."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.splitlines() == ["10", "True", "['first', 'fixed'] 5.0", "[10.0, 10.0]"]
