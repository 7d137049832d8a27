"""The verbs that show and change what is recorded."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xfernas_jax.cli import inputs
from xfernas_jax.history import (
    Evaluation,
    Job,
    Result,
    Storage,
    StudySpec,
    Task,
    choose_studies,
    default_storage_url,
    recorded_studies,
)
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
TARGET = Task("photos", "split", 3)


def record(work: pathlib.Path, name: str, sign: float = 1.0, **config: Any) -> None:
    """Records a collection of eight networks; its values grow with their numbers, or fall."""
    spec = StudySpec(name, "collect", Task("digits", "split", 10), "nasbench201", "r", config)
    with Storage(default_storage_url(work)) as storage:
        storage.create_or_open(spec)
        for number in range(8):
            genotype = SPACE.sample(np.random.default_rng(number))
            result = Result("complete", 0.5 + sign * number / 100, (0.1,), seconds=10.0)
            job = Job(number, genotype, SPACE.key(genotype), 0, "collect")
            storage.append(name, Evaluation(job, result, "r"))


def names(work: pathlib.Path) -> list[str]:
    with Storage(default_storage_url(work)) as storage:
        return [spec.name for spec in storage.studies()]


@pytest.fixture
def history(run_command: Callable, tmp_path: pathlib.Path) -> Callable[..., Any]:
    """Runs a verb of `history` on a record of studies `one` and `two`."""
    record(tmp_path, "one", seed=1)
    record(tmp_path, "two", -1.0, seed=2)
    return lambda *words: run_command("history", *words, f"--workdir={tmp_path}")


def refused(done: Any, *parts: str) -> None:
    assert done.code == 2, done.out + done.err
    assert done.err.count("\n") == 1, done.err
    for part in parts:
        assert part in done.err


def test_list_has_a_header_and_a_row_for_each_study(history: Callable) -> None:
    header, first, second = history("list").out.splitlines()
    assert header.split("\t")[:2] == ["study", "kind"]
    assert header.split("\t")[-2:] == ["confirmed", "tags"]
    assert first.split("\t") == [
        *("one", "collect", "digits", "nasbench201", "8", "57.00", "-", "-")
    ]
    assert second.split("\t")[5] == "50.00"


def test_show_says_what_a_study_is_and_found(history: Callable) -> None:
    shown = history("show", "one", "convnet-mnist").out
    rows = dict(line.split("  ", 1) for line in shown.split("\n\n")[0].splitlines())
    assert rows["study"].strip() == "one"
    assert rows["evaluations"].strip() == "8 complete"
    assert rows["best validation"].strip() == "57.00 %"
    assert rows["trained for"].strip() == "80 s"
    assert "seed=1" in rows["chosen"]
    assert "convnet-mnist (comes with the package)" in shown


def test_compare_says_what_differs_and_whether_networks_are_liked_alike(history: Callable) -> None:
    lines = history("compare", "one", "two").out.splitlines()
    assert lines[0] == "study\tone\ttwo"
    assert "best validation\t57.00 %\t50.00 %" in lines
    assert "seed\t1\t2" in lines
    assert not any(line.startswith("space") for line in lines)
    assert "8 networks in common, rank correlation -1.00" in lines[-1]
    few = history("compare", "one", "convnet-mnist").out
    assert "rank correlation" not in few
    refused(history("compare", "one"), "two studies or more")
    refused(history("show", "on"), "There is no study 'on'", "did you mean 'one'")


def test_a_renamed_study_keeps_all_it_holds(history: Callable, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / inputs.STUDIES
    (folder / "one").mkdir(parents=True)
    (folder / "one" / "result.json").write_text("{}")
    done = history("rename", "one", "first")
    assert done.code == 0, done.err
    assert names(tmp_path) == ["first", "two"]
    assert (folder / "first" / "result.json").is_file()
    assert "first\tcollect\tdigits\tnasbench201\t8" in history("list").out
    record(tmp_path, "first", seed=1)  # it goes on, and holds all of this
    assert "first\tcollect\tdigits\tnasbench201\t8" in history("list").out
    refused(history("rename", "first", "two"), "There is a study 'two' already")
    refused(history("rename", "first", "a/b"), "Study name 'a/b'")
    refused(history("rename", "nobody", "x"), "There is no study 'nobody'")
    refused(history("rename", "first"), "takes OLD and NEW")
    assert names(tmp_path) == ["first", "two"]


def test_what_learned_from_a_renamed_or_deleted_study_is_named(
    history: Callable, tmp_path: pathlib.Path
) -> None:
    config = {"optimizer": "xfer_nao", "source_studies": {"one": 8}}
    record(tmp_path, "learner", **config)
    assert "learner learned from one" in history("rename", "one", "first").out
    assert "learned from" not in history("delete", "first", "--yes").out


def test_a_study_is_deleted_by_those_who_mean_it(history: Callable, tmp_path: pathlib.Path) -> None:
    refused(history("delete", "one"), "one (8 evaluations)", "--yes")
    refused(history("delete", "one", "nobody", "--yes"), "There is no study 'nobody'")
    assert names(tmp_path) == ["one", "two"]
    done = history("delete", "one", "--yes")
    assert done.code == 0, done.err
    assert "Study one is deleted." in done.out
    assert names(tmp_path) == ["two"]
    record(tmp_path, "one", seed=3)  # the name is free
    assert len(names(tmp_path)) == 2


def test_a_study_that_is_tagged_as_no_source_teaches_only_who_names_it(
    history: Callable, tmp_path: pathlib.Path
) -> None:
    assert "one: no-source, old" in history("tag", "one", "no-source", "old").out
    assert history("list").out.splitlines()[1].endswith("\tno-source, old")
    with Storage(default_storage_url(tmp_path)) as storage:
        studies = recorded_studies(storage)
        for wanted, found in (("all", ["two"]), ("one", ["one"]), ("none", [])):
            chosen = choose_studies(studies, SPACE, TARGET, wanted)
            assert [study.spec.name for study in chosen] == found
    assert "one: old" in history("tag", "one", "no-source", "--remove").out
    refused(history("tag", "one", "new", "--remove"), "no tag 'new' to take away")
    refused(history("tag", "one", "a,b"), "is no tag")
    refused(history("tag", "one", ""), "is no tag")
    refused(history("tag"), "takes the name of a study")
    assert history("tag", "one").out == "one: old\n"
