import json
import pathlib
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable

import jax
import numpy as np
import pytest

from xfernas_jax.history import Storage, default_storage_url
from xfernas_jax.space import get_space, write_genotype
from xfernas_jax.space.nasbench201 import TopologyCell
from xfernas_jax.train.checkpoint import VariablesStore

SPACE = get_space("nasbench201")
CELL = TopologyCell(("nor_conv_1x1", "none", "identity", "none", "none", "identity"))
QUICK = [
    "--space=nasbench201",
    "--set=train.epochs=1",
    "--set=data.train_examples=128",
    "--set=network.filters=4",
]
SEARCH = [*QUICK, "--confirm_seeds=1"]
RESULT_FIELDS = {
    "study",
    "dataset",
    "metric",
    "space",
    "optimizer",
    "sources",
    "num_evaluations",
    "num_confirmations",
    "best_genotype",
    "best_value",
    "test_value",
    "best_valid_accuracy",
    "test_accuracy",
    "finalists",
    "selection_bias",
    "num_params",
    "seconds",
    "incumbent_curve",
}


def evaluations(work: pathlib.Path, study: str) -> list[tuple]:
    with Storage(default_storage_url(work), create=False) as storage:
        return [
            (SPACE.key(e.genotype), e.seed, e.purpose, e.value) for e in storage.evaluations(study)
        ]


def num_recorded(work: pathlib.Path) -> int:
    try:
        with sqlite3.connect(f"file:{work}/history.db?mode=ro", uri=True) as database:
            return database.execute("select count(*) from trials").fetchone()[0]
    except sqlite3.Error:
        return 0


def wait_for(process: subprocess.Popen, reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 180
    while not reached() and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_search_writes_its_result_and_collect_gives_it_a_source(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    work, file = f"--workdir={tmp_path}", tmp_path / "out" / "best.json"
    done = run_command("collect", "--dataset=mnist_5k", "--num_architectures=3", work, *QUICK)
    assert done.code == 0
    words = ["search", "--budget_evaluations=3", "--batch_size=2", work, *SEARCH]
    words += ["--set=network.num_cells=1", "--study=mine", f"--output={file}"]
    done = run_command(*words, "--encoder=lstm")
    assert done.code == 0, done.err
    result = json.loads(file.read_text())
    assert set(result) >= RESULT_FIELDS
    assert result["num_evaluations"] == len(result["incumbent_curve"]) == 3
    assert any(name.startswith("mnist_5k@") for name in result["sources"])
    assert result["relations"]["names"] == ["target", *sorted(result["sources"])]
    assert json.dumps(result["best_genotype"]) in done.out  # in one piece, to be copied
    best = [e for e in evaluations(tmp_path, "mine") if e[2] == "confirm"]
    assert result["best_value"] == max(e[3] for e in best) == result["best_valid_accuracy"]
    assert result["test_value"] == result["test_accuracy"]
    assert sorted(v for f in result["finalists"] for v in f["values"]) == sorted(e[3] for e in best)

    folder = tmp_path / "studies" / "mine"
    kept = VariablesStore(folder / "variables").load(result["variables"])
    assert kept is not None
    assert sum(x.size for x in jax.tree.leaves(kept["params"])) == result["num_params"]

    assert run_command("report", work, "--study=mine").code == 0
    cost = (folder / "report" / "data" / "cost.csv").read_text().splitlines()
    spent = next(float(line.split(",")[-1]) for line in cost if line.startswith("this study"))
    assert spent == pytest.approx(result["seconds"] * result["devices_per_evaluation"])
    assert "mnist_5k" in (folder / "report" / "data" / "source_weights.csv").read_text()

    again = run_command(*words, "--encoder=lstm")
    assert again.code == 0
    assert "finished" in again.out
    assert json.loads(file.read_text()) == result


@pytest.mark.slow
def test_an_exported_history_is_the_same_after_import(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    first, second, file = tmp_path / "a", tmp_path / "b", tmp_path / "h.jsonl"
    made = run_command(
        "collect", "--study=s", "--num_architectures=2", "--seed=5", f"--workdir={first}", *QUICK
    )
    assert made.code == 0
    done = run_command("history", "export", "--study=s", f"--file={file}", f"--workdir={first}")
    assert done.code == 0
    provenance = json.loads(file.read_text().splitlines()[0])["provenance"]
    assert provenance["command"].startswith("python run.py collect --space=nasbench201 --set=")
    assert "--seed=5" in provenance["command"]
    assert str(tmp_path) not in file.read_text()
    assert run_command("history", "import", f"--file={file}", f"--workdir={second}").code == 0
    assert evaluations(second, "s") == evaluations(first, "s")
    assert "s\tcollect\tdigits" in run_command("history", "list", f"--workdir={second}").out


@pytest.mark.slow
def test_reuse_target_starts_from_what_is_known_of_the_task(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    work = f"--workdir={tmp_path}"
    shared = ["--sources=s", "--optimizer=random", "--budget_evaluations=2", work, *SEARCH]
    made = run_command("collect", "--study=s", "--num_architectures=2", work, *QUICK)
    assert made.code == 0
    done = run_command("search", "--study=t", "--reuse_target", *shared)
    assert done.code == 0, done.err
    assert "Earlier studies of this task: 2 evaluations" in done.out
    known = {e[0] for e in evaluations(tmp_path, "s")}
    searched = {e[0] for e in evaluations(tmp_path, "t") if e[2] == "search"}
    confirmed = {e[0] for e in evaluations(tmp_path, "t") if e[2] == "confirm"}
    assert not known & searched
    assert confirmed <= known | searched
    assert len(confirmed) == 3


@pytest.mark.slow
def test_a_search_that_goes_on_keeps_the_sources_it_began_with(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    work = f"--workdir={tmp_path}"
    words = ["search", "--optimizer=random", "--batch_size=1", work, *SEARCH]
    first = run_command(*words, "--budget_evaluations=1", "--study=mine")
    assert first.code == 0
    before = sources_of(tmp_path, "mine")
    added = run_command("collect", "--dataset=mnist_5k", "--num_architectures=1", work, *QUICK)
    assert added.code == 0
    more = run_command(*words, "--budget_evaluations=2", "--study=mine")
    assert more.code == 0
    assert "Sources are those that the study began with" in more.out
    assert sources_of(tmp_path, "mine") == before
    other = run_command(*words, "--budget_evaluations=1", "--study=later")
    assert other.code == 0
    assert len(sources_of(tmp_path, "later")) == len(before) + 1


def sources_of(work: pathlib.Path, study: str) -> list[str]:
    with Storage(default_storage_url(work)) as storage:
        result = storage.result(study)
    assert result is not None
    return result["sources"]


@pytest.mark.slow
@pytest.mark.repeat(
    "search/test_search_search.py::test_a_search_stopped_anywhere_goes_on_as_if_unbroken"
)
def test_killed_searches_go_on_as_if_unbroken(
    start_process: Callable[..., subprocess.Popen], tmp_path: pathlib.Path
) -> None:
    words = ["search", "--optimizer=evolution", "--budget_evaluations=5", "--batch_size=2"]
    words += ["--sources=none", "--study=s", *QUICK]
    words += ["--set=data.train_examples=1024", "--set=train.epochs=3", "--confirm_seeds=3"]
    whole = start_process(*words, f"--workdir={tmp_path / 'whole'}")
    _, err = whole.communicate(timeout=300)
    assert whole.returncode == 0, err
    broken = tmp_path / "broken"
    for count, kind in ((1, signal.SIGKILL), (3, signal.SIGINT), (6, signal.SIGKILL)):  # of 14
        process = start_process(*words, f"--workdir={broken}")
        wait_for(process, lambda wanted=count: num_recorded(broken) >= wanted)
        process.send_signal(kind)
        _, err = process.communicate(timeout=60)
        assert process.returncode in (-signal.SIGKILL, 130), err
        assert "Traceback" not in err
    last = start_process(*words, f"--workdir={broken}", f"--output={tmp_path / 'o.json'}")
    _, err = last.communicate(timeout=300)
    assert last.returncode == 0, err
    assert evaluations(broken, "s") == evaluations(tmp_path / "whole", "s")
    with Storage(default_storage_url(tmp_path / "whole")) as storage:
        result = storage.result("s")
    assert result is not None
    found = json.loads((tmp_path / "o.json").read_text())
    for field in RESULT_FIELDS - {"seconds"}:
        assert found[field] == result[field], field


def latest_checkpoint(work: pathlib.Path) -> int:
    """Returns the steps done at the latest checkpoint of a work folder's only training."""
    return max(
        (int(p.name) for p in work.glob("trainings/*/checkpoints/*") if p.name.isdigit()), default=0
    )


@pytest.mark.slow
@pytest.mark.repeat(
    "train/test_train_interrupt.py::"
    "test_an_interrupted_training_ends_with_the_bits_of_an_unbroken_one"
)
def test_a_training_broken_by_signals_ends_with_the_bits_of_an_unbroken_one(
    start_process: Callable[..., subprocess.Popen], tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "genotype.json"
    write_genotype(file, SPACE, CELL)
    words = ["train", f"--genotype={file}", "--set=train.epochs=24", "--set=network.filters=4"]
    words += ["--set=network.dropout_keep=0.8", "--set=data.train_examples=512"]
    results = []
    for name, breaks in (("whole", ()), ("broken", ("SIGKILL", "SIGTERM", "SIGTERM"))):
        work = tmp_path / name
        for kind in (signal.Signals[b] for b in breaks):
            before = latest_checkpoint(work)
            process = start_process(*words, f"--workdir={work}")
            wait_for(process, lambda w=work, b=before: latest_checkpoint(w) > b)
            process.send_signal(kind)
            _, err = process.communicate(timeout=60)
            if kind == signal.SIGKILL:
                assert process.returncode == -signal.SIGKILL
            else:
                assert process.returncode == 128 + signal.SIGTERM
                assert err.startswith("run.py: SIGTERM: Interrupted and saved in epoch")
                assert err.count("\n") == 1
        process = start_process(*words, f"--workdir={work}")
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert ("Going on after epoch" in out) == bool(breaks)
        (folder,) = (work / "trainings").iterdir()
        results.append((json.loads((folder / "result.json").read_text()), folder))
    (whole, whole_folder), (broken, broken_folder) = results
    for field in ("curve", "losses", "valid_value", "test_value"):
        assert whole[field] == broken[field]
    first, second = (VariablesStore(f).load("variables") for f in (whole_folder, broken_folder))
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.slow
def test_a_last_training_uses_the_validation_images_and_reports_none(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "genotype.json"
    write_genotype(file, SPACE, CELL)
    words = ["train", f"--genotype={file}", f"--workdir={tmp_path}", "--set=train.epochs=1"]
    words += ["--set=network.filters=4", "--set=data.train_examples=128"]
    words += ["--set=data.valid_examples=64", "--set=train.eval_batch_size=100"]
    results = []
    for more in ([], ["--set=data.valid_in_train=true"]):
        output = tmp_path / "result.json"
        done = run_command(*words, *more, f"--output={output}")
        assert done.code == 0, done.err
        results.append((json.loads(output.read_text()), done.out))
    (apart, _), (joined, out) = results
    assert apart["valid_value"] == apart["valid_accuracy"] == apart["curve"][-1]
    assert (joined["valid_value"], joined["curve"]) == (None, [])
    assert len(joined["losses"]) == 1
    assert joined["losses"] != apart["losses"]  # 192 images instead of 128
    assert "none: those images were trained on" in out
    assert "fitted" in out
    again = run_command(*words, "--set=data.valid_in_train=true")
    assert "This training is finished" in again.out
