import json
import pathlib
import random
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from searches import (
    kill,
    num_recorded,
    outcomes,
    recorded,
    result,
    run,
    search_words,
    start,
    wait_until,
)

from xfernas_jax.history import Storage, default_storage_url
from xfernas_jax.space import NASBENCH201_BEST, get_space, write_genotype

BUDGET = 6
FAKETIME = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


OWN_PROGRAMS = {"JAX_COMPILATION_CACHE_DIR": ""}
"""An environment in which compiled programs lie in --workdir, not in the folder of all tests."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The work directory of a finished search, compiled programs included; tests copy it."""
    work = tmp_path_factory.mktemp("finished")
    code, err = run(*search_words(BUDGET), f"--workdir={work}", **OWN_PROGRAMS)
    assert code == 0, err
    return work


def damage(file: pathlib.Path, how: str) -> None:
    data = bytearray(file.read_bytes())
    if how == "empty":
        data = bytearray()
    elif how == "half":
        data = data[: len(data) // 2]
    elif how == "zeros":
        data[: len(data) // 2] = bytes(len(data) // 2)
    else:
        rng = random.Random(0)
        for _ in range(64):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)


def assert_one_line(code: int, err: str) -> None:
    assert code == 2, err
    assert "Traceback" not in err, err
    assert err.strip().splitlines()[-1].startswith("run.py: "), err


@pytest.mark.parametrize("how", ["empty", "half", "zeros"])
def test_a_damaged_database_is_named_and_left_as_it_is(
    how: str, finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    work = tmp_path / "w"
    shutil.copytree(finished, work)
    for file in work.glob("history.db-*"):
        file.unlink()
    damage(work / "history.db", how)
    before = (work / "history.db").read_bytes()
    code, err = run(*search_words(BUDGET), f"--workdir={work}")
    if how == "empty":  # SQLite takes an empty file for a new database
        assert code == 0, err
        assert len(recorded(work)) >= BUDGET
        return
    assert_one_line(code, err)
    assert "history.db" in err
    assert (work / "history.db").read_bytes() == before


@pytest.mark.parametrize("how", ["half", "zeros", "bits"])
def test_a_damaged_history_file_is_refused_and_records_nothing(
    how: str, finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "history.jsonl.gz"
    code, err = run("history", "export", f"--workdir={finished}", "--study=s", f"--file={file}")
    assert code == 0, err
    damage(file, how)
    work = tmp_path / "w"
    code, err = run("history", "import", f"--workdir={work}", f"--file={file}")
    assert_one_line(code, err)
    assert file.name in err
    line = tmp_path / "line.jsonl"
    code, err = run("history", "export", f"--workdir={finished}", "--study=s", f"--file={line}")
    lines = line.read_bytes().splitlines(keepends=True)
    line.write_bytes(b"".join(lines[:-1]) + lines[-1][: len(lines[-1]) // 2])
    code, err = run("history", "import", f"--workdir={work}", f"--file={line}")
    assert_one_line(code, err)
    assert not (work / "history.db").exists() or not recorded_studies(work)


def recorded_studies(work: pathlib.Path) -> list[str]:
    with Storage(default_storage_url(work), create=False) as storage:
        return [spec.name for spec in storage.studies()]


@pytest.mark.parametrize("how", ["empty", "half", "zeros", "bits"])
def test_a_damaged_compile_cache_costs_time_only(
    how: str, finished: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    work = tmp_path / "w"
    shutil.copytree(finished, work)
    files = [path for path in (work / "compile_cache").rglob("*") if path.is_file()]
    assert files
    for file in files:
        if file.stat().st_size:
            damage(file, how)
    words = [*search_words(BUDGET), f"--workdir={work}"]
    code, err = run(*(word.replace("--study=s", "--study=t") for word in words), **OWN_PROGRAMS)
    assert code == 0, err
    assert outcomes(recorded(work, "t")) == outcomes(recorded(work, "s"))


@pytest.mark.parametrize("how", ["empty", "half", "zeros", "bits", "gone"])
def test_a_damaged_latest_checkpoint_gives_way_to_the_one_before(
    how: str, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "genotype.json"
    write_genotype(file, get_space("nasbench201"), NASBENCH201_BEST)
    words = ["train", f"--genotype={file}", "--set=train.epochs=4", "--set=network.filters=4"]
    words += ["--set=data.train_examples=256", f"--workdir={tmp_path / 'w'}"]
    code, err = run(*words, f"--output={tmp_path / 'whole.json'}")
    assert code == 0, err
    (folder,) = (tmp_path / "w" / "trainings").iterdir()
    (folder / "result.json").unlink()  # as if killed before the last line
    latest = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
    files = [path for path in latest.rglob("*") if path.is_file()]
    for path in files:
        if how == "gone":
            path.unlink()
        elif path.stat().st_size:
            damage(path, how)
    code, err = run(*words, f"--output={tmp_path / 'again.json'}")
    assert code == 0, err
    whole, again = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("whole", "again"))
    for field in ("curve", "losses", "test_accuracy"):
        assert whole[field] == again[field]
    if how != "gone":
        assert "cannot be read" in err


@pytest.mark.parametrize("shift", ["-400d", "+4000d"])
def test_a_false_clock_changes_nothing(
    shift: str, tmp_path: pathlib.Path, unbroken: Callable[[int], tuple[Any, Any]]
) -> None:
    assert FAKETIME is not None, "libfaketime is not installed"
    words = [*search_words(30), f"--workdir={tmp_path}"]
    false = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    process = start(*words, **false)
    wait_until(lambda: num_recorded(tmp_path) >= 3, process)
    code, err = run(*words)  # its clock says that the other's lease is over, or far from it
    assert code == 2, err
    assert "--take_over" in err
    assert kill(process), "it ended before it could be in the way"
    code, err = run(*words)
    assert code == 0, err
    assert (outcomes(recorded(tmp_path)), result(tmp_path)) == unbroken(30)
