"""Trainings that start from an earlier network."""

import json
import pathlib
from collections.abc import Callable

import pytest
from exported import GENOTYPE, SPACE, write_network

from xfernas_jax.history import Storage, default_storage_url
from xfernas_jax.space import PUBLISHED, write_genotype

SIZE = ["--dataset=digits", "--set=data.train_examples=256"]


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A network that tells digits apart; tests only read it."""
    return write_network(tmp_path_factory.mktemp("earlier"))


@pytest.mark.slow
def test_a_training_goes_on_from_an_earlier_network_and_is_another_training(
    run_command: Callable, earlier: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "genotype.json"
    write_genotype(file, SPACE, GENOTYPE)
    words = ["train", *SIZE, f"--genotype={file}", f"--workdir={tmp_path}", "--set=train.epochs=1"]
    values = []
    for more in ([], [f"--initial_variables={earlier}"]):
        done = run_command(*words, *more, f"--output={tmp_path}/result{len(more)}.json")
        assert done.code == 0, done.err
        assert ("arrays start from" in done.out) == bool(more)
        values.append(json.loads((tmp_path / f"result{len(more)}.json").read_text()))
    anew, further = (value["curve"][0] for value in values)
    assert further > anew + 0.1
    assert "starts anew" in done.out
    assert len(list((tmp_path / "trainings").iterdir())) == 2


@pytest.mark.slow
def test_a_search_tries_the_earlier_network_and_keeps_what_it_started_from(
    run_command: Callable, earlier: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    words = ["search", *SIZE, "--optimizer=random", "--sources=none", "--budget_evaluations=2"]
    words += [f"--workdir={tmp_path}", "--set=train.epochs=1", "--space=convnet", "--recipe=cpu"]
    words += ["--confirm_seeds=1", f"--initial_variables={earlier}"]
    done = run_command(*words)
    assert done.code == 0, done.err
    assert "that network is tried too" in done.out
    with Storage(default_storage_url(tmp_path)) as storage:
        (spec,) = storage.studies()
        first = storage.evaluations(spec.name)[0]
    assert SPACE.key(first.genotype) == SPACE.key(GENOTYPE)
    assert len(spec.config["recipe"]["train"]["initial"]) == 16
    again = run_command(*words)
    assert "This study is finished" in again.out
    export = ["export", f"--workdir={tmp_path}", "--evaluation=0", f"--output_dir={tmp_path}/out"]
    refused = run_command(*export)
    assert refused.code == 2
    assert "give the same --initial_variables" in refused.err
    exported = run_command(*export, words[-1])
    assert exported.code == 0, exported.err
    other = run_command(*words[:-1], "--dry_run")
    assert "recorded" not in other.out  # it is another study


def test_mistakes_are_one_line(
    run_command: Callable, earlier: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "genotype.json"
    write_genotype(file, SPACE, PUBLISHED["mobilenet_like"][1])
    words = ["train", *SIZE, f"--genotype={file}", f"--workdir={tmp_path}"]
    for more, said in (
        ([f"--initial_variables={tmp_path}"], "it has no variables.npz"),
        (["--set=train.initial=0"], "give --initial_variables=FOLDER instead"),
    ):
        done = run_command(*words, *more)
        assert done.code == 2
        assert said in done.err
        assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "trainings").exists()
