"""Options of 0.2 through `run.py`: schedule, metric, any cost; what broke is tried again."""

import json
import pathlib
import re
from collections.abc import Callable

import numpy as np
import pytest

from xfernas_jax.history import Evaluation, Job, Result, Storage, default_storage_url
from xfernas_jax.space import get_space

SPACE = "--space=objective_cases:SPACE"
QUICK = [
    "--optimizer=random",
    "--sources=none",
    "--confirm_seeds=1",
    "--set=train.epochs=1",
    "--set=data.train_examples=128",
    "--set=network.filters=4",
    "--study=mine",
    "--space=nasbench201",
]


def recorded(work: pathlib.Path) -> tuple[Evaluation, ...]:
    with Storage(default_storage_url(work), create=False) as storage:
        return storage.record("mine").evaluations()


def config_of(work: pathlib.Path) -> dict:
    with Storage(default_storage_url(work), create=False) as storage:
        return dict(storage.spec("mine").config)


def by_distance(work: pathlib.Path, *more: str) -> list[str]:
    objective = "--objective=objective_cases:distance"
    return ["search", objective, SPACE, "--study=mine", f"--workdir={work}", *more]


def test_an_asynchronous_search_evaluates_each_architecture_once(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    done = run_command(
        *by_distance(
            tmp_path, "--schedule=async", "--optimizer=evolution", "--budget_evaluations=30"
        )
    )
    assert done.code == 0, done.err
    found = recorded(tmp_path)
    assert [e.number for e in found] == list(range(30))
    assert len({e.key for e in found}) == 30
    assert [e.job.after for e in found] == list(range(30))
    assert config_of(tmp_path)["schedule"] == "async"


def test_what_came_later_stands_in_a_study_only_where_it_is_no_default(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    done = run_command(*by_distance(tmp_path, "--optimizer=random", "--budget_evaluations=1"))
    assert done.code == 0, done.err
    first = {"optimizer", "encoder", "surrogate", "sources", "reuse_target", "batch_size", "seed"}
    assert set(config_of(tmp_path)) == first | {"confirm_seeds", "objective", "source_studies"}


def test_what_broke_under_other_options_is_tried_again_although_the_study_is_finished(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    words = by_distance(tmp_path, "--optimizer=random", "--budget_evaluations=3")
    space = get_space("objective_cases:SPACE")
    genotype = space.sample(np.random.default_rng(7))
    job = Job(3, genotype, space.key(genotype), seed=1)
    broken = Evaluation(
        job, Result("broken", failure="no memory", runtime="remat=true"), "objective"
    )
    finished = run_command(*words)
    assert finished.code == 0, finished.err
    with Storage(default_storage_url(tmp_path)) as storage:
        storage.append("mine", broken)
    again = run_command(*words)
    assert again.code == 0, again.err
    assert "This study is finished" not in again.out
    assert all(e.status == "complete" for e in recorded(tmp_path))
    assert "This study is finished" in run_command(*words).out


@pytest.mark.slow
def test_a_search_by_another_metric_shows_and_records_it(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "o.json"
    words = [*QUICK, "--metric=log_loss", "--budget_evaluations=3", f"--output={file}"]
    done = run_command("search", *words, "--max_cost=params=900", f"--workdir={tmp_path}")
    assert done.code == 0, done.err
    result = json.loads(file.read_text())
    assert result["metric"] == "log_loss"
    assert not {"best_valid_accuracy", "test_accuracy"} & set(result)
    searched = [e for e in recorded(tmp_path) if e.purpose == "search"]
    assert result["incumbent_curve"][-1] == min(e.value for e in searched if e.value is not None)
    assert all(e.costs["params"] <= 900 for e in searched)
    shown = re.escape(f"{result['best_value']:.6g} nats")
    assert re.search(rf"^validation log loss +{shown}", done.out, re.MULTILINE)
    told = done.out.partition("Study ")[2]  # before it, shares of the images
    shares = ("behind the test score", "always one class")
    assert "%" not in "\n".join(row for row in told.splitlines() if not row.startswith(shares))
    best = tmp_path / "studies" / "mine" / "best_genotype.json"
    words = ["train", f"--genotype={best}", *QUICK[3:6], "--metric=macro_f1", f"--output={file}"]
    taken = run_command(*words, f"--workdir={tmp_path}")
    assert taken.code == 0, taken.err
    trained = json.loads(file.read_text())
    assert trained["metric"] == "macro_f1"
    assert f"test macro F1        {100 * trained['test_value']:.2f} %" in taken.out
