"""One long training against several shorter ones: what is averaged, and what is kept."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from experiments.averages import accuracies, table

ROOT = pathlib.Path(__file__).resolve().parents[2]
LABELS = np.array([0, 1, 1])


def sure_of(classes: list[int], sureness: float) -> np.ndarray:
    return sureness * np.eye(2, dtype=np.float32)[classes]


def test_members_are_averaged_over_all_choices_of_them() -> None:
    right_of_two, wrong_of_two = sure_of([0, 1, 0], 5.0), sure_of([1, 0, 1], 1.0)
    found = accuracies({3: [right_of_two, wrong_of_two, right_of_two]}, LABELS)
    assert found[1, 3] == pytest.approx((2 / 3 + 1 / 3 + 2 / 3) / 3)
    assert found[2, 3] == found[3, 3] == pytest.approx(2 / 3)  # the surer ones decide


def test_rows_are_in_the_order_of_the_epochs_in_all() -> None:
    lines = table({"a": {(1, 8): 0.5, (4, 2): 0.75, (1, 2): 0.25}})
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["1 x 2", "1 x 8", "4 x 2"]
    assert lines[-1] == "| 8 | 4 x 2 | 75.00 | 75.00 |"


@pytest.mark.slow
def test_what_is_trained_once_is_not_trained_again(tmp_path: pathlib.Path) -> None:
    words = ["--sets=digits", "--epochs=1:2,2:1", "--num_images=64", "--network=lean 1 2 2 tiny"]
    command = [sys.executable, "-m", "experiments.members", *words, f"--output={tmp_path}"]

    def run() -> list[str]:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    first, second = run(), run()
    assert sum(line.startswith("digits") for line in first) == 3
    assert second == [line for line in first if line.startswith("|")]
    assert (tmp_path / "table-lean_1_2_2_tiny.md").read_text().splitlines() == second
