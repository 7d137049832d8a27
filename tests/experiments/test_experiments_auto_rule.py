import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_trainings_are_kept_and_fitted_and_not_repeated(tmp_path: pathlib.Path) -> None:
    words = ("--sets=digits", "--networks=vgg_tiny", "--epochs=1,2", f"--output={tmp_path}")
    first, again = (run("experiments.auto_rule", *words) for _ in range(2))
    assert first.returncode == again.returncode == 0, first.stderr
    files = sorted(file.name for file in (tmp_path / "trainings").iterdir())
    assert files == ["digits-vgg_tiny-8-1-0.json", "digits-vgg_tiny-8-2-0.json"]
    assert "epochs  work" in first.stdout
    assert "epochs  work" not in again.stdout
    page = (tmp_path / "auto_rule.md").read_text()
    assert "| `digits` | `vgg_tiny` | 8 |" in page
    assert json.loads((tmp_path / "fit.json").read_text())["sets"] == ["digits"]


@pytest.mark.parametrize("name", ["vgg", "vgg_tiny+x", "vgg_like+9"])
@pytest.mark.slow
def test_a_network_that_there_is_not_is_one_line(name: str, tmp_path: pathlib.Path) -> None:
    done = run("experiments.auto_rule", f"--networks={name}", f"--output={tmp_path}")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith(f"auto_rule: --networks={name}:")


@pytest.mark.slow
def test_a_step_takes_some_bytes_for_each_activation(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "memory.json"
    words = ("--side=16", "--batch=16", "--num_random=0", f"--output={file}")
    done = run("experiments.bench.step_memory", *words)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    assert rows["resnet20"]["step_bytes"] > 2 * rows["resnet8"]["step_bytes"]
    assert all(8.0 < row["bytes_per_activation"] < 40.0 for row in rows.values())
