import dataclasses
import json
import math
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from tables import write_topology_table

from experiments import statistics
from experiments.grid import Unit
from experiments.tabular_units import ANY_SPLIT, cached_table, source_histories
from experiments.transfer_cases import KINDS, RIGHT, Case, alone, cases_of
from experiments.transfer_measures import Reached, against, measured
from xfernas_jax.errors import FlagError

ROOT = pathlib.Path(__file__).resolve().parents[2]
SHARED = {"budget": 12, "surrogate": "head", "searches": 2}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.transfer_benchmark", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)


def test_measures_of_the_best_so_far() -> None:
    values = np.array([0.0, 10.0, 20.0, 30.0])  # the best is row 3, the median 15
    found = measured(values, np.array([1, 0, 3]))
    np.testing.assert_allclose(found["percentile"], [50.0, 50.0, 0.0])
    np.testing.assert_allclose(found["log2"], np.log2([75.0, 75.0, 25.0]))
    np.testing.assert_allclose(found["regret"], [20 / 15, 20 / 15, 0.0])


def test_intervals_are_over_draws_of_targets_as_they_are() -> None:
    values = np.array([[1.0, 3.0, 2.0], [11.0, 13.0, 12.0]])
    found = statistics.stratified(values)
    error = math.sqrt((1.0 + 1.0) / 3) / 2  # the distance of the targets is no noise
    assert found.mean == 7.0
    assert found.high - found.mean == pytest.approx(2.7764451 * error)  # t of 4 degrees
    assert found.visible == pytest.approx((2.7764451 + 0.9409646) * error)
    assert math.isnan(statistics.stratified(values[:, :1]).high)


def test_a_visible_difference_is_shown_in_four_cases_of_five() -> None:
    rng = np.random.default_rng(0)
    size = statistics.stratified(rng.normal(size=(200, 400))).visible * math.sqrt(200 * 400 / 60)
    shown = [statistics.stratified(rng.normal(size, 1.0, (3, 20))).low > 0.0 for _ in range(1_000)]
    assert 0.75 < np.mean(shown) < 0.85


def test_no_worse_is_shown_by_an_interval_below_a_margin() -> None:
    def of(values: list[float]) -> Reached:
        column = np.array(values).reshape(1, -1, 1)
        return Reached("x", ("a",), {"percentile": column, "log2": column, "regret": column})

    twin = of([10.0, 10.0, 10.0])
    assert against(of([10.1, 10.2, 9.9]), twin, 1).no_worse
    assert not against(of([13.0, 9.0, 10.0]), twin, 1).no_worse  # wide: nothing is shown
    assert not against(of([12.0, 12.1, 11.9]), twin, 1).no_worse  # worse
    assert against(of([10.0]), of([10.0]), 1).no_worse is None


def test_cases_are_read_and_mistakes_named() -> None:
    found = cases_of(["a:200", "b:all"], ["a:200"], ["few", "single"])
    assert [(c.name, c.kind) for c in found] == [
        ("a:200", RIGHT),
        ("a:200", "few"),
        ("a:200", "single"),
        ("b:all", RIGHT),
    ]
    for names, wrong, kinds, message in (
        (["a"], [], [], "TABLE:ROWS"),
        (["a:0"], [], [], "TABLE:ROWS"),
        (["a:5"], ["a:6"], [], "--wrong=a:6"),
        (["a:5"], [], ["right"], "known are shuffled"),
    ):
        with pytest.raises(FlagError, match=message):
            cases_of(names, wrong, kinds)


def test_sources_of_a_case_are_drawn_once_for_its_searches(tmp_path: pathlib.Path) -> None:
    write_topology_table(tmp_path)
    table = cached_table(str(tmp_path), "small")
    scores = {}
    for kind in KINDS:
        setting = Case("small", 40, kind).setting(table, SHARED)
        assert setting.split == ANY_SPLIT
        found = source_histories(Unit("xfer_nao", "a", 0), setting, table)
        scores[kind] = {history.name: history.scores for history in found}
    assert [len(scores["single"]), len(scores["right"])] == [1, 2]
    assert {len(its) for its in scores["few"].values()} == {8}
    assert not np.any(list(scores["constant"].values()))
    np.testing.assert_array_equal(scores["negated"]["b"], -scores["right"]["b"])
    for kind in ("one_shuffled", "one_negated", "one_constant"):
        changed = [
            not np.array_equal(scores[kind][name], scores["right"][name]) for name in ("b", "c")
        ]
        assert sum(changed) == 1
    whole = Case("small", None).setting(table, SHARED)
    found = source_histories(Unit("xfer_nao", "a", 0), whole, table)
    assert {len(history.scores) for history in found} == {243}
    only = dataclasses.replace(table, columns={("a", ANY_SPLIT): table.column("a", ANY_SPLIT)})
    with pytest.raises(FlagError, match="one task"):
        alone(only, SHARED)


@pytest.mark.slow
def test_the_page_is_of_the_searches_that_are_there_and_goes_on(tmp_path: pathlib.Path) -> None:
    write_topology_table(tmp_path)
    output = tmp_path / "out"
    words = [
        f"--benchmark_dir={tmp_path}",
        f"--output={output}",
        "--cases=small:40",
        "--wrong=small:40",
        "--kinds=shuffled",
        "--optimizers=xfer_bananas",
        "--seeds=4",
        "--searches=2",
        "--budget=12",
    ]
    done = run(*words, "--shard=1/3")
    assert done.returncode == 0, done.stderr
    assert "Missing yet" in (output / "transfer_benchmark.md").read_text()
    done = run(*words)
    assert done.returncode == 0, done.stderr
    text = (output / "transfer_benchmark.md").read_text()
    assert "Missing yet" not in text
    assert "## small:40" in text
    assert "| xfer_bananas, log2 | all shuffled |" in text

    summary = json.loads((output / "summary.json").read_text())
    assert [(row["case"], row["sources"]) for row in summary] == [
        ("small:40", "right"),
        ("small:40", "shuffled"),
    ]
    assert summary[0]["draws"] == 2
    table = cached_table(str(tmp_path), "small")
    ends = []
    for target in "abc":
        values = table.column(target, "valid").values
        for seed in range(4):
            unit = Unit("xfer_bananas", target, seed)
            rows = unit.read(output / "small" / "40-right")["rows"]
            ends.append(100.0 * np.mean(values > values[rows[:10]].max()))
    assert summary[0]["ours"]["percentile"]["10"] == pytest.approx(np.mean(ends))
    # Searches of one draw have the same sources, and so the same first suggestion.
    firsts = [
        Unit("xfer_bananas", "a", seed).read(output / "small" / "40-right")["rows"][0]
        for seed in range(4)
    ]
    assert firsts[0] == firsts[1]
    assert firsts[2] == firsts[3]

    files = sorted((output / "small").rglob("*-*.json"))
    before = {file: file.stat().st_mtime_ns for file in files}
    done = run(*words, "--power")
    assert done.returncode == 0, done.stderr
    assert "| small:40 | xfer_bananas | 10 | 2 |" in done.stdout
    assert before == {file: file.stat().st_mtime_ns for file in files}


@pytest.mark.slow
def test_the_histories_of_the_package_are_a_table_too(tmp_path: pathlib.Path) -> None:
    name = "experiments.baselines:xfer_ridge"
    words = [f"--optimizers={name}", "--seeds=1", "--searches=1", "--budget=6", "--wrong="]
    done = run(f"--output={tmp_path}", "--cases=convnet:all", *words)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "summary.json").read_text())
    assert row["optimizer"] == name
    assert "usps" in row["targets"]
    assert row["difference"]["5"]["no_worse"] is None  # of a single draw nothing is shown
    assert row["ours"]["percentile"]["1"] < row["twin"]["percentile"]["1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cases=small"], "TABLE:ROWS"),
        (["--cases=smal:20", "--wrong="], "no table 'smal'"),
        (["--optimizers=nao"], "xfer_"),
        (["--seeds=5"], "a multiple of --searches"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    words: list[str], message: str, tmp_path: pathlib.Path
) -> None:
    write_topology_table(tmp_path)
    output = tmp_path / "out"
    done = run(f"--benchmark_dir={tmp_path}", f"--output={output}", *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not output.exists()
