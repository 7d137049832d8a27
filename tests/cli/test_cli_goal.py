"""Limits on cost and Pareto searches through `run.py`."""

import json
import pathlib
from collections.abc import Callable

import pytest

from xfernas_jax.history import Evaluation, Storage, default_storage_url

QUICK = [
    "--space=nasbench201",
    "--set=train.epochs=1",
    "--set=data.train_examples=128",
    "--set=network.filters=4",
    "--confirm_seeds=1",
    "--batch_size=3",
    "--study=mine",
]
ALONE = "--sources=none"  # reading all sources and a fit on them take seconds


def recorded(work: pathlib.Path) -> list[Evaluation]:
    with Storage(default_storage_url(work), create=False) as storage:
        return list(storage.evaluations("mine"))


@pytest.mark.slow
def test_a_search_within_limits_records_costs_and_its_winner_keeps_them(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "best.json"
    words = [*QUICK, f"--workdir={tmp_path}", f"--output={file}", "--budget_evaluations=6"]
    words += ["--max_params=900", "--max_latency_ms=1000", "--costs=flops"]
    done = run_command("search", *words)
    assert done.code == 0, done.err
    result = json.loads(file.read_text())
    assert result["num_params"] == result["costs"]["params"] <= 900
    assert set(result["costs"]) == {"flops", "latency_ms", "params"}
    assert f"{result['costs']['flops']:,.4g}" in done.out
    for evaluation in recorded(tmp_path):
        assert evaluation.costs["params"] <= 900  # larger ones were not trained
        assert all(cost > 0.0 for cost in evaluation.costs.values())
    searched = [e.value for e in recorded(tmp_path) if e.purpose == "search"]
    assert result["incumbent_curve"][-1] == max(value for value in searched if value is not None)

    again = run_command("search", *words)
    assert again.code == 0
    assert "finished" in again.out
    other = run_command("search", *words, "--max_params=800")
    assert other.code == 2
    assert "goal.limits.params 900.0 -> 800.0" in other.err


@pytest.mark.slow
def test_what_turns_out_too_slow_cannot_win(run_command: Callable, tmp_path: pathlib.Path) -> None:
    words = [*QUICK, f"--workdir={tmp_path}", "--budget_evaluations=3", "--max_latency_ms=1e-6"]
    words += [ALONE]
    done = run_command("search", *words)
    assert done.code == 2
    assert done.out.count("over the limit") == 3
    (line,) = done.err.splitlines()
    assert "--max_latency_ms=1e-06" in line
    assert "the lowest latency_ms was" in line


@pytest.mark.slow
def test_a_pareto_search_lists_trades_that_can_be_exported(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "best.json"
    words = [*QUICK, f"--workdir={tmp_path}", f"--output={file}", "--budget_evaluations=6", ALONE]
    done = run_command("search", *words, "--pareto=params")
    assert done.code == 0, done.err
    front = json.loads(file.read_text())["front"]
    assert front
    assert f"evaluation {front[0]['evaluation'] + 1} " in done.out
    values = [(row["value"], row["costs"]["params"]) for row in front]
    assert values == sorted(values, reverse=True)
    by_number = {e.number: e for e in recorded(tmp_path) if e.purpose == "search"}
    for row in front:
        assert by_number[row["evaluation"]].value == row["value"]


@pytest.mark.slow
def test_no_architecture_within_a_limit_is_one_line(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    done = run_command("search", *QUICK, f"--workdir={tmp_path}", "--max_params=10", ALONE)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "--max_params=10" in line
    assert recorded(tmp_path) == []
