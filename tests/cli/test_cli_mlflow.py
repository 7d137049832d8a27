# pyright: reportAttributeAccessIssue=false
"""What MLflow is told, read back by its own client from a local store."""

import json
import pathlib
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from xfernas_jax.cli import attempts
from xfernas_jax.cli.attempts import BackgroundAttempts, one_line
from xfernas_jax.cli.live import EvaluationRuns, TrainingRun
from xfernas_jax.cli.mlflow import Server
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.record import Evaluation, Job, Result, StudySpec, Task
from xfernas_jax.search.desk import Listener
from xfernas_jax.space import get_space

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    library = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")

SPACE = get_space("nasbench201")
CURVE = (0.5, 0.75, 0.625)
SPEC = StudySpec(
    "s", "search", Task("toy", "fixed", 10), SPACE.name, "r", {"optimizer": "xfer_nao", "seed": 7}
)
OTHER_RECORD = "sqlite:///other.db"


@pytest.fixture
def client(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a client of a local store of files, which is made the fastest."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return library.MlflowClient((tmp_path / "runs").as_uri())


def evaluation(number: int, curve: Sequence[float] = CURVE, status: Any = "complete") -> Evaluation:
    genotype = SPACE.sample(np.random.default_rng(number))
    result = Result(
        status=status,
        value=curve[-1] if status == "complete" else None,
        curve=tuple(curve),
        costs=(("params", 1234.0),),
        seconds=8.0,
    )
    job = Job(number, genotype, SPACE.key(genotype), 40 + number, predicted=0.25)
    return Evaluation(job, result, "r")


def runs_of(
    client: Any,
    recorded: Sequence[Evaluation] = (),
    storage: str = "sqlite:///a.db",
    budget: int = 4,
) -> EvaluationRuns:
    view = Server(client).study(SPEC, storage, {"budget_evaluations": budget})
    name = "resnet"
    return EvaluationRuns(
        view, SPACE, "xfer_nao", list(recorded), Goal(), name_of=lambda job: name * (not job.number)
    )


def evaluate(listener: EvaluationRuns, found: Evaluation) -> None:
    listener.started(found.job)
    for epoch, value in enumerate(found.curve, start=1):
        listener.epoch(found.job, epoch, value)
    listener.finished(found)


def found_runs(client: Any) -> dict[str, list[Any]]:
    """Returns active runs by name, the oldest first."""
    (experiment,) = [e for e in client.search_experiments() if e.name == "toy"]
    found: dict[str, list[Any]] = {}
    for run in reversed(client.search_runs([experiment.experiment_id])):
        found.setdefault(run.info.run_name, []).append(run)
    return found


def curve_of(client: Any, run: Any, tag: str = "valid_accuracy") -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, tag)]


def points(curve: Sequence[float]) -> list[tuple[int, float]]:
    return [*enumerate(curve, start=1)]


RESULT = {
    "best_value": 0.9,
    "test_value": 0.875,
    "test_part": {"low": 0.85, "high": 0.9},
    "costs": {"params": 1234.0},
    "seconds": 12.0,
    "best_genotype": SPACE.to_json(evaluation(0).genotype),
    "sources": ["before"],
    "num_evaluations": 4,
}


def test_a_study_is_a_run_with_one_for_each_evaluation(client: Any) -> None:
    listener = runs_of(client)
    assert isinstance(listener, Listener)
    found = evaluation(0)
    evaluate(listener, found)
    evaluate(listener, evaluation(1, (0.25, 0.125), "stopped"))
    evaluate(listener, evaluation(2, (), "failed"))
    evaluate(listener, evaluation(3, (0.9,)))
    listener.finish(RESULT)
    listener.close()
    runs = {name: run for name, (run,) in found_runs(client).items()}
    assert sorted(runs) == ["s", "search_0001", "search_0002", "search_0003", "search_0004"]

    study = runs["s"]
    assert study.info.status == "FINISHED"
    assert study.data.params == {
        "kind": "search",
        "dataset": "toy",
        "split": "fixed",
        "metric": "accuracy",
        "space": "nasbench201",
        "recipe": "r",
        "optimizer": "xfer_nao",
        "seed": "7",
        "budget_evaluations": "4",
    }
    assert curve_of(client, study, "best_valid_accuracy") == points([0.625, 0.625, 0.625, 0.9])
    values = {"final_valid_accuracy": 0.9, "test_accuracy": 0.875, "parameters": 1234.0}
    values |= {"test_accuracy_low": 0.85, "test_accuracy_high": 0.9, "seconds": 12.0}
    assert values.items() <= study.data.metrics.items()
    assert json.loads(study.data.tags["best.architecture"]) == RESULT["best_genotype"]
    assert study.data.tags["best.sources"] == "before"

    first = runs["search_0001"]
    assert first.data.tags["mlflow.parentRunId"] == study.info.run_id
    assert first.info.status == "FINISHED"
    assert first.data.params == {
        "number": "0",
        "purpose": "search",
        "optimizer": "xfer_nao",
        "seed": "40",
        "network": "resnet",
        "predicted": "0.25",
        "architecture": json.dumps(SPACE.to_json(found.genotype)),
    }
    assert curve_of(client, first) == points(CURVE)
    ends = {"final_valid_accuracy": 0.625, "parameters": 1234.0, "seconds": 8.0}
    assert ends.items() <= first.data.metrics.items()
    assert "network" not in runs["search_0002"].data.params
    assert runs["search_0002"].data.tags["xfernas.status"] == "stopped"
    assert runs["search_0003"].info.status == "FAILED"


def test_a_point_can_be_read_while_the_evaluation_runs(client: Any) -> None:
    listener, found = runs_of(client), evaluation(0)
    listener.started(found.job)
    listener.epoch(found.job, 1, 0.5)
    listener.interrupt()
    listener.close()
    ((run,), (study,)) = (found_runs(client)[name] for name in ("search_0001", "s"))
    assert curve_of(client, run) == [(1, 0.5)]
    assert (run.info.status, study.info.status) == ("KILLED", "KILLED")


def test_a_study_that_goes_on_logs_nothing_twice_and_misses_nothing(client: Any) -> None:
    done = [evaluation(0), evaluation(1)]
    first = runs_of(client)
    evaluate(first, done[0])
    first.started(done[1].job)  # recorded, but killed before it was logged
    first.epoch(done[1].job, 1, CURVE[0])
    cut_off = evaluation(2)
    first.started(cut_off.job)
    first.epoch(cut_off.job, 1, CURVE[0])
    first.close()
    before = found_runs(client)
    second = runs_of(client, done, budget=8)
    second.started(cut_off.job)
    second.epoch(cut_off.job, 2, CURVE[1])  # goes on from a checkpoint
    second.epoch(cut_off.job, 3, CURVE[2])
    second.finished(cut_off)
    second.finish(RESULT)
    second.close()
    third = runs_of(client, [*done, cut_off], budget=8)  # finished: the same command once more
    third.finish(RESULT)
    third.close()
    runs = found_runs(client)
    assert {name: len(found) for name, found in runs.items()} == dict.fromkeys(runs, 1)
    for name in ("search_0001", "search_0002", "search_0003"):
        assert curve_of(client, runs[name][0]) == points(CURVE)
        assert runs[name][0].info.run_id == before[name][0].info.run_id
    study = runs["s"][0]
    assert curve_of(client, study, "best_valid_accuracy") == points([0.625] * 3)
    assert len(curve_of(client, study, "test_accuracy")) == 1
    assert study.data.params["budget_evaluations"] == "4"  # a parameter never changes there
    assert study.data.tags["xfernas.budget_evaluations"] == "8"
    assert study.info.status == "FINISHED"


def test_an_evaluation_that_came_out_otherwise_is_logged_anew(client: Any) -> None:
    listener, found = runs_of(client), evaluation(0, (0.5, 0.75))
    listener.started(found.job)
    listener.epoch(found.job, 1, 0.125)
    listener.started(found.job)  # its worker died; it begins anew
    listener.epoch(found.job, 1, 0.5)
    listener.epoch(found.job, 2, 0.75)
    listener.finished(found)
    listener.close()
    (run,) = found_runs(client)["search_0001"]
    assert curve_of(client, run) == points((0.5, 0.75))


def test_an_evaluation_that_broke_and_is_tried_again_is_logged_anew(client: Any) -> None:
    listener = runs_of(client)
    evaluate(listener, evaluation(0, (0.5,), "broken"))
    listener.close()
    again = runs_of(client, [])  # the record leaves out what broke once it is tried again
    evaluate(again, evaluation(0, (0.25, 0.75)))
    again.close()
    (run,) = found_runs(client)["search_0001"]
    assert curve_of(client, run) == points((0.25, 0.75))
    assert run.info.status == "FINISHED"


def test_runs_of_another_record_stay(client: Any) -> None:
    for storage, curve in (("sqlite:///a.db", (0.5,)), ("sqlite:///b.db", (0.25,))):
        listener = runs_of(client, storage=storage)
        evaluate(listener, evaluation(0, curve))
        listener.close()
    runs_of(client).close()  # the record of the first was removed; it begins anew
    runs = found_runs(client)
    curves = [curve_of(client, run, "best_valid_accuracy") for run in runs["s"]]
    assert curves == [[(1, 0.5)], [(1, 0.25)], []]
    assert [curve_of(client, run) for run in runs["search_0001"]] == [[(1, 0.5)], [(1, 0.25)]]


def test_a_training_is_a_run(client: Any) -> None:
    result = {"curve": [0.5, 0.75], "valid_value": 0.75, "test_value": 0.625, "num_params": 12}
    for num_epochs in (1, 0):  # the second time it is finished
        training = TrainingRun(Server(client).trainings("toy"), "toy-cpu-1234")
        for epoch in range(num_epochs):
            training.epoch(epoch + 1, 0.5)
        training.end({**result, "recipe": "cpu", "seed": 3, "genotype": {}})
        training.close()
    (run,) = found_runs(client)["toy-cpu-1234"]
    assert curve_of(client, run) == [(1, 0.5), (2, 0.75)]
    assert curve_of(client, run, "test_accuracy") == [(2, 0.625)]
    assert run.data.params["recipe"] == "cpu"
    assert run.info.status == "FINISHED"


class Failing:
    """Fails where the server is down, and counts what it is asked."""

    def __init__(self, client: Any) -> None:
        self._client, self.is_down, self.num_asked = client, True, 0

    def __getattr__(self, name: str) -> Any:
        self.num_asked += 1
        if self.is_down:
            raise ConnectionError("no route\nto host")
        return getattr(self._client, name)


def test_a_server_that_fails_is_said_once_and_what_is_missing_comes_later(
    client: Any, capsys: pytest.CaptureFixture
) -> None:
    failing = Failing(client)
    listener, found = runs_of(failing), [evaluation(0), evaluation(1)]
    for each in found:
        evaluate(listener, each)
    listener.close()
    out = capsys.readouterr().out
    assert out.splitlines() == [
        "MLflow: not all is logged; the same command logs it later (ConnectionError: no route to "
        "host)."
    ]
    assert failing.num_asked == 1  # after a failure it is left alone for a while
    failing.is_down = False
    runs_of(failing, found).close()
    assert sorted(found_runs(client)) == ["s", "search_0001", "search_0002"]


def test_nobody_waits_for_a_server_that_hangs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(attempts, "_CLOSE_SECONDS", 0.1)
    attempt, begun = BackgroundAttempts("MLflow: not all is logged"), time.monotonic()
    attempt(lambda: time.sleep(5.0))
    attempt.close()
    assert time.monotonic() - begun < 4.0
    assert "MLflow: not all is logged (TimeoutError: not done in" in capsys.readouterr().out


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Gives a port of this machine at which nobody answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_a_server_that_cannot_be_reached_is_refused_at_once(
    run_command: Callable, tmp_path: pathlib.Path, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://me:secret@127.0.0.1:{silent_port}"
    for verb in ("search", "collect"):
        done = run_command(verb, f"--mlflow_uri={uri}", f"--workdir={tmp_path}/w")
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert f"--mlflow_uri=http://me:***@127.0.0.1:{silent_port} cannot be used" in done.err
        assert "secret" not in done.err
    assert not (tmp_path / "w" / "history.db").exists()


def test_a_folder_that_cannot_be_written_is_refused_at_once(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").touch()
    done = run_command("search", f"--mlflow_uri={tmp_path}/file/x", f"--workdir={tmp_path}/w")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "--mlflow_uri=" in done.err


def test_a_missing_library_is_named(
    run_command: Callable, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    done = run_command("search", f"--mlflow_uri={tmp_path}/t", f"--workdir={tmp_path}/w")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "pip install 'xfernas_jax[mlflow]'" in done.err
    assert not (tmp_path / "t").exists()


def test_a_password_is_not_shown() -> None:
    error = ConnectionError("no http://me:a:b@host:5000/api, no http://host:5000")
    assert one_line(error) == (
        "ConnectionError: no http://me:***@host:5000/api, no http://host:5000"
    )


@pytest.mark.slow
def test_search_and_train_log_to_a_folder(run_command: Callable, tmp_path: pathlib.Path) -> None:
    work = [f"--workdir={tmp_path}/w", f"--mlflow_uri={tmp_path}/runs"]
    quick = ["--space=nasbench201", "--set=train.epochs=2", "--set=data.train_examples=128"]
    quick += ["--set=network.filters=4"]
    words = ["search", "--optimizer=random", "--confirm_seeds=1", "--study=s", "--sources=none"]
    for budget in (1, 2, 2):
        done = run_command(*words, f"--budget_evaluations={budget}", *work, *quick)
        assert done.code == 0, done.err
        assert "MLflow" not in done.out + done.err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = library.MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    names = [e.name for e in client.search_experiments() if e.name != "Default"]
    (experiment,) = [e for e in client.search_experiments() if e.name == names[0]]
    runs = client.search_runs([experiment.experiment_id])
    found = {run.info.run_name: run for run in runs}
    assert len(runs) == len(found)
    assert {"s", "search_0001", "search_0002", "confirm_0001"} <= set(found)
    result = json.loads((tmp_path / "w" / "studies" / "s" / "result.json").read_text())
    study = found["s"]
    assert study.info.status == "FINISHED"
    assert study.data.metrics["test_accuracy"] == result["test_accuracy"]
    assert study.data.metrics["test_accuracy_low"] == result["test_part"]["low"]
    assert study.data.params["optimizer"] == "random"
    assert study.data.tags["xfernas.budget_evaluations"] == "2"
    assert [p for p, _ in curve_of(client, found["search_0002"])] == [1, 2]

    genotype = tmp_path / "w" / "studies" / "s" / "best_genotype.json"
    for _ in range(2):
        done = run_command("train", f"--genotype={genotype}", *work, *quick)
        assert done.code == 0, done.err
    again = client.search_runs([experiment.experiment_id])
    assert len(again) == len(runs) + 1
