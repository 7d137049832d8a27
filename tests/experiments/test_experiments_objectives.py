import csv
import gzip
import hashlib
import json
import pathlib
import subprocess
import sys

import pytest
from tables import write_topology_table

from xfernas_jax.errors import BenchmarkError
from xfernas_jax.evaluate.tabular import TabularEvaluator, load_table
from xfernas_jax.history import Job

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write_priced_table(folder: pathlib.Path) -> None:
    """Adds costs to the small table: of task `a` its own, of the others one for all."""
    write_topology_table(folder)
    file, manifest = folder / "small.csv.gz", folder / "manifest.json"
    with gzip.open(file, "rt", newline="") as stream:
        header, *rows = csv.reader(stream)
    prices = [[str(2 + sum(map(int, row[0]))), str(1 + sum(map(int, row[0])))] for row in rows]
    with gzip.open(file, "wt", newline="") as stream:
        joined = [row + price for row, price in zip(rows, prices, strict=True)]
        csv.writer(stream).writerows([[*header, "a_price", "price"], *joined])
    content = json.loads(manifest.read_text())
    content["small"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content))


def run(folder: pathlib.Path, output: pathlib.Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [
            *(sys.executable, "-m", "experiments.objectives", f"--benchmark_dir={folder}"),
            *("--table=small", "--cost=price", "--targets=a", "--source_evaluations=30"),
            *("--budget=20", "--seeds=2", f"--output={output}", *words),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_costs_of_a_table_are_the_task_s_own_or_common(tmp_path: pathlib.Path) -> None:
    write_priced_table(tmp_path)
    table = load_table(tmp_path, "small", ("price",))
    genotype = table.space.decode(table.space.rows[0].tolist())
    job = Job(0, genotype, table.space.key(genotype), 0)
    for task, price in (("a", 2.0), ("b", 1.0)):
        result = TabularEvaluator(table, task).evaluate(job).result
        assert result.costs == (("price", price),)
    with pytest.raises(BenchmarkError, match="weight"):
        load_table(tmp_path, "small", ("weight",))


@pytest.mark.slow
def test_a_run_is_summarised_the_same_again_and_transfer_has_a_twin(
    tmp_path: pathlib.Path,
) -> None:
    write_priced_table(tmp_path)
    output = tmp_path / "out"
    done = run(tmp_path, output, "--optimizers=random,predictor_evolution,xfer_predictor_evolution")
    assert done.returncode == 0, done.stderr
    text = (output / "objectives.json").read_text()
    found = json.loads(text)
    for goal in ("limit", "pareto"):
        rows = found[goal]["20"]
        assert 0.0 <= rows["xfer_predictor_evolution"]["mean"] < rows["random"]["mean"] <= 100.0
        assert "less_twin" in rows["xfer_predictor_evolution"]
    kept = found["kept_limit"]
    assert len(kept["random"]) == 2
    assert kept["xfer_predictor_evolution"][1] > kept["random"][1]
    rows = json.loads((output / "units" / "limit" / "random" / "a-0.json").read_text())["rows"]
    assert len(set(rows)) == 20
    (output / "units" / "limit" / "random" / "a-0.json").unlink()
    again = run(
        tmp_path, output, "--optimizers=random,predictor_evolution,xfer_predictor_evolution"
    )
    assert again.returncode == 0
    assert (output / "objectives.json").read_text() == text
    other = run(tmp_path, output, "--share=0.5")
    assert other.returncode == 2
    assert "another setting" in other.stderr


@pytest.mark.slow
def test_curves_by_hand() -> None:
    code = """
import numpy as np
from experiments.objectives import hypervolume, missing_curve, regret_curve
values, costs = np.array([1.0, 3.0, 2.0, 9.0, 0.0]), np.array([1.0, 4.0, 2.0, 9.0, 9.0])
# Under 4: 1, 3 and 2, with median 2 and best 3.
np.testing.assert_allclose(regret_curve(values, costs, 4.0, [3, 2, 1]), [100.0, 100.0, 0.0])
# Corner (0, 10): strips of heights 1, 1 and 1 and of widths 9, 8 and 6, and 6 of width 1.
np.testing.assert_allclose(hypervolume(values, costs, (0.0, 10.0)), 9.0 + 8.0 + 6.0 + 6.0)
np.testing.assert_allclose(hypervolume(values[[2, 2]], costs[[2, 2]], (0.0, 10.0)), 2 * 8.0)
assert hypervolume(values, costs, (9.0, 10.0)) == 0.0
curve = missing_curve(values, costs, [4, 0, 1, 2, 3])
assert curve[0] == 100.0 and curve[-1] == 0.0 and (np.diff(curve) <= 0.0).all()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
