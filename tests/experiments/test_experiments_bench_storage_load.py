import contextlib
import dataclasses
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import optuna
import pytest

from experiments.bench.load import STUDY, BareStudy, LoadError, check_record
from experiments.bench.postgres import find_postgres
from experiments.bench.synthetic import RECIPE, synthetic_result
from xfernas_jax.errors import StorageError
from xfernas_jax.history import Evaluation, Job, Storage, StudySpec, Task
from xfernas_jax.space import get_space

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPACE = get_space("nao5")
CELLS = [SPACE.sample(np.random.default_rng(i)) for i in range(3)]
JOBS = [Job(i, cell, SPACE.key(cell), i) for i, cell in enumerate(CELLS)]
MADE = [Evaluation(job, synthetic_result(job), RECIPE) for job in JOBS]


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "experiments.bench.storage_load", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture
def check(tmp_path: pathlib.Path) -> Iterator[Callable]:
    """Records evaluations and checks them against all jobs."""
    url = f"sqlite:///{tmp_path / 'history.db'}"
    with Storage(url) as storage, contextlib.closing(BareStudy(url, SPACE)) as bare:
        task = Task("synthetic", "none", None)
        storage.create_or_open(StudySpec(STUDY, "search", task, SPACE.name, RECIPE, {}))

        def call(*evaluations, foreign_trials=0):
            for evaluation in evaluations:
                storage.append(STUDY, evaluation)
            study = optuna.load_study(study_name=STUDY, storage=url)
            for _ in range(foreign_trials):
                study.add_trial(optuna.create_trial(value=0.5))
            return check_record(storage, bare.num_trials(STUDY), JOBS)

        yield call


def test_a_synthetic_evaluation_depends_on_network_and_seed_alone() -> None:
    assert synthetic_result(dataclasses.replace(JOBS[0], number=5)) == MADE[0].result
    other = synthetic_result(dataclasses.replace(JOBS[0], seed=9))
    assert other.curve != MADE[0].curve


def test_a_complete_record_passes(check: Callable) -> None:
    assert check(*MADE) == 3


def test_what_was_lost_doubled_or_changed_is_found(check: Callable) -> None:
    with pytest.raises(LoadError, match="3 evaluations were made, 2 are recorded"):
        check(*MADE[:2])
    changed = dataclasses.replace(MADE[2].result, seconds=99.0)
    with pytest.raises(LoadError, match="was recorded as"):
        check(dataclasses.replace(MADE[2], result=changed))
    with pytest.raises(LoadError, match="in 4 trials"):
        check(foreign_trials=1)


def test_a_database_that_was_used_before_is_refused(tmp_path: pathlib.Path) -> None:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    BareStudy(url, SPACE).close()
    with pytest.raises(StorageError, match="already exists"):
        BareStudy(url, SPACE)


@pytest.mark.slow
def test_windows_that_do_not_fit_are_refused() -> None:
    done = run_script("--evaluations=10")
    assert done.returncode == 2
    assert "small + window <= evaluations <= grown" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_postgres() is None, reason="no PostgreSQL server programs (initdb) here")
def test_the_script_writes_what_it_measured(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed (make setup EXTRAS=postgres)")
    file = tmp_path / "load.json"
    sizes = ("--workers=2", "--evaluations=40", "--small=10", "--grown=50", "--window=10")
    done = run_script(*sizes, f"--output={file}")
    # So short a run says nothing about the bars.
    assert done.returncode == 0 or done.stderr == "storage_load: A bar is missed.\n", done.stderr
    assert "49 and then " in done.stdout
    result = json.loads(file.read_text())
    assert result["num_recorded"] == 49  # and three trainings of three finalists
    assert result["ratio_to_bare"] == result["driver_ms"] / result["bare_ms"]
    assert min(result["small_bare_ms"], result["grown_driver_ms"], result["grown_bare_ms"]) > 0
