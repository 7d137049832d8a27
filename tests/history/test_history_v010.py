"""A record of version 0.1.0 must stay readable: a SQLite file and JSON Lines exports of it.

`v010/` holds what `run.py` of 0.1.0 (commit dd136e2) wrote, with tiny recipes: searches that are
finished (`search_done` with sources, `costs`, `early_stop`, `early_stop_resumed` in which one that
was stopped went on, `objective`, `pareto`, `two_cell`), one that was killed in its second round
(`unfinished`), and two collections (`collection` with repeated trainings, `diverged` in which all
failed). The leases were cleared, as they name a host.
`v010/facts.json` is what 0.1.0 itself said of each study; under `continued_with_budget_10` are the
evaluations with which 0.1.0 ended `unfinished` by the command `CONTINUED`, where --space
was left out.

Names of today's interface stand in the helpers at the top alone.
"""

import collections
import dataclasses
import gzip
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from command import Done

from xfernas_jax.history import Evaluation, Storage, StudySpec, default_storage_url, read_jsonl

FOLDER = pathlib.Path(__file__).parent / "v010"
FACTS: dict[str, dict[str, Any]] = json.loads((FOLDER / "facts.json").read_text())
STUDIES = sorted(FACTS)
REPORTED = ("unfinished", "search_done", "objective")
CONTINUED = (
    "search --dataset=digits --space=nasbench201 --study=unfinished --optimizer=xfer_nao "
    "--sources=collection --seed=3 --batch_size=4 --budget_evaluations=10 --confirm_seeds=1 "
    "--set=train.epochs=2 --set=data.train_examples=128 --set=network.filters=4"
)


def value_of(evaluation: Evaluation) -> float | None:
    return evaluation.value


def cost_names(evaluation: Evaluation) -> set[str]:
    return set(evaluation.costs)


def comparable(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Returns them with pairs in one order: a file of 0.1.0 sorts them, the database does not."""
    results = [e.result for e in evaluations]
    return [
        dataclasses.replace(
            e,
            result=dataclasses.replace(
                r, versions=tuple(sorted(r.versions)), costs=tuple(sorted(r.costs))
            ),
        )
        for e, r in zip(evaluations, results, strict=True)
    ]


def about(spec: StudySpec) -> dict[str, Any]:
    return {
        "kind": spec.kind,
        "dataset": spec.task.dataset,
        "num_classes": spec.task.num_classes or 0,  # which 0.1.0 said of a function
        "space": spec.space,
        "recipe": spec.recipe,
        "metric": spec.task.metric.name,
    }


def counted(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    explored = [e for e in evaluations if e.purpose != "confirm"]
    values = [value for value in map(value_of, explored) if value is not None]
    return {
        "num_by_status": dict(collections.Counter(e.status for e in evaluations)),
        "num_by_purpose": dict(collections.Counter(e.purpose for e in evaluations)),
        "best_value": max(values, default=None),
        "costs": sorted(set().union(*map(cost_names, evaluations))),
    }


@pytest.fixture
def workdir(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with a copy of the record."""
    (tmp_path / "history.db").write_bytes(gzip.decompress((FOLDER / "history.db.gz").read_bytes()))
    return tmp_path


@pytest.fixture
def storage(workdir: pathlib.Path) -> Iterator[Storage]:
    with Storage(default_storage_url(workdir), create=False) as opened:
        yield opened


def facts_of(name: str, keys: Sequence[str]) -> dict[str, Any]:
    return {key: FACTS[name][key] for key in keys}


def test_the_studies_are_found_as_they_were_described(storage: Storage) -> None:
    found = {spec.name: about(spec) for spec in storage.studies()}
    assert found == {name: facts_of(name, list(found[name])) for name in FACTS}


@pytest.mark.parametrize("name", STUDIES)
def test_the_evaluations_of_a_study_are_all_read(name: str, storage: Storage) -> None:
    found = counted(storage.evaluations(name))
    assert found == facts_of(name, list(found))


@pytest.mark.parametrize("name", STUDIES)
def test_an_export_holds_what_the_database_holds(name: str, storage: Storage) -> None:
    spec, evaluations = read_jsonl(FOLDER / f"{name}.jsonl")
    assert spec == storage.spec(name)
    assert comparable(evaluations) == comparable(storage.evaluations(name))


@pytest.mark.parametrize("name", STUDIES)
def test_the_result_is_the_recorded_one(name: str, storage: Storage) -> None:
    wanted = FACTS[name]["result"]
    result = storage.result(name)
    assert (result is None) == (wanted is None)
    assert wanted is None or {key: (result or {}).get(key) for key in wanted} == wanted


def test_history_list_shows_the_lines_that_it_showed(
    workdir: pathlib.Path, run_command: Callable[..., Done]
) -> None:
    done = run_command("history", "list", f"--workdir={workdir}")
    assert (done.code, done.err) == (0, "")
    header, *lines = done.out.splitlines()
    assert header.startswith("study\tkind")
    # Two columns came later: confirmed, tags.
    shown = ["\t".join(line.split("\t")[:-2]) for line in lines]
    assert shown == [fact["list_line"] for fact in FACTS.values()]


@pytest.mark.parametrize("name", STUDIES)
def test_an_export_of_today_holds_the_same_evaluations(
    name: str, workdir: pathlib.Path, run_command: Callable[..., Done]
) -> None:
    file = workdir / "export.jsonl"
    done = run_command(
        "history", "export", f"--workdir={workdir}", f"--study={name}", f"--file={file}"
    )
    assert (done.code, done.err) == (0, "")
    spec, evaluations = read_jsonl(file)
    old_spec, old_evaluations = read_jsonl(FOLDER / f"{name}.jsonl")
    assert spec == old_spec
    assert comparable(evaluations) == comparable(old_evaluations)


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTED)
def test_a_search_is_reported(
    name: str, workdir: pathlib.Path, run_command: Callable[..., Done]
) -> None:
    done = run_command("report", f"--workdir={workdir}", f"--study={name}")
    assert (done.code, done.err) == (0, "")


@pytest.mark.slow
def test_a_killed_search_goes_on_with_what_it_has(
    workdir: pathlib.Path, run_command: Callable[..., Done]
) -> None:
    _, before = read_jsonl(FOLDER / "unfinished.jsonl")
    done = run_command(*CONTINUED.split(), f"--workdir={workdir}")
    assert (done.code, done.err) == (0, "")
    with Storage(default_storage_url(workdir)) as storage:
        after = storage.evaluations("unfinished")
    assert comparable(after[: len(before)]) == comparable(before)
    assert sorted(e.number for e in after if e.purpose == "search") == list(range(10))
