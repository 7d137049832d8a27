import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from jax import export

from xfernas_jax.history import Storage, default_storage_url
from xfernas_jax.space import get_space, read_genotype

SPACE = get_space("nasbench201")
QUICK = ["--set=train.epochs=1", "--set=data.train_examples=128", "--set=network.filters=4"]
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
    done = run_command("export", f"--workdir={searched}", f"--output_dir={folder}")
    assert done.code == 0, done.err
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
    assert "{" not in card
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
        storage.set_result("s", {**result_of(work), "test_accuracy": 0.999})
    folder = tmp_path / "taken" / "out"
    done = run_command("export", f"--workdir={work}", f"--output_dir={folder}")
    assert done.code == 2
    assert "0.999 is recorded" in done.err
    assert done.err.count("\n") == 1
    assert list(folder.parent.iterdir()) == []


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
