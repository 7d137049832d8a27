import json
import pathlib
import signal
import subprocess
from collections.abc import Callable

import pytest

from xfernas_jax.history import Storage, default_storage_url
from xfernas_jax.history.record import Evaluation
from xfernas_jax.space import get_space

HERE = str(pathlib.Path(__file__).parent)  # the folder of the user's module
SPACE = "--space=objective_cases:SPACE"
BEST = {"space": "four_letters", "values": {f"p{i}": "a" for i in range(4)}}


def recorded(work: pathlib.Path, study: str) -> list[Evaluation]:
    get_space("objective_cases:SPACE")
    with Storage(default_storage_url(work), create=False) as storage:
        return list(storage.evaluations(study))


def words(command: str, function: str, work: pathlib.Path, *more: str) -> list[str]:
    objective = f"--objective=objective_cases:{function}"
    return [command, objective, SPACE, f"--workdir={work}", "--study=mine", *more]


@pytest.mark.slow
def test_a_search_by_an_objective_prints_scores_and_no_percent(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    flags = ["--optimizer=evolution", "--budget_evaluations=40", f"--output={tmp_path}/o.json"]
    done = run_command(*words("search", "distance", tmp_path, *flags))
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "o.json").read_text())
    found = recorded(tmp_path, "mine")
    best = max(e.value for e in found if e.value is not None)
    assert len(found) == result["num_evaluations"] == len(result["incumbent_curve"]) == 40
    assert result["best_value"] == best == result["incumbent_curve"][-1]
    assert result["metric"] == "score"
    assert result["test_value"] is None
    assert not {"best_valid_accuracy", "test_accuracy"} & set(result)
    assert result["num_confirmations"] == 0
    assert "%" not in done.out
    assert f"score {best:>8.6g}" in done.out
    assert f"{best:.6g} (its one evaluation" in done.out
    again = run_command(*words("search", "distance", tmp_path, *flags))
    assert again.code == 0, again.err
    assert "This study is finished" in again.out
    listed = run_command("history", "list", SPACE, f"--workdir={tmp_path}")
    assert listed.out.splitlines()[-1].endswith(f"\t40\t{best:.6g}\t-\t-")
    taken = run_command("export", SPACE, f"--workdir={tmp_path}", f"--output_dir={tmp_path}/e")
    assert taken.code == 2
    assert "there is no network of ours to export" in taken.err


@pytest.mark.slow
def test_an_objective_that_goes_to_another_folder_leaves_all_results_in_one(
    run_command: Callable, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["--optimizer=random", "--budget_evaluations=3", "--output=o.json"]
    done = run_command(*words("search", "wanders", pathlib.Path("runs"), *flags))
    assert done.code == 0, done.err
    assert pathlib.Path.cwd() == tmp_path
    assert (tmp_path / "o.json").is_file()
    assert (tmp_path / "runs" / "studies" / "mine" / "result.json").is_file()


def test_a_failing_objective_does_not_end_the_search(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    flags = ["--optimizer=random", "--budget_evaluations=24", f"--output={tmp_path}/o.json"]
    done = run_command(*words("search", "fragile", tmp_path, *flags))
    assert done.code == 0, done.err
    found = recorded(tmp_path, "mine")
    by_first: dict[str, set[str]] = {}
    for evaluation in found:
        reason = evaluation.result.failure.partition(" at objective_cases.py:")[0]
        by_first.setdefault(evaluation.genotype.values[0], set()).add(reason.split(". ")[0])
    finite = "objective_cases:fragile returns a finite number"
    exits = "SystemExit"
    assert by_first == {"a": {"ValueError"}, "b": {finite}, "c": {exits}, "d": {""}}
    (reason,) = {e.result.failure for e in found if e.genotype.values[0] == "a"}
    assert reason.endswith(": p0 is a\\x1b[31m")
    curve = json.loads((tmp_path / "o.json").read_text())["incumbent_curve"]
    first = next(i for i, e in enumerate(found) if e.value is not None)
    assert curve[:first] == [None] * first
    assert all(value <= -100.0 for value in curve[first:])


def test_an_objective_that_always_fails_is_one_line(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    flags = ["--optimizer=random", "--budget_evaluations=3"]
    done = run_command(*words("search", "broken", tmp_path, *flags))
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "KeyError at objective_cases.py:" in done.err


def test_finalists_are_scored_again_where_the_objective_takes_a_seed(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    flags = ["--optimizer=random", "--budget_evaluations=6", f"--output={tmp_path}/o.json"]
    done = run_command(*words("search", "twice_the_distance", tmp_path, *flags))
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "o.json").read_text())
    confirmed = [e for e in recorded(tmp_path, "mine") if e.purpose == "confirm"]
    assert len(confirmed) == result["num_confirmations"] == 9
    values = [e.value for e in confirmed]
    means = [sum(v for v in values[i : i + 3] if v is not None) / 3 for i in range(0, 9, 3)]
    assert result["best_value"] == pytest.approx(max(means))
    assert [f["mean"] for f in result["finalists"]] == pytest.approx(means)
    assert "(mean over 3 seeds)" in done.out
    assert f"too: at most {result['selection_bias']:.6g} too good" in done.out


@pytest.mark.slow
def test_a_second_objective_learns_from_the_study_of_the_first(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    flags = ["--num_architectures=60"]
    made = run_command(*words("collect", "distance", tmp_path, *flags))
    assert made.code == 0, made.err
    flags = ["--budget_evaluations=4", f"--output={tmp_path}/o.json", "--study=second"]
    done = run_command(*words("search", "twice_the_distance", tmp_path, *flags))
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "o.json").read_text())
    assert result["sources"] == ["objective:objective_cases:distance@objective"]
    # 4 random ones include one of the best 5 of 256 with a probability below 8 %.
    assert result["best_value"] > -2.0 - 0.01
    assert result["best_genotype"]["space"] == "four_letters"


@pytest.mark.slow
def test_an_interrupted_search_goes_on(run_command: Callable, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OBJECTIVE_CALLS", str(tmp_path / "calls"))
    flags = ["--optimizer=evolution", "--budget_evaluations=8"]
    stopped = run_command(*words("search", "stops_once", tmp_path / "a", *flags))
    assert stopped.code == 130
    assert len(recorded(tmp_path / "a", "mine")) == 3
    assert run_command(*words("search", "stops_once", tmp_path / "a", *flags)).code == 0
    assert run_command(*words("search", "stops_once", tmp_path / "b", *flags)).code == 0
    broken, whole = (recorded(tmp_path / name, "mine") for name in "ab")
    assert [e.genotype for e in broken] == [e.genotype for e in whole]
    assert [e.value for e in broken] == [e.value for e in whole]


@pytest.mark.slow
def test_a_killed_search_by_an_objective_goes_on_as_if_unbroken(
    start_process: Callable[..., subprocess.Popen], tmp_path: pathlib.Path
) -> None:
    flags = ["--optimizer=evolution", "--budget_evaluations=10", "--batch_size=4"]
    path = {"PYTHONPATH": HERE}
    broken = words("search", "slow", tmp_path / "broken", *flags)
    process = start_process(*broken, **path)
    lines = []
    while "search 5/10" not in (lines or [""])[-1]:
        assert process.stdout is not None
        lines.append(process.stdout.readline())
        assert lines[-1], process.communicate()[1]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 5 <= len(recorded(tmp_path / "broken", "mine")) < 10
    for work in (broken, words("search", "slow", tmp_path / "whole", *flags)):
        process = start_process(*work, **path)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    one, other = (recorded(tmp_path / name, "mine") for name in ("broken", "whole"))
    assert [e.genotype for e in one] == [e.genotype for e in other]
    assert [e.value for e in one] == [e.value for e in other]


def test_a_history_of_scores_travels(run_command: Callable, tmp_path: pathlib.Path) -> None:
    made = run_command(*words("collect", "fragile", tmp_path / "a", "--num_architectures=8"))
    assert made.code == 0, made.err
    file = f"--file={tmp_path}/h.jsonl"
    out = run_command("history", "export", SPACE, "--study=mine", file, f"--workdir={tmp_path}/a")
    assert out.code == 0, out.err
    into = run_command("history", "import", SPACE, file, f"--workdir={tmp_path}/b")
    assert into.code == 0, into.err
    assert recorded(tmp_path / "a", "mine") == recorded(tmp_path / "b", "mine")


@pytest.mark.parametrize(
    ("function", "flag", "message"),
    [
        ("distance", "--dataset=digits", "--dataset is about trainings of ours"),
        ("distance", "--recipe=cpu", "--recipe is about trainings of ours"),
        ("distance", "--set=train.epochs=1", "--set is about trainings of ours"),
        ("distance", "--early_stop=median", "--early_stop is about trainings of ours"),
        ("distance", "--max_params=10", "--max_params is about trainings of ours"),
        ("distance", "--executor=ray", "--executor is about trainings of ours"),
        ("nothing", "--seed=1", "must be a function from an architecture to a number"),
        ("NOT_A_FUNCTION", "--seed=1", "must be a function from an architecture to a number"),
        ("two_arguments", "--seed=1", "it needs genotype, budget"),
        ("no:way", "--seed=1", "is module:NAME"),
    ],
)
def test_what_does_not_fit_an_objective_is_one_line(
    run_command: Callable, tmp_path: pathlib.Path, function: str, flag: str, message: str
) -> None:
    done = run_command(*words("search", function, tmp_path, flag))
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert message in done.err
    assert not (tmp_path / "history.db").exists()


def test_train_takes_no_objective(run_command: Callable, tmp_path: pathlib.Path) -> None:
    done = run_command("train", "--objective=objective_cases:distance", f"--workdir={tmp_path}")
    assert done.code == 2
    assert "--objective is for `search`, `collect`; `train` does not use it" in done.err


def test_an_objective_without_a_module_is_one_line(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    done = run_command("search", "--objective=not_there:f", f"--workdir={tmp_path}")
    assert done.code == 2
    assert "Objective 'not_there:f': module 'not_there' cannot be imported" in done.err
