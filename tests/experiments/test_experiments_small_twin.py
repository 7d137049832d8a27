import csv
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from experiments import small_results, statistics
from experiments.grid import Unit
from experiments.small_results import Run
from experiments.small_tasks import IMAGE_FILES, check_present, load_small, without_copies
from experiments.small_units import Setting, collect_source, read_runs, run_unit
from xfernas_jax.data import DataConfig
from xfernas_jax.data.split import make_part
from xfernas_jax.errors import FlagError

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHANGES = ("train.epochs=1", "data.train_examples=128", "data.valid_examples=100")
FILES = ("evaluations.csv", "summary.json", "table.md", "incumbents.png", "incumbents.svg")


def write_images(folder: pathlib.Path) -> pathlib.Path:
    """Writes a set of three classes that differ in brightness."""
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    images = rng.integers(0, 100, (300, 8, 8)) + 60 * labels[:, None, None]
    file = folder / "shades.npz"
    np.savez(file, x=images.astype(np.uint8), y=labels)
    return file


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "experiments.small_twin", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )


@pytest.mark.repeat(
    "experiments/test_experiments_tabular_search.py::test_results_are_the_same_bytes_for_any_number_of_jobs_and_after_a_stop"
)
@pytest.mark.slow
def test_searches_share_a_record_and_the_command_gives_the_same_bytes_again(
    tmp_path: pathlib.Path,
) -> None:
    source, output = str(write_images(tmp_path)), tmp_path / "out"
    setting = Setting(
        folder=str(output),
        images_dir=None,
        space="nasbench201",
        recipe="cpu",
        changes=CHANGES,
        sources=(source,),
        source_architectures=4,
        budget=4,
        batch_size=2,
        confirm_seeds=1,
        num_finalists=1,
    )
    output.mkdir()
    said: list[str] = []
    assert collect_source(setting, source, said.append) == 4
    assert collect_source(setting, source, said.append) == 0
    units = [Unit(name, "digits", s) for s in (0, 1) for name in ("nao", "random", "xfer_nao")]
    trained = [run_unit(unit, setting, said.append) for unit in units]
    # Four random cells and one confirmation: the twin without sources is random search so far.
    assert [trained[i] for i in (0, 1, 3, 4)] == [5, 0, 5, 0]
    assert 0 < trained[2] <= 5  # cells that it shares with its twin are not trained again
    runs = read_runs(setting, units)
    words = [
        *("--targets=digits", f"--sources={source}", "--source_architectures=4"),
        *("--optimizers=nao,random,xfer_nao", "--seeds=2", "--budget_evaluations=4"),
        *("--batch_size=2", "--num_finalists=1", f"--output_dir={output}"),
        *(f"--set={change}" for change in CHANGES),
    ]
    contents = []
    for _ in range(2):
        done = run(*words)
        assert done.returncode == 0, done.stderr
        assert "0 trainings now" in done.stdout
        contents.append([(output / name).read_bytes() for name in FILES])
        for name in FILES:
            (output / name).unlink()
    assert contents[0] == contents[1]
    rows = list(csv.DictReader(contents[0][0].decode().splitlines()))
    assert len(rows) == len(units) * 4
    assert float(rows[3]["incumbent"]) == pytest.approx(runs[0].values.max(), rel=1e-5)
    summary = json.loads(contents[0][1])
    arms = summary["targets"]["digits"]["optimizers"]
    assert arms["nao"] == arms["random"]
    assert summary["xfer_nao_minus_nao"]["digits"]["test"]["pairs"] == 2
    costs = json.loads((output / "costs.json").read_text())
    assert costs["sources"][source]["evaluations"] == 4
    changed = run(*words, "--confirm_seeds=2")
    assert changed.returncode == 2
    assert "confirm_seeds 1 -> 2" in changed.stderr


def test_summary_compares_pairs_of_one_seed() -> None:
    runs = []
    for seed in range(3):
        low = np.array([0.1, 0.2 + 0.1 * seed, 0.1])
        runs.append(Run("a", "nao", seed, low, 0.2, 0.1 * seed, 0.9))
        runs.append(Run("a", "xfer_nao", seed, low[::-1] + 0.05, 0.3, 0.1 * seed + 0.02, 0.9))
    summary = small_results.summarize(runs, [1, 3])
    content, paired = summary["targets"]["a"], summary["xfer_nao_minus_nao"]["a"]
    nao = content["optimizers"]["nao"]
    assert nao["incumbent"]["3"]["mean"] == pytest.approx(0.3)  # of .2, .3 and .4
    assert nao["incumbent"]["3"]["standard_error"] == pytest.approx(0.1 / np.sqrt(3))
    assert nao["regret"]["3"]["mean"] == pytest.approx(0.6)
    assert content["evaluations_to_match_xfer_nao"]["nao"] == {"1": 2, "3": None}
    assert paired["incumbent@3"]["difference"] == pytest.approx(0.05)
    assert paired["incumbent@3"]["ci95"] == pytest.approx([0.05, 0.05])
    assert paired["test"]["difference"] == pytest.approx(0.02)
    assert paired["test"]["p_value"] == 0.25  # all three signs agree: 2 of 8 patterns
    assert "| `nao` |" in small_results.table(summary)
    assert "all targets" not in summary["xfer_nao_minus_nao"]


def test_images_of_an_earlier_part_are_left_out_of_later_ones() -> None:
    images = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    labels = np.zeros(9, np.int32)
    parts = {
        name: make_part(images[rows], labels[rows])
        for name, rows in (("train", [0, 1, 2, 2]), ("valid", [2, 3, 4]), ("test", [1, 4, 5, 6]))
    }
    kept = without_copies(parts)
    found = {k: [int(i[0, 0, 0]) for i in p.split.images[:]] for k, p in kept.items()}
    assert found == {"train": [0, 1, 2, 2], "valid": [3, 4], "test": [5, 6]}


@pytest.mark.slow
def test_a_mistake_is_one_line(tmp_path: pathlib.Path) -> None:
    done = run(f"--output_dir={tmp_path / 'x'}", "--targets=digits", "--sources=digits")
    assert done.returncode == 2
    assert done.stderr.startswith("small_twin: digits is among --targets and --sources")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_missing_image_set_is_named_with_the_flag(tmp_path: pathlib.Path) -> None:
    for folder in (None, str(tmp_path)):
        with pytest.raises(FlagError, match=r"usps: .*usps/usps\.npz .*--images_dir"):
            check_present("usps", folder)
    assert check_present("digits", None) is None


@pytest.mark.parametrize("name", IMAGE_FILES)
def test_shared_image_sets_have_parts_without_common_images(
    name: str, shared_dir: pathlib.Path
) -> None:
    folder = shared_dir / "images"
    if not (folder / name).is_dir():
        pytest.skip(f"no {name} in the data folder")
    dataset = load_small(name, DataConfig(image_size=8, train_examples=100), str(folder))
    assert dataset.task.dataset.startswith(f"{name}-")
    assert dataset.task.num_classes in (10, 17)


def test_the_exact_test_counts_sign_patterns() -> None:
    # Sums over the patterns of (1, 2, 3): 6, 4, 2, 0, 0, -2, -4, -6.
    zeros = np.zeros(3)
    found = statistics.paired(np.array([1.0, 2.0, 3.0]), zeros)
    assert found.p_value == 2 / 8
    assert found.difference == 2.0
    # Student's t, 2 degrees: 4.3027 times 1 / sqrt(3).
    assert found.high - found.difference == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)
    assert statistics.paired(np.array([1.0, 2.0, -3.0]), zeros).p_value == 1.0
    assert statistics.paired(np.array([-1.0, 2.0, 3.0]), zeros).p_value == 4 / 8
    assert np.isnan(statistics.paired(zeros[:1], zeros[:1]).low)
    with pytest.raises(ValueError, match="1 to 20 pairs"):
        statistics.paired(np.zeros(21), np.zeros(21))
