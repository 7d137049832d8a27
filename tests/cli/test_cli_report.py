import csv
import pathlib
from collections.abc import Callable

import numpy as np
import pytest

from xfernas_jax.history import (
    Evaluation,
    Job,
    Result,
    Storage,
    StudySpec,
    Task,
    default_storage_url,
)
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
DIGITS = Task("digits", "by index", 10)
MNIST_5K = "convnet-mnist"  # a bundled history
CONFIG = {"optimizer": "xfer_nao", "seed": 0, "source_studies": {MNIST_5K: 180, "gone": 4}}


def record(work: pathlib.Path, name: str, values: list[float | None], **config: object) -> None:
    """Writes a study as a search would, without its result."""
    with Storage(default_storage_url(work)) as storage:
        spec = StudySpec(name, "search", DIGITS, SPACE.name, "r", {**CONFIG, **config})
        storage.create_or_open(spec)
        for i, value in enumerate(values):
            status = "failed" if value is None else "complete"
            curve = () if value is None else (value,)
            genotype = SPACE.sample(np.random.default_rng(i))
            job = Job(i, genotype, SPACE.key(genotype), i)
            result = Result(status, value, curve, (("params", 100.0 + i),), 2.0)
            storage.append(name, Evaluation(job, result, "r"))


def finish(work: pathlib.Path, name: str, **changes: object) -> None:
    genotype = SPACE.to_json(SPACE.sample(np.random.default_rng(1)))
    result = {
        "study": name,
        "num_evaluations": 2,
        "num_confirmations": 0,
        "best_genotype": genotype,
        "best_valid_accuracy": 0.75,
        "test_accuracy": 0.625,
        "num_params": 101,
        "seconds": 4.0,
        "sources": ["mnist_5k"],
        "incumbent_curve": [0.5, 0.75],
    }  # as 0.1.0 wrote it
    with Storage(default_storage_url(work)) as storage:
        storage.set_result(name, {**result, **changes})


@pytest.fixture
def work(tmp_path: pathlib.Path) -> pathlib.Path:
    record(tmp_path / "w", "first", [0.5, 0.75])
    finish(tmp_path / "w", "first")
    record(tmp_path / "w", "latest", [None, 0.5], seed=1)
    return tmp_path / "w"


def rows(file: pathlib.Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text().splitlines()))


@pytest.mark.slow
def test_the_latest_search_is_reported_beside_the_study(
    run_command: Callable, work: pathlib.Path
) -> None:
    done = run_command("report", f"--workdir={work}", "--sections=incumbent")
    assert done.code == 0, done.err
    folder = work / "studies" / "latest" / "report"
    assert str(folder / "report.html") in done.out
    page = (folder / "report.html").read_text()
    assert "This search is not finished: 2 evaluations" in page
    series = {
        row["series"]: row["studies"] for row in rows(folder / "data/incumbent_evaluations.csv")
    }
    assert series == {"this study": "1", "xfer_nao, this included": "2"}
    once_more = run_command("report", f"--workdir={work}", "--sections=cost")
    assert once_more.code == 0, once_more.err
    assert not (folder / "figures").exists()  # it was replaced


def test_a_named_study_goes_to_a_named_folder_with_the_cost_of_its_sources(
    run_command: Callable, work: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "out"
    words = [f"--workdir={work}", "--study=first", f"--output_dir={folder}", "--sections=cost"]
    done = run_command("report", *words)
    assert done.code == 0, done.err
    page = (folder / "report.html").read_text()
    for text in ("75.00 %", "62.50 %", "not recorded, so they count as 1"):
        assert text in page
    cost = {row["part"]: row for row in rows(folder / "data" / "cost.csv")}
    assert cost["search"]["device_seconds"] == "4.0"
    source = cost[f"source {MNIST_5K}"]
    assert (source["trainings"], source["epochs"]) == ("180", "900")
    assert float(source["device_seconds"]) > 100.0
    assert cost["source gone"]["device_seconds"] == ""


@pytest.mark.slow
def test_only_the_sections_that_are_named_are_written(
    run_command: Callable, work: pathlib.Path
) -> None:
    done = run_command(
        "report", f"--workdir={work}", "--study=first", "--sections=cost,evaluations"
    )
    assert done.code == 0, done.err
    folder = work / "studies" / "first" / "report"
    assert {file.name for file in (folder / "data").iterdir()} == {"cost.csv", "evaluations.csv"}
    assert not (folder / "figures").exists()


def test_mistakes_are_one_line_and_write_nothing(
    run_command: Callable, work: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    record(work, "empty", [])
    with Storage(default_storage_url(work)) as storage:
        spec = StudySpec("collected", "collect", DIGITS, SPACE.name, "r", {})
        storage.create_or_open(spec)
    record(work, "damaged", [0.5])
    finish(work, "damaged", relations={"names": ["x"]})
    at = f"--workdir={work}"
    for words, part in (
        ([at, "--study=nothing"], "no study 'nothing'"),
        ([at, "--study=empty"], "no evaluation yet"),
        ([at, "--study=collected"], "a report is of a search"),
        ([at, "--study=damaged"], "is damaged"),
        ([at, "--study=first", f"--output_dir={tmp_path / 'mine'}"], "is not empty"),
        ([at, "--study=first", "--sections=finalist"], "Did you mean finalists"),
        ([at, "--study=first", "--sections=no_such:section"], "no_such"),
        ([at, "--study=first", f"--output_dir={tmp_path / 'mine' / 'file'}"], "is no folder"),
        ([f"--workdir={tmp_path / 'none'}"], "none"),
    ):
        done = run_command("report", *words)
        assert (done.code, done.err.count("\n")) == (2, 1), (words, done.err)
        assert part in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "w"]
    assert not (work / "studies").exists()


def test_a_workdir_without_a_search_says_what_makes_one(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    record(tmp_path, "empty", [])
    done = run_command("report", f"--workdir={tmp_path}")
    assert done.code == 2
    assert "run.py search makes one" in done.err
