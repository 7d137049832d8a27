"""The CIFAR experiments from end to end, on small sets under TFDS's names."""

import json
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("tensorflow_datasets")
from tfds_sets import SETS, prepare

from experiments.paper_steps import SOURCES, Plan, expected_cost, gather, source_study, steps
from xfernas_jax.history import Storage, default_storage_url
from xfernas_jax.space import read_genotype
from xfernas_jax.space.registry import get_space

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = (
    *("network.filters=4", "network.num_cells=1", "network.num_stages=1", "data.image_size=8"),
    *("data.crop_padding=1", "data.train_examples=64", "data.valid_examples=40"),
    *("train.batch_size=32", "train.epochs=1", "network.auxiliary_weight=0.0"),
)
COUNTS: dict[str, Any] = {"num_architectures": 2, "budget_evaluations": 3}
IN_ALL = 3 * 2 + 3 + 3  # sources, search, one confirmation of each of three finalists


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tfds")
    prepare(folder, list(SETS))
    return folder


def small_plan(target: Any, workdir: pathlib.Path, data_dir: pathlib.Path) -> Plan:
    return Plan(
        target,
        workdir,
        space="nasbench201",
        changes=SMALL,
        final_changes=(*SMALL, "data.cutout=2"),
        data_dir=str(data_dir),
        **COUNTS,
    )


@pytest.mark.slow
def test_cifar100_from_sources_to_the_last_training(
    run_command: Callable, tmp_path: pathlib.Path, data_dir: pathlib.Path
) -> None:
    plan = small_plan("cifar100", tmp_path, data_dir)
    for step in steps(plan):
        done = run_command(*step.words)
        assert done.code == 0, done.err
    with Storage(default_storage_url(tmp_path)) as storage:
        result = gather(plan, storage)
        spec = storage.spec("search-cifar100")
        tasks = {storage.spec(source_study(name)).task.dataset for name in SOURCES}
    assert tasks == set(SOURCES)
    assert spec.config["source_studies"] == {source_study(name): 2 for name in SOURCES}
    assert {s["evaluations"] for s in result["sources"].values()} == {2}
    assert (result["search"]["evaluations"], result["search"]["confirmations"]) == (3, 3)
    space = get_space("nasbench201")
    file = tmp_path / "studies" / "search-cifar100" / "best_genotype.json"
    assert space.from_json(result["genotype"]) == read_genotype(file, space)
    recipe = result["final"]["recipe"]
    assert recipe["data"]["valid_in_train"]
    assert (recipe["network"]["drop_path_keep"], recipe["network"]["dropout_keep"]) == (0.6, 0.8)
    final = json.loads((tmp_path / "cifar100" / "final.json").read_text())
    assert final["valid_accuracy"] is None
    assert result["test_accuracy"] == final["test_accuracy"]


def recorded(workdir: pathlib.Path) -> int:
    """Returns the number of evaluations in a record that another process may be writing."""
    file = workdir / "history.db"
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            return database.execute("select count(*) from trials").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


@pytest.mark.slow
@pytest.mark.repeat(
    "experiments/test_experiments_paper.py::test_cifar100_from_sources_to_the_last_training"
)
def test_cifar10_goes_on_after_a_kill_and_repeats_nothing(
    tmp_path: pathlib.Path, data_dir: pathlib.Path
) -> None:
    words = [
        *("--target=cifar10", f"--workdir={tmp_path}", "--space=nasbench201"),
        *(f"--{name}={count}" for name, count in COUNTS.items()),
        *(f"--set={x}" for x in SMALL),
        *(f"--final_set={x}" for x in (*SMALL, "data.cutout=2")),
        f"--data_dir={data_dir}",
    ]
    command = [sys.executable, "-m", "experiments.paper", *words]
    broken = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 300
    while recorded(tmp_path) < 3 and broken.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(broken.pid, signal.SIGKILL)
    _, err = broken.communicate()
    assert broken.returncode == -signal.SIGKILL, err
    before = recorded(tmp_path)
    assert 3 <= before < IN_ALL
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert recorded(tmp_path) == IN_ALL  # each once
    result = json.loads((tmp_path / "cifar10" / "result.json").read_text())
    assert f"{result['test_error_percent']:.2f} % (one training, read once)" in done.stdout
    assert result["final"]["recipe"]["data"]["valid_in_train"]
    assert done.stdout.count("$ python run.py") == 5


def test_the_plan_is_the_papers_as_we_read_it_and_its_cost_is_stated(
    tmp_path: pathlib.Path,
) -> None:
    commands = steps(Plan("cifar10", tmp_path))
    assert [step.words[0] for step in commands] == [
        "collect",
        "collect",
        "collect",
        "search",
        "train",
    ]
    assert [step.proxy_trainings for step in commands] == [200, 200, 200, 33, 0]
    assert "--recipe=final" in commands[-1].words
    assert "--set=network.drop_path_keep=0.6" not in commands[-1].words
    said = expected_cost(commands, proxy_hours=0.5, final_hours=48.0)
    # 633 trainings of half an hour are 13.19 days, one of 48 hours is two.
    assert "in all 15.2 GPU days" in said
    assert "127 GPU days" in said  # 633 times 6 / 30
    assert set(commands[0].words) & set(steps(Plan("cifar100", tmp_path))[0].words) == set(
        commands[0].words
    )  # both targets share the sources


@pytest.mark.slow
def test_a_dry_run_prints_and_leaves_nothing(tmp_path: pathlib.Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "experiments.paper", "--dry_run", f"--workdir={tmp_path / 'new'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("$ python run.py") == 5
    assert "GPU days" in done.stdout
    assert not (tmp_path / "new").exists()
