import csv
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from tables import write_topology_table

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = ("evaluations.csv", "summary.json")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.tabular_search", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)


def flags(folder: pathlib.Path, output: pathlib.Path, **changes: object) -> list[str]:
    values = {
        "benchmark_dir": folder,
        "table": "small",
        "optimizers": "random,bananas,xfer_bananas",
        "seeds": 2,
        "budget": 20,
        "source_evaluations": 40,
        "output": output,
        **changes,
    }
    return [f"--{name}={value}" for name, value in values.items()]


@pytest.mark.slow
def test_results_are_the_same_bytes_for_any_number_of_jobs_and_after_a_stop(
    tmp_path: pathlib.Path,
) -> None:
    write_topology_table(tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    done = run(*flags(tmp_path, one, jobs=1))
    assert done.returncode == 0, done.stderr
    assert run(*flags(tmp_path, two, jobs=2, shard="1/3")).returncode == 0
    partly = json.loads((two / "summary.json").read_text())
    assert partly["optimizers"] == {}  # a third of the units is no result
    done = run(*flags(tmp_path, two, jobs=2))
    assert done.returncode == 0, done.stderr
    for name in FILES:
        assert (one / name).read_bytes() == (two / name).read_bytes()
    before = {path: path.stat().st_mtime_ns for path in (two / "units").rglob("*.json")}
    assert run(*flags(tmp_path, two, jobs=2)).returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in (two / "units").rglob("*.json")}

    check_rows(one)
    summary = json.loads((one / "summary.json").read_text())
    assert set(summary["optimizers"]) == {"random", "bananas", "xfer_bananas"}
    assert set(summary["twins"]) == {"xfer_bananas"}
    at_20 = {n: row["mean_percentile"]["20"] for n, row in summary["optimizers"].items()}
    assert summary["twins"]["xfer_bananas"]["difference"]["20"] == pytest.approx(
        at_20["xfer_bananas"] - at_20["bananas"]
    )
    by_task = summary["twins"]["xfer_bananas"]["targets"]
    assert np.mean([row["difference"]["20"] for row in by_task.values()]) == pytest.approx(
        at_20["xfer_bananas"] - at_20["bananas"]
    )
    low, high = by_task["a"]["difference_ci95"]["20"]
    assert low <= by_task["a"]["difference"]["20"] <= high
    assert at_20["xfer_bananas"] < at_20["random"]


@pytest.mark.slow
def test_seconds_of_every_shard_are_kept_after_a_kill(tmp_path: pathlib.Path) -> None:
    write_topology_table(tmp_path)
    out = tmp_path / "out"
    few = {"optimizers": "random,evolution", "budget": 12}
    assert run(*flags(tmp_path, out, **few, shard="1/2")).returncode == 0
    first = json.loads((out / "timings.json").read_text())
    assert len(first) == 6  # 3 of the 6 pairs of target and seed, 2 optimizers
    assert all(seconds >= 0.0 for seconds in first.values())
    (out / "timings.json").unlink()  # a killed process would not have come to write it
    assert run(*flags(tmp_path, out, **few, shard="2/2")).returncode == 0
    whole = json.loads((out / "timings.json").read_text())
    expected = {f"{o}/{t}/{s}" for o in ("random", "evolution") for t in "abc" for s in (0, 1)}
    assert set(whole) == expected
    assert first.items() <= whole.items()


@pytest.mark.slow
def test_the_share_of_decoded_rows_is_the_mean_over_units_that_decode(
    tmp_path: pathlib.Path,
) -> None:
    write_topology_table(tmp_path)
    out = tmp_path / "out"
    few = {"optimizers": "random,nao", "targets": "a", "budget": 15}
    assert run(*flags(tmp_path, out, **few)).returncode == 0
    units = [out / "units" / "nao" / f"a-{seed}.json" for seed in (0, 1)]
    contents = [json.loads(file.read_text()) for file in units]
    for file, content, share in zip(units, contents, (0.25, 0.75), strict=True):
        assert 0.0 < content["decoded_rows_share"] <= 1.0
        file.write_text(json.dumps({**content, "decoded_rows_share": share}))
    assert run(*flags(tmp_path, out, **few)).returncode == 0
    optimizers = json.loads((out / "summary.json").read_text())["optimizers"]
    assert optimizers["nao"]["decoded_rows_share"] == 0.5
    assert optimizers["random"]["decoded_rows_share"] is None


def check_rows(output: pathlib.Path) -> None:
    with (output / "evaluations.csv").open() as file:
        rows = list(csv.DictReader(file))
    runs: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for row in rows:
        runs.setdefault((row["optimizer"], row["target"], row["seed"]), []).append(row)
    assert len(runs) == 3 * 3 * 2
    for found in runs.values():
        values = np.array([float(row["value"]) for row in found])
        assert len(found) == 20
        incumbents = [float(row["incumbent"]) for row in found]
        np.testing.assert_array_equal(incumbents, np.maximum.accumulate(values))
        percentiles = [float(row["incumbent_percentile"]) for row in found]
        assert (np.diff(percentiles) <= 0.0).all()
    for target in ("a", "b", "c"):
        first, second = runs["random", target, "0"], runs["bananas", target, "0"]
        start = [row["value"] for row in first[:10]]
        assert start == [row["value"] for row in second[:10]]  # the same start rows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"table": "smal"}, "small"),
        ({"optimizers": "randon"}, "randon"),
        ({"optimizers": "experiments.baselines:absent"}, "callable"),
        ({"optimizers": "experiments.absent:ridge"}, "cannot be imported"),
        ({"optimizers": "experiments/baselines:ridge"}, "module:NAME"),
        ({"targets": "z"}, "'z'"),
        ({"split": "test"}, "no task with split 'test'"),
        ({"shard": "3/2"}, "I/N"),
        ({"benchmark_dir": "absent"}, "manifest.json"),
    ],
)
def test_a_mistake_is_one_line(
    changes: dict[str, str], message: str, tmp_path: pathlib.Path
) -> None:
    write_topology_table(tmp_path)
    done = run(*flags(tmp_path, tmp_path / "out", **changes))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.slow
def test_results_of_another_setting_are_not_mixed(tmp_path: pathlib.Path) -> None:
    write_topology_table(tmp_path)
    out = tmp_path / "out"
    few = {"optimizers": "random", "seeds": 1, "targets": "a"}
    assert run(*flags(tmp_path, out, **few)).returncode == 0
    old = json.loads((out / "setting.json").read_text())
    assert old.pop("num_sources") is None
    (out / "setting.json").write_text(json.dumps(old))  # written before the field was there
    assert run(*flags(tmp_path, out, **few)).returncode == 0
    assert "num_sources" in run(*flags(tmp_path, out, **few, num_sources=1)).stderr
    done = run(*flags(tmp_path, out, **few, corrupt_sources="negate"))
    assert done.returncode == 2
    assert "corrupt_sources" in done.stderr
