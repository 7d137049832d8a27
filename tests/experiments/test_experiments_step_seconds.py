import json
import pathlib
import subprocess
import sys

import pytest

from xfernas_jax.evaluate import auto

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_rule_counts_an_activation_as_the_bundled_trainings_say(
    tmp_path: pathlib.Path,
) -> None:
    file = tmp_path / "fit.json"
    words = [sys.executable, "-m", "experiments.step_seconds", f"--output={file}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(file.read_text())
    assert found["trainings"] == 8 * 30
    assert found["flops_per_activation"] == pytest.approx(auto.FLOPS_PER_ACTIVATION, rel=0.1)
    both, flops = found["by_both"], found["by_flops"]
    assert both["typical_factor"] < 0.8 * flops["typical_factor"]
    separable = [row["longer_than_predicted_by_block"]["separable"] for row in (both, flops)]
    assert separable[0] < 1.3 < 2.0 < separable[1]
