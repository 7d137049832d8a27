import json
import pathlib
import subprocess
import sys

import pytest

from experiments.bench.jobs import make_jobs

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.bench.devices", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_a_round_has_networks_of_its_own() -> None:
    assert make_jobs("nasbench201", 4, 1) == make_jobs("nasbench201", 4, 1)
    assert {job.genotype for job in make_jobs("nasbench201", 4, 1)}.isdisjoint(
        job.genotype for job in make_jobs("nasbench201", 4, 2)
    )


@pytest.mark.slow
def test_the_script_writes_what_it_measured(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "devices.json"
    small = ("--workers=1", "--shares=1", "--rounds=1", "--evaluations=1", f"--output={file}")
    done = run_script(*small)
    assert done.returncode == 0, done.stderr
    result = json.loads(file.read_text())
    names = [row["contender"] for row in result["evaluations"]]
    assert names == ["this process", "this process, compiling ahead", "1 workers"]
    assert all(
        hourly > 0 for row in result["evaluations"] for hourly in row["evaluations_per_hour"]
    )
    (share,) = result["shared_batches"]
    assert share["devices"] == 1
    assert len(share["step_ms"]) == 1


@pytest.mark.slow
def test_a_mistake_is_one_line_and_exit_code_2() -> None:
    done = run_script("--output=/dev/null/x.json")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("devices: --output=/dev/null/x.json: ")
