import json
import pathlib
import subprocess
from collections.abc import Callable, Iterator

import pytest
from searches import QUICK, num_recorded, outcomes, recorded, result, run, search_words

from xfernas_jax.space import NASBENCH201_BEST, get_space, write_genotype

BUDGET = 30


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[Callable[[int], pathlib.Path]]:
    """Mounts a disk of so many KiB, or gives it that size; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def resize(kib: int) -> pathlib.Path:
        option = f"size={kib}k" if not folder.is_mount() else f"remount,size={kib}k"
        subprocess.run(["mount", "-t", "tmpfs", "-o", option, "none", folder], check=True)
        return folder

    yield resize
    subprocess.run(["umount", "--lazy", folder], check=False)


def assert_one_line(err: str, *parts: str) -> None:
    assert "Traceback" not in err, err
    assert err.strip().splitlines()[-1].startswith("run.py: "), err
    for part in parts:
        assert part in err, err


@pytest.mark.parametrize(("kib", "least"), [(64, 0), (700, 0), (1000, 1), (1300, 1)])
def test_a_disk_that_fills_while_recording_loses_no_evaluation(
    kib: int,
    least: int,
    small_disk: Callable[[int], pathlib.Path],
    tmp_path: pathlib.Path,
    unbroken,
) -> None:
    disk = small_disk(kib)
    words = [*search_words(BUDGET), f"--workdir={tmp_path / 'w'}"]
    url = f"sqlite:///{disk / 'history.db'}"
    code, err = run(*words, f"--storage={url}")
    assert code == 2, err
    assert_one_line(err, "full")
    small_disk(20_000)
    before = recorded(url) if num_recorded(disk) else []
    assert len(before) >= least
    code, err = run(*words, f"--storage={url}")
    assert code == 0, err
    after = recorded(url)
    assert outcomes(before) <= outcomes(after)
    assert outcomes(after) == unbroken(BUDGET)[0]


def test_a_disk_that_fills_while_checkpointing_keeps_the_earlier_checkpoints(
    small_disk: Callable[[int], pathlib.Path], tmp_path: pathlib.Path
) -> None:
    space = get_space("nasbench201")
    file = tmp_path / "genotype.json"
    write_genotype(file, space, NASBENCH201_BEST)
    words = ["train", f"--genotype={file}", "--set=train.epochs=6", "--set=network.filters=16"]
    words += ["--set=data.train_examples=256", "--compile_cache_gib=0"]
    code, err = run(*words, f"--workdir={tmp_path / 'whole'}", f"--output={tmp_path / 'a.json'}")
    assert code == 0, err
    disk = small_disk(1_000)
    code, err = run(*words, f"--workdir={disk}")
    assert code == 2, err
    assert_one_line(err, "No space left")
    assert any(disk.rglob("checkpoints/[0-9]*")), "the disk was full before the first checkpoint"
    small_disk(100_000)
    code, err = run(*words, f"--workdir={disk}", f"--output={tmp_path / 'b.json'}")
    assert code == 0, err
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    assert first["curve"] == second["curve"]
    assert first["test_accuracy"] == second["test_accuracy"]


def test_a_disk_that_fills_while_exporting_leaves_no_folder(
    small_disk: Callable[[int], pathlib.Path], tmp_path: pathlib.Path
) -> None:
    work = tmp_path / "w"
    assert run("search", "--budget_evaluations=2", *QUICK, f"--workdir={work}")[0] == 0
    for kib in (8, 60):
        disk = small_disk(kib)
        code, err = run("export", f"--workdir={work}", f"--output_dir={disk / 'out'}")
        assert code == 2, err
        assert_one_line(err)
        assert list(disk.iterdir()) == []
    disk = small_disk(20_000)
    assert run("export", f"--workdir={work}", f"--output_dir={disk / 'out'}")[0] == 0
    assert result(work)
