import csv
import pathlib
import struct
import subprocess
import sys
import xml.etree.ElementTree

import numpy as np
import pytest
from scipy.stats import spearmanr
from tables import write_topology_table

from experiments import figures
from experiments.incumbents import percentile_matrix
from experiments.tabular_units import task_index
from xfernas_jax.evaluate.tabular import load_table
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.head import HeadSurrogate

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEIGHT = 860


def run(module: str, **values: object) -> subprocess.CompletedProcess[str]:
    words = [f"--{name}={value}" for name, value in values.items()]
    command = [sys.executable, "-m", f"experiments.{module}", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)


def check_picture(file: pathlib.Path, height: int) -> None:
    """Checks both files; a PNG begins with its signature and the chunk IHDR: width, height."""
    head = file.with_suffix(".png").read_bytes()
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:24]) == (figures.WIDTH_PIXELS, height)
    assert len(head) > 10_000  # an empty picture of this size has less
    assert xml.etree.ElementTree.parse(file.with_suffix(".svg")).getroot().tag.endswith("svg")


@pytest.mark.repeat(
    "experiments/test_experiments_tabular_search.py::test_results_are_the_same_bytes_for_any_number_of_jobs_and_after_a_stop"
)
@pytest.mark.slow
def test_amounts_are_measured_once_and_give_the_same_bytes(tmp_path: pathlib.Path) -> None:
    write_topology_table(tmp_path)
    out = tmp_path / "out"
    values = {
        "benchmark_dir": tmp_path,
        "table": "small",
        "targets": "a",
        "seeds": 2,
        "budget": 20,
        "source_evaluations": "0,30",
        "num_sources": "0,1",
        "target_observations": "0,12,25",
        "default_source_evaluations": 30,
        "default_target_observations": 12,
        "output": out,
    }
    done = run("data_amount", **values, jobs=1)
    assert done.returncode == 0, done.stderr
    check_picture(out / "data_amount.png", HEIGHT)
    check_rows(out)
    check_correlation(tmp_path, out)

    results = [out / f"data_amount.{kind}" for kind in ("csv", "png", "svg")]
    before = [file.read_bytes() for file in results]
    points = [*out.glob("*/units/*/*.json"), *out.glob("*/units/*/ranks/*.json")]
    assert len(points) == 2 * (4 + 3 + 4)  # seeds x (searches + ranks alone + ranks with sources)
    removed = [
        next(out.glob("*/units/xfer_nao/a-1.json")),
        next(out.glob("*/units/12/ranks/a-0.json")),
    ]
    for file in (*removed, *results):
        file.unlink()
    times = {file: file.stat().st_mtime_ns for file in points if file not in removed}
    done = run("data_amount", **values, jobs=2)
    assert done.returncode == 0, done.stderr
    assert [file.read_bytes() for file in results] == before
    assert {file: file.stat().st_mtime_ns for file in times} == times
    assert all(file.exists() for file in removed)


def check_rows(out: pathlib.Path) -> None:
    with (out / "data_amount.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = "factor level optimizer metric budget mean ci95_low ci95_high seeds"
    assert list(rows[0]) == names.split()
    found = {
        (r["factor"], int(r["level"]), r["optimizer"], r["metric"], int(r["budget"])): r["mean"]
        for r in rows
    }
    assert len(found) == len(rows)
    expected = set()
    for name in ("nao", "xfer_nao"):
        for factor, levels in (("source_evaluations", (0, 30)), ("source_tasks", (0, 1))):
            for level in levels:
                expected |= {(factor, level, name, "rank_correlation", 12)}
                expected |= {(factor, level, name, "incumbent_percentile", 20)}
        for level in (0, 12, 25):
            expected |= {("target_observations", level, name, "rank_correlation", level)}
            if level:
                expected |= {("target_observations", level, name, "incumbent_percentile", level)}
    assert set(found) == expected
    assert all(float(r["ci95_low"]) <= float(r["mean"]) <= float(r["ci95_high"]) for r in rows)
    assert {r["seeds"] for r in rows} == {"2"}

    for factor, metric, budget in (
        ("source_tasks", "rank_correlation", 12),
        ("source_evaluations", "incumbent_percentile", 20),
    ):
        ours, twin = (found[factor, 0, name, metric, budget] for name in ("xfer_nao", "nao"))
        assert ours == twin
    # The default is one point, whatever the factor.
    metric = ("xfer_nao", "rank_correlation", 12)
    default = found["source_evaluations", 30, *metric]
    assert default == found["target_observations", 12, *metric]
    assert default != found["source_tasks", 1, *metric]
    curve = percentile_matrix(out / "sources_2_evaluations_30" / "evaluations.csv", "xfer_nao")
    at_25 = found["target_observations", 25, "xfer_nao", "incumbent_percentile", 25]
    assert float(at_25) == pytest.approx(curve[..., 24].mean(), rel=1e-5)
    assert found["target_observations", 0, "nao", "rank_correlation", 0] == "0"
    # Related sources rank what the surrogate has never seen; unrelated ones would be around 0.
    assert float(found["target_observations", 0, "xfer_nao", "rank_correlation", 0]) > 0.3


def check_correlation(folder: pathlib.Path, out: pathlib.Path) -> None:
    """Computes one cell of the CSV again."""
    table = load_table(folder, "small")
    values, found = table.column("a", "valid").values, []
    for seed in (0, 1):
        order = np.random.default_rng([seed, task_index(table, "a"), 6]).permutation(243)
        seen, unseen = order[:25], order[25:]
        history = TaskHistory("a", table.space.rows[seen], values[seen])
        posterior = HeadSurrogate(table.space, (), PredictorConfig()).condition(history)
        mean = posterior.mean(table.space.rows[unseen])
        found.append(float(np.asarray(spearmanr(mean, values[unseen]))[0]))
    with (out / "data_amount.csv").open(newline="") as file:
        cells = [
            float(row["mean"])
            for row in csv.DictReader(file)
            if (row["metric"], row["budget"], row["optimizer"]) == ("rank_correlation", "25", "nao")
        ]
    # Another process, another number of threads: the same up to rounding.
    assert cells == pytest.approx([np.mean(found)], abs=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_sources": "0,3"}, "--num_sources=0,3: here it takes numbers from 0 to 2"),
        ({"source_evaluations": "-1"}, "--source_evaluations=-1"),
        ({"target_observations": "242"}, "from 0 to 241"),
        ({"table": "smal"}, "small"),
    ],
)
def test_a_wrong_level_is_one_line(
    changes: dict[str, str], message: str, tmp_path: pathlib.Path
) -> None:
    write_topology_table(tmp_path)
    values = {
        "benchmark_dir": tmp_path,
        "table": "small",
        "source_evaluations": "0,30",
        "target_observations": "0,10",
        "output": tmp_path / "out",
        **changes,
    }
    done = run("data_amount", **values)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_incumbents_are_drawn_from_a_folder_of_results(tmp_path: pathlib.Path) -> None:
    write_topology_table(tmp_path)
    out = tmp_path / "out"
    done = run(
        "tabular_search",
        benchmark_dir=tmp_path,
        table="small",
        optimizers="random,evolution",
        seeds=2,
        budget=15,
        output=out,
    )
    assert done.returncode == 0, done.stderr
    done = run("plots", results=out, output=tmp_path / "picture.png")
    assert done.returncode == 0, done.stderr
    check_picture(tmp_path / "picture.png", 720)
    text = (tmp_path / "picture.svg").read_text()
    for label in ("random", "evolution", "evaluations on the target", "3 tasks x 2 seeds"):
        assert label in text
    before = (tmp_path / "picture.svg").read_bytes()
    assert run("plots", results=out, output=tmp_path / "picture.svg").returncode == 0
    assert (tmp_path / "picture.svg").read_bytes() == before
    done = run("plots", results=out, output=tmp_path / "one", optimizers="evolution")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "one.svg").read_text()
    assert "evolution" in text
    assert "random" not in text
    done = run("plots", results=out, output=tmp_path / "two", optimizers="nao")
    assert done.returncode == 2
    assert "'nao' is not complete" in done.stderr
    assert not (tmp_path / "two.svg").exists()


def test_a_folder_without_results_is_one_line(tmp_path: pathlib.Path) -> None:
    done = run("plots", results=tmp_path, output=tmp_path / "picture")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "summary.json" in done.stderr


@pytest.mark.slow
def test_matplotlib_is_imported_only_to_draw() -> None:
    code = "import sys, experiments.data_amount; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=100)
