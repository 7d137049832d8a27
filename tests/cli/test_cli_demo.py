"""Without a verb: a search, and what a tutorial's network gets on the same images."""

import json
import pathlib
from collections.abc import Callable

import pytest

QUICK = (
    *("--dataset=digits", "--recipe=cpu", "--set=train.epochs=1", "--set=data.train_examples=128"),
    *("--set=network.filters=4", "--budget_evaluations=1", "--confirm_seeds=1", "--sources=none"),
)


@pytest.mark.slow
def test_the_last_line_compares_and_a_rerun_trains_nothing(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    words = [*QUICK, "--study=s", f"--workdir={tmp_path}"]
    done = run_command(*words)
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "studies" / "s" / "result.json").read_text())
    plain = json.loads((tmp_path / "studies" / "s" / "tutorial.json").read_text())
    last = done.out.splitlines()[-1]
    assert last.startswith(f"test accuracy: {100 * result['test_value']:.2f} % with ")
    assert f"found here; {100 * plain['test']:.2f} % with {plain['num_params']:,} param" in last
    assert plain["num_params"] == 320 + 18_496 + (2 * 2 * 64 + 1) * 256 + 257 * 10
    again = run_command(*words)
    assert again.out.splitlines()[-1] == last
    assert "For comparison" not in again.out


@pytest.mark.slow
def test_a_metric_that_the_tutorial_has_not_is_not_compared(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    words = [*QUICK, "--study=s", "--metric=log_loss", f"--workdir={tmp_path}"]
    done = run_command(*words)
    assert done.code == 0, done.err
    assert not (tmp_path / "studies" / "s" / "tutorial.json").exists()
