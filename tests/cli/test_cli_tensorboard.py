# pyright: reportAttributeAccessIssue=false
"""Event files, read back by TensorBoard's own reader."""

import json
import pathlib
import resource
import signal
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from xfernas_jax.cli.live import EvaluationRuns, TrainingRun
from xfernas_jax.cli.tensorboard import EventFiles, Run
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import SCORE, Metric
from xfernas_jax.history.record import Evaluation, Job, Result
from xfernas_jax.search.desk import Listener
from xfernas_jax.space import get_space

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

SPACE = get_space("nasbench201")
CURVE = (0.5, 0.75, 0.625)
QUICK = [
    "--space=nasbench201",
    "--set=train.epochs=2",
    "--set=data.train_examples=128",
    "--set=network.filters=4",
]


def read(folder: pathlib.Path) -> dict[str, list[tuple[int, float]]]:
    """Returns the points of each scalar tag of a run."""
    loaded = EventAccumulator(str(folder), {"scalars": 0})
    loaded.Reload()
    tags = loaded.Tags()["scalars"]
    return {tag: [(e.step, e.value) for e in loaded.Scalars(tag)] for tag in tags}


def read_hparams(folder: pathlib.Path) -> dict[str, Any]:
    """Returns what the HParams page shows of a run."""
    loaded = EventAccumulator(str(folder))
    loaded.Reload()
    content = loaded.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    data = plugin_data_pb2.HParamsPluginData.FromString(content)
    values = data.session_start_info.hparams.items()
    return {k: getattr(v, v.WhichOneof("kind")) for k, v in values}


def evaluation(number: int, curve: Sequence[float] = CURVE, status: Any = "complete") -> Evaluation:
    genotype = SPACE.sample(np.random.default_rng(number))
    result = Result(
        status=status,
        value=curve[-1] if status == "complete" else None,
        curve=tuple(curve),
        costs=(("params", 1234.0),),
        seconds=1.0,
    )
    return Evaluation(Job(number, genotype, SPACE.key(genotype), 40 + number), result, "r")


def files(folder: pathlib.Path, recorded: Sequence[Evaluation] = ()) -> EvaluationRuns:
    return EvaluationRuns(EventFiles(folder), SPACE, "xfer_nao", list(recorded), Goal())


def evaluate(listener: EvaluationRuns, found: Evaluation) -> None:
    listener.started(found.job)
    for epoch, value in enumerate(found.curve, start=1):
        listener.epoch(found.job, epoch, value)
    listener.finished(found)


def points(curve: Sequence[float]) -> list[tuple[int, float]]:
    return [(i + 1, float(np.float32(v))) for i, v in enumerate(curve)]


def test_a_run_holds_curve_result_and_hyperparameters(tmp_path: pathlib.Path) -> None:
    listener = files(tmp_path)
    assert isinstance(listener, Listener)
    found = evaluation(0)
    evaluate(listener, found)
    evaluate(listener, evaluation(1, (0.25, 0.1), "stopped"))
    evaluate(listener, evaluation(2, (), "failed"))
    evaluate(listener, evaluation(3, (0.9,)))
    listener.close()
    assert read(tmp_path / "search_0001") == {
        "valid_accuracy": points(CURVE),
        "final_valid_accuracy": [(3, 0.625)],
    }
    assert read_hparams(tmp_path / "search_0001") == {
        "number": 0.0,
        "purpose": "search",
        "optimizer": "xfer_nao",
        "parameters": 1234.0,
        "seed": 40.0,
        "status": "complete",
        "architecture": json.dumps(SPACE.to_json(found.genotype)),
    }
    assert read(tmp_path / "search_0002") == {"valid_accuracy": points((0.25, 0.1))}
    assert read_hparams(tmp_path / "search_0003")["status"] == "failed"
    best = [0.625, 0.625, 0.625, 0.9]
    assert read(tmp_path / "incumbent") == {"best_valid_accuracy": points(best)}


def test_a_point_can_be_read_as_soon_as_its_epoch_ends(tmp_path: pathlib.Path) -> None:
    listener, found = files(tmp_path), evaluation(0)
    listener.started(found.job)
    listener.epoch(found.job, 1, 0.5)
    assert read(tmp_path / "search_0001") == {"valid_accuracy": [(1, 0.5)]}
    listener.close()


def test_a_search_that_goes_on_doubles_nothing_and_misses_nothing(tmp_path: pathlib.Path) -> None:
    done = [evaluation(0), evaluation(1)]
    first = files(tmp_path)
    evaluate(first, done[0])
    first.started(done[1].job)  # recorded, but killed before it was written here
    first.epoch(done[1].job, 1, CURVE[0])
    cut_off = evaluation(2)
    first.started(cut_off.job)
    first.epoch(cut_off.job, 1, CURVE[0])
    first.close()
    before = {f: f.read_bytes() for f in (tmp_path / "search_0001").iterdir()}
    second = files(tmp_path, done)
    second.started(cut_off.job)
    second.epoch(cut_off.job, 2, CURVE[1])  # goes on from a checkpoint
    second.epoch(cut_off.job, 3, CURVE[2])
    second.finished(cut_off)
    second.close()
    for name in ("search_0001", "search_0002", "search_0003"):
        assert read(tmp_path / name)["valid_accuracy"] == points(CURVE)
    assert read(tmp_path / "incumbent") == {"best_valid_accuracy": points([0.625] * 3)}
    assert {f: f.read_bytes() for f in (tmp_path / "search_0001").iterdir()} == before


def test_an_evaluation_that_came_out_otherwise_is_written_anew(tmp_path: pathlib.Path) -> None:
    listener, found = files(tmp_path), evaluation(0, (0.5, 0.75))
    listener.started(found.job)
    listener.epoch(found.job, 1, 0.125)
    listener.started(found.job)  # its worker died; it begins anew
    listener.epoch(found.job, 1, 0.5)
    listener.epoch(found.job, 2, 0.75)
    listener.finished(found)
    listener.close()
    assert read(tmp_path / "search_0001")["valid_accuracy"] == points((0.5, 0.75))


def test_a_damaged_file_is_read_up_to_the_damage(tmp_path: pathlib.Path) -> None:
    run = Run(tmp_path)
    run.add("a", 1, 0.5)
    run.add("a", 2, 0.25)
    run.close()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    again = Run(tmp_path)
    again.bring_to({"a": [(1, 0.5), (2, 0.25)]})
    again.close()
    assert read(tmp_path) == {"a": [(1, 0.5), (2, 0.25)]}


def test_a_folder_that_fails_later_is_said_once_and_kills_nothing(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "s").write_text("a file where the study's folder would be")
    listener = files(tmp_path / "s")
    evaluate(listener, evaluation(0))
    evaluate(listener, evaluation(1))
    listener.close()
    assert capsys.readouterr().out.count("TensorBoard files: no more are written (") == 1
    training = TrainingRun(EventFiles(tmp_path / "s"), "t")
    training.epoch(1, 0.5)
    training.close()


def test_a_disk_that_fills_up_kills_nothing(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    listener = files(tmp_path)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))  # bytes of a file
        evaluate(listener, evaluation(0))
        evaluate(listener, evaluation(1))
        listener.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert "TensorBoard files: no more are written (OSError" in capfd.readouterr().out
    again = files(tmp_path, [evaluation(0), evaluation(1)])  # there is room again
    again.close()
    assert read(tmp_path / "search_0001")["valid_accuracy"] == points(CURVE)


def test_scores_have_tags_of_their_own(tmp_path: pathlib.Path) -> None:
    found, goal = evaluation(0, (-7.5,)), Goal(metric=SCORE)
    EvaluationRuns(EventFiles(tmp_path), SPACE, "nao", [found], goal, is_trained=False).close()
    assert read(tmp_path / "search_0001") == {"score": [(1, -7.5)], "final_score": [(1, -7.5)]}
    assert read(tmp_path / "incumbent") == {"best_score": [(1, -7.5)]}


def test_the_incumbent_of_a_loss_is_its_smallest_value(tmp_path: pathlib.Path) -> None:
    goal = Goal(metric=Metric("log_loss", "log loss", "nats", 0.0, None, False))
    recorded = [evaluation(i, (value,)) for i, value in enumerate((2.0, 0.5, 1.0))]
    EvaluationRuns(EventFiles(tmp_path), SPACE, "nao", recorded, goal).close()
    assert read(tmp_path / "incumbent") == {"best_valid_log_loss": points([2.0, 0.5, 0.5])}


@pytest.mark.slow
def test_search_and_train_write_event_files(run_command: Callable, tmp_path: pathlib.Path) -> None:
    events, work = tmp_path / "events", f"--workdir={tmp_path}/runs"
    words = ["search", "--optimizer=random", "--budget_evaluations=2", "--confirm_seeds=1"]
    words += ["--study=s", "--sources=none", work, f"--tensorboard_dir={events}", *QUICK]
    done = run_command(*words)
    assert done.code == 0, done.err
    runs = {"search_0001", "search_0002", "confirm_0001", "confirm_0002", "incumbent"}
    assert {f.name for f in (events / "s").iterdir()} == runs
    result = json.loads((tmp_path / "runs" / "studies" / "s" / "result.json").read_text())
    assert read(events / "s" / "incumbent")["best_valid_accuracy"] == points(
        result["incumbent_curve"]
    )
    assert [step for step, _ in read(events / "s" / "search_0001")["valid_accuracy"]] == [1, 2]
    # No terminal here: plain lines, without control characters.
    whole = done.out.splitlines()
    lines = whole[next(i for i, line in enumerate(whole) if line.startswith("Study ")) :]
    assert [line.split()[:2] for line in lines[2:4]] == [
        ["search", "1/2"],
        ["search", "2/2"],
    ]
    assert "\x1b" not in done.out

    genotype = tmp_path / "runs" / "studies" / "s" / "best_genotype.json"
    words = ["train", f"--genotype={genotype}", work, f"--tensorboard_dir={events}/t"]
    done = run_command(*words, f"--output={tmp_path}/t.json", *QUICK)
    assert done.code == 0, done.err
    (run,) = (events / "t").iterdir()
    trained = json.loads((tmp_path / "t.json").read_text())
    found = read(run)
    assert found["valid_accuracy"] == points(trained["curve"])
    assert found["test_accuracy"] == [(2, float(np.float32(trained["test_accuracy"])))]
    assert read_hparams(run)["parameters"] == result["num_params"]
    assert run_command(*words, *QUICK).code == 0  # finished: nothing is written twice
    assert read(run) == found


def test_a_folder_that_cannot_be_written_is_refused_at_once(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "file").touch()
    done = run_command("search", f"--tensorboard_dir={tmp_path}/file/x", f"--workdir={tmp_path}/w")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "--tensorboard_dir=" in done.err
    assert not (tmp_path / "w" / "history.db").exists()


def test_a_missing_library_is_named(
    run_command: Callable, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    for verb in ("search", "collect"):
        done = run_command(verb, f"--tensorboard_dir={tmp_path}/t", f"--workdir={tmp_path}/w")
        assert done.code == 2
        assert "make setup EXTRAS=tensorboard" in done.err
