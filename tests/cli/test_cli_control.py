"""Two commands on one study: one controls it, the other is told so or takes it over."""

import pathlib
import sqlite3
import subprocess
import time
from collections.abc import Callable, Sequence

import pytest

from xfernas_jax.history import Storage, default_storage_url
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
WORDS = [
    "search",
    "--space=nasbench201",
    "--study=s",
    "--optimizer=random",
    "--sources=none",
    "--budget_evaluations=3",
    "--set=train.epochs=1",
    "--set=data.train_examples=128",
    "--set=network.filters=4",
    "--confirm_seeds=1",
]


def start_and_wait(
    start_process: Callable[..., subprocess.Popen], words: Sequence[str], work: pathlib.Path
) -> subprocess.Popen:
    """Starts a search and returns once it has recorded something and works on the next."""
    process, end = start_process(*words), time.monotonic() + 180
    while num_recorded(work) < 1:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


def num_recorded(work: pathlib.Path) -> int:
    try:
        with sqlite3.connect(f"file:{work}/history.db?mode=ro", uri=True) as database:
            return database.execute("select count(*) from trials").fetchone()[0]
    except sqlite3.Error:
        return 0


def check_one_line(code: int, err: str, *parts: str) -> None:
    assert code == 2, err
    assert err.startswith("run.py: Study 's' ")
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err


@pytest.mark.slow
def test_a_second_search_is_refused_then_takes_over_and_the_first_ends(
    start_process: Callable[..., subprocess.Popen], run_command: Callable, tmp_path: pathlib.Path
) -> None:
    work = f"--workdir={tmp_path}"
    endless = [*WORDS, "--budget_evaluations=2000", work]
    first = start_and_wait(start_process, endless, tmp_path)
    done = run_command(*WORDS, work)
    check_one_line(done.code, done.err, f"(pid {first.pid})", "controlled by", "--take_over")
    assert first.poll() is None

    done = run_command(*WORDS, work, "--take_over")
    assert done.code == 0, done.err
    _, err = first.communicate(timeout=60)
    check_one_line(first.returncode, err, "was taken over by", "records no more")
    with Storage(default_storage_url(tmp_path)) as storage:
        recorded = storage.evaluations("s")
        result = storage.result("s")
        with storage.control("s"):  # a finished study is only read
            done = run_command(*WORDS, work)
        assert (done.code, "finished" in done.out) == (0, True)
    keys = [(SPACE.key(e.genotype), e.seed, e.purpose) for e in recorded]
    assert len(keys) == len(set(keys))
    assert result is not None
    assert result["num_evaluations"] >= 3
