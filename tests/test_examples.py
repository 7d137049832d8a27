"""The programs of `examples/`, as a person starts them."""

import csv
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"

pytestmark = pytest.mark.slow


def run(name: str, folder: pathlib.Path, *words: str) -> str:
    """Runs a program in a folder of its own and returns what it printed."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=560,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_photos_of_ones_own(tmp_path: pathlib.Path) -> None:
    run("own_photos.py", tmp_path, "--time_budget=60s")
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 180
    right = [pathlib.Path(row["file"]).parent.name == row["class"] for row in rows]
    assert sum(right) > 160


def test_a_training_loop_of_ones_own(tmp_path: pathlib.Path) -> None:
    out = run("own_training_loop.py", tmp_path)
    *asked, best = out.splitlines()[-5:]
    values = [float(line.split(": ")[1].split(" %")[0]) for line in asked]
    assert float(best.removeprefix("best: ").split(" %")[0]) == max(values)
    assert max(values) > 80.0


def test_an_optuna_study_learns_from_an_earlier_one(tmp_path: pathlib.Path) -> None:
    out = run("optuna_study.py", tmp_path)
    assert "digits 5 to 9 learns from digits 0 to 4" in out
    assert "best of 5: 9" in out


def test_a_space_of_ones_own(tmp_path: pathlib.Path) -> None:
    run("own_space.py", tmp_path)
    genotype = (tmp_path / "runs" / "studies" / "mlp" / "best_genotype.json").read_text()
    assert '"mlp"' in genotype


def test_a_cluster_of_two_nodes(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed (make setup EXTRAS=ray)")
    out = run("cluster.py", tmp_path)
    assert "2 workers" in out
    assert (tmp_path / "runs" / "studies" / "cluster" / "result.json").is_file()


def test_the_page_names_each_program() -> None:
    page = (EXAMPLES / "README.md").read_text()
    for file in EXAMPLES.glob("*.py"):
        assert f"`{file.name}" in page
