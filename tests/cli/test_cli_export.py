import dataclasses
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from jax import export

from xfernas_jax.data import load_dataset
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.history import Evaluation, Job, Result, Storage, StudySpec, default_storage_url
from xfernas_jax.history.metric import Metric
from xfernas_jax.space import get_space, read_genotype

SPACE = get_space("nasbench201")
QUICK = [
    "--space=nasbench201",
    "--set=train.epochs=1",
    "--set=data.train_examples=128",
    "--set=network.filters=4",
]
WITHOUT_US = """
import runpy, sys
sys.modules.update(dict.fromkeys(["xfernas_jax", "flax", "optax", "orbax"]))
runpy.run_path("reload.py", run_name="__main__")
"""


@pytest.fixture(scope="module")
def searched(run_command: Callable, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The work directory of a finished search; tests only read it."""
    work = tmp_path_factory.mktemp("searched")
    words = ["search", "--optimizer=random", "--budget_evaluations=2", "--confirm_seeds=1"]
    done = run_command(
        *words,
        "--sources=none",
        "--study=s",
        "--costs=flops",
        *QUICK,
        f"--workdir={work}",
    )
    assert done.code == 0, done.err
    return work


def record(
    work: pathlib.Path, evaluations: list[Evaluation], metric: Metric | None = None, **config: Any
) -> None:
    """Writes the record of a finished search of `digits`, without its variables."""
    recipe = get_recipe("cpu", ["train.epochs=1", "network.filters=4"])
    task = load_dataset("digits", recipe.data).task
    if metric is not None:
        task = dataclasses.replace(task, metric=metric)
    config = {"recipe": recipe.to_json(), **config}
    spec = StudySpec("s", "search", task, SPACE.name, "r", config)
    result = {
        "study": "s",
        "num_evaluations": len(evaluations),
        "num_confirmations": 0,
        "best_genotype": SPACE.to_json(evaluations[0].genotype),
        "best_valid_accuracy": 0.5,
        "test_accuracy": 0.5,
        "num_params": 10,
        "seconds": 1.0,
        "sources": [],
        "incumbent_curve": [0.5],
    }  # as 0.1.0 wrote it
    with Storage(default_storage_url(work)) as storage:
        storage.create_or_open(spec)
        for evaluation in evaluations:
            storage.append("s", evaluation)
        storage.set_result("s", result)


def evaluation(number: int, seed: int, purpose: Any = "search") -> Evaluation:
    genotype = SPACE.sample(np.random.default_rng(seed))
    job = Job(number, genotype, SPACE.key(genotype), seed, purpose)
    return Evaluation(job, Result("complete", 0.5, (0.5,)), "r")


def result_of(work: pathlib.Path) -> dict:
    return json.loads((work / "studies" / "s" / "result.json").read_text())


def reload(folder: pathlib.Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_US], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_best_network_reloads_at_its_score_without_us(
    run_command: Callable, searched: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "taken" / "away"
    words = ["export", f"--workdir={searched}", f"--output_dir={folder}"]
    has_onnx = importlib.util.find_spec("jax2onnx") is not None
    done = run_command(*words, *(["--format=onnx"] if has_onnx else []))
    assert done.code == 0, done.err
    assert (folder / "model.onnx").exists() == has_onnx
    result = result_of(searched)
    assert reload(folder) == f"test_accuracy: {result['test_accuracy']}\n"
    card = (folder / "model_card.md").read_text()
    for fact in (
        f"flops | {result['costs']['flops']:.6g}",
        f"{100 * result['test_accuracy']:.2f} %",
        f"{result['num_params']:,}",
        "digits",
    ):
        assert fact in card
    assert ("`model.onnx`" in card) == has_onnx
    assert "{" not in card.replace('{"images": images}', "")
    assert SPACE.to_json(read_genotype(folder / "genotype.json", SPACE)) == result["best_genotype"]
    assert [path.name for path in folder.parent.iterdir()] == ["away"]


@pytest.mark.slow
def test_the_program_takes_any_batch_and_depends_on_the_variables(
    run_command: Callable, searched: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "out"
    run_command("export", f"--workdir={searched}", f"--output_dir={folder}", "--evaluation=1")
    model = export.deserialize(bytearray((folder / "model.stablehlo").read_bytes()))
    variables = dict(np.load(folder / "variables.npz"))
    images = np.load(folder / "test.npz")["images"]
    logits = np.asarray(model.call(variables, images[:9]))
    for size in (1, 4):
        np.testing.assert_allclose(model.call(variables, images[:size]), logits[:size], atol=1e-4)
    zeros = {name: np.zeros_like(value) for name, value in variables.items()}
    assert not np.asarray(model.call(zeros, images[:4])).any()
    assert logits.any()


@pytest.mark.slow
def test_test_images_that_stay_behind_are_loaded_by_a_script(
    run_command: Callable, searched: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "out"
    words = ["export", f"--workdir={searched}", f"--output_dir={folder}", "--test_images=no"]
    assert run_command(*words).code == 0
    assert not (folder / "test.npz").exists()
    subprocess.run([sys.executable, folder / "load_test.py"], check=True, cwd=pathlib.Path.cwd())
    assert reload(folder) == f"test_accuracy: {result_of(searched)['test_accuracy']}\n"


@pytest.mark.slow
def test_a_network_that_misses_its_score_is_not_exported(
    run_command: Callable, searched: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    work = tmp_path / "w"
    shutil.copytree(searched, work)
    with Storage(default_storage_url(work)) as storage:
        storage.set_result("s", {**result_of(work), "test_value": 0.999})
    folder = tmp_path / "taken" / "out"
    done = run_command("export", f"--workdir={work}", f"--output_dir={folder}")
    assert done.code == 2
    assert "0.999 is recorded" in done.err
    assert done.err.count("\n") == 1
    assert list(folder.parent.iterdir()) == []


@pytest.mark.slow
def test_a_network_of_another_metric_reloads_at_its_value_without_us(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    words = ["search", "--optimizer=random", "--budget_evaluations=1", "--confirm_seeds=1"]
    words += ["--sources=none", "--study=s", "--metric=log_loss", *QUICK, f"--workdir={tmp_path}/w"]
    assert run_command(*words).code == 0
    folder = tmp_path / "out"
    done = run_command("export", f"--workdir={tmp_path}/w", f"--output_dir={folder}")
    assert done.code == 0, done.err
    name, _, value = reload(folder).partition(": ")
    assert name == "test_log_loss"
    assert float(value) == pytest.approx(result_of(tmp_path / "w")["test_value"], abs=1e-4)
    card = (folder / "model_card.md").read_text()
    assert "log loss; smaller is better" in card
    assert "accuracy" not in card


def test_a_number_that_two_evaluations_have_is_refused(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    record(tmp_path, [evaluation(0, 1), evaluation(1, 2), evaluation(1, 3)])
    words = ["export", f"--workdir={tmp_path}", f"--output_dir={tmp_path}/o"]
    done = run_command(*words, "--evaluation=1")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "has 2 evaluations of number --evaluation=1" in done.err


def test_a_confirming_training_has_no_number_to_export(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    record(tmp_path, [evaluation(0, 1), evaluation(1, 1, "confirm")])
    words = ["export", f"--workdir={tmp_path}", f"--output_dir={tmp_path}/o"]
    done = run_command(*words, "--evaluation=1")
    assert done.code == 2
    assert "has no complete evaluation --evaluation=1; it has 1" in done.err


def test_a_record_never_names_the_metric_code_that_runs(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    record(tmp_path, [evaluation(0, 1)], Metric("mine", "my metric"))
    done = run_command("export", f"--workdir={tmp_path}", f"--output_dir={tmp_path}/o")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "pass it as --metric=module:NAME" in done.err


def test_a_function_of_the_users_has_no_network(
    run_command: Callable, tmp_path: pathlib.Path
) -> None:
    record(tmp_path, [evaluation(0, 1)], objective="mine:f")
    done = run_command("export", f"--workdir={tmp_path}", f"--output_dir={tmp_path}/o")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "there is no network of ours to export" in done.err


@pytest.mark.slow
def test_mistakes_are_one_line_and_write_nothing(
    run_command: Callable, searched: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "there").mkdir()
    work = f"--workdir={searched}"
    for words, parts in (
        ([work], ["--output_dir"]),
        ([work, f"--output_dir={tmp_path / 'there'}"], ["exists already"]),
        ([work, f"--output_dir={tmp_path / 'o'}", "--study=x"], ["no study 'x'"]),
        ([work, f"--output_dir={tmp_path / 'o'}", "--evaluation=7"], ["--evaluation=7", "has 2"]),
        ([work, f"--output_dir={tmp_path / 'o'}", "--dataset=mnist_5k"], ["is of digits"]),
        ([f"--workdir={tmp_path / 'none'}", f"--output_dir={tmp_path / 'o'}"], ["none"]),
    ):
        done = run_command("export", *words)
        assert (done.code, done.err.count("\n")) == (2, 1), (words, done.err)
        for part in parts:
            assert part in done.err
    assert not (tmp_path / "o").exists()
