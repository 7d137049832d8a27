"""History files and what a database holds: the evaluations that are really there, or one line."""

import dataclasses
import gzip
import json
import pathlib
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from hostile_guard import Bait, cases, refused, sandbox
from hostile_values import damaged, mutated, to_text
from hypothesis import example, given
from hypothesis import strategies as st

from xfernas_jax.history import (
    Evaluation,
    Job,
    Metric,
    Result,
    Storage,
    StudySpec,
    Task,
    append_all,
    read_jsonl,
    study_summaries,
    write_jsonl,
)
from xfernas_jax.history.serialize import evaluation_to_json, spec_to_json
from xfernas_jax.space import SPACES

SPACE = SPACES["nasbench201"]
MARGIN = Metric("margin", "margin", "dB", high=10.0, maximize=False)
SPEC = StudySpec(
    *("study", "collect", Task("digits", "60/20/20", 10, MARGIN), SPACE.name, "recipe01"),
    config={"seed": 1, "sizes": [8, 16]},
    version="0.2.0",
)


def make_evaluation(number: int, **changes: Any) -> Evaluation:
    genotype = SPACE.sample(np.random.default_rng(number))
    job = Job(number, genotype, SPACE.key(genotype), number, after=number, predicted=-0.5)
    values: dict[str, Any] = {
        "status": "complete",
        "value": 0.5,
        "curve": (0.25, 0.5),
        "costs": (("params", 1000.0), ("latency_ms", 0.25)),
        "seconds": 1.5,
        "versions": (("jax", "0.10.2"),),
    }
    return Evaluation(job, Result(**values | changes), "recipe01")


EVALUATIONS = (
    make_evaluation(0),
    make_evaluation(1, status="failed", value=None, failure="The loss is not finite."),
    make_evaluation(2, status="stopped", value=None),
    make_evaluation(3, status="broken", value=None, curve=(), runtime="remat=False"),
    make_evaluation(4, value=-7.5),
)
HEADER = {
    "format": "xfernas_jax history",
    "version": 2,
    "num_evaluations": len(EVALUATIONS),
    "spec": spec_to_json(SPEC),
    "provenance": {"command": "run.py collect", "date": "2026-11-24"},
}
ROWS = [HEADER, *(evaluation_to_json(SPACE, evaluation) for evaluation in EVALUATIONS)]
OLD_TASK = {"dataset": "digits", "split": "60/20/20", "num_classes": 0}
OLD_ROWS = [
    {
        **HEADER,
        "version": 1,
        "num_evaluations": 1,
        "spec": {
            **{name: ROWS[0]["spec"][name] for name in ("name", "space", "recipe")},
            **{"kind": "search", "task": OLD_TASK, "config": {"batch_size": 4}},
        },
    },
    {
        **{name: ROWS[1][name] for name in ROWS[1] if name not in ("after", "value", "runtime")},
        **{"round_index": 3, "valid_accuracy": -7.5, "num_params": 1000, "metric": "score"},
    },
]
"""As xfernas_jax 0.1.0 wrote them."""


@st.composite
def changed_rows(draw: st.DrawFn) -> str:
    """Draws a history, of today or of 0.1.0, of which one line is changed."""
    valid = draw(st.sampled_from([ROWS, ROWS, OLD_ROWS]))
    place = draw(st.integers(0, len(valid) - 1))
    rows = [to_text(row) for row in valid]
    rows[place] = to_text(draw(mutated(valid[place])))
    return "".join(f"{row}\n" for row in rows)


def check_read(file: pathlib.Path, empty: pathlib.Path) -> None:
    """Reads a file; what it gives must survive a file and a database of its own."""
    was_refused, found = refused(lambda: read_jsonl(file))
    if was_refused:
        return
    copy = file.with_name("copy.jsonl")
    write_jsonl(copy, *found)
    assert read_jsonl(copy) == found
    shutil.copy(empty, file.with_name("history.db"))
    with Storage(f"sqlite:///{file.with_name('history.db')}") as storage:
        append_all(storage, *found)
        assert storage.evaluations(found[0].name) == found[1]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A database without a study, for cases to copy: to make one takes a second."""
    file = tmp_path_factory.mktemp("empty") / "history.db"
    with Storage(f"sqlite:///{file}"):
        return file


@pytest.mark.slow
@cases(250)
@given(changed_rows())
def test_a_changed_history_is_read_right_or_refused(empty: pathlib.Path, text: str) -> None:
    with sandbox() as work:
        (work / "changed.jsonl").write_text(text)
        check_read(work / "changed.jsonl", empty)


@pytest.mark.slow
@cases(80)
@given(damaged("".join(f"{json.dumps(row)}\n" for row in ROWS).encode()), st.booleans())
def test_damaged_bytes_are_read_right_or_refused(
    empty: pathlib.Path, data: bytes, is_compressed: bool
) -> None:
    with sandbox() as work:
        file = work / ("damaged.jsonl.gz" if is_compressed else "damaged.jsonl")
        file.write_bytes(gzip.compress(data, mtime=0) if is_compressed else data)
        check_read(file, empty)


@pytest.mark.slow
@cases(40)
@given(changed_rows())
def test_import_answers_a_changed_history_in_one_line(
    command: Callable, empty: pathlib.Path, text: str
) -> None:
    with sandbox() as work:
        (work / "changed.jsonl").write_text(text)
        if refused(lambda: read_jsonl(work / "changed.jsonl"))[0]:
            shutil.copy(empty, work / "history.db")
            command("history", "import", f"--file={work}/changed.jsonl", f"--workdir={work}")
            with Storage(f"sqlite:///{work}/history.db") as storage:
                assert storage.studies() == ()


def test_an_object_of_many_names_is_refused_in_bounded_time(tmp_path: pathlib.Path) -> None:
    names = ",".join(f'"{number}":0' for number in range(400_000))
    (tmp_path / "wide.jsonl").write_text(f'{{{names},"x":0,"x":0}}\n')
    assert refused(lambda: read_jsonl(tmp_path / "wide.jsonl"))[0]


def test_a_configuration_of_any_depth_is_kept_or_refused(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "deep.jsonl"
    for depth in range(1, 1000):
        header = {**HEADER, "num_evaluations": 0, "spec": {**ROWS[0]["spec"], "config": {"a": "@"}}}
        text = json.dumps(header).replace('"@"', "[" * depth + "]" * depth)
        file.write_text(f"{text}\n")
        was_refused, found = refused(lambda: read_jsonl(file))
        assert was_refused == (depth > 97)  # within header, spec and config
        if not was_refused:
            write_jsonl(tmp_path / "copy.jsonl", *found)


@pytest.mark.parametrize("name", ["[/red].jsonl", ":boom:.jsonl", "{0}%s.jsonl"])
def test_a_file_of_any_name_is_imported_and_named(
    run_command: Callable, name: str, tmp_path: pathlib.Path
) -> None:
    write_jsonl(tmp_path / name, SPEC, EVALUATIONS)
    done = run_command("history", "import", f"--file={tmp_path}/{name}", f"--workdir={tmp_path}")
    assert (done.code, done.err) == (0, "")
    assert name in done.out


@pytest.mark.slow
@pytest.mark.parametrize("studies", ["x", [1], 7, {"mnist": "2"}, {"mnist": None}])
def test_a_search_whose_recorded_sources_are_damaged_is_refused(
    command: Callable, studies: Any, tmp_path: pathlib.Path
) -> None:
    spec = dataclasses.replace(SPEC, kind="search", config={"source_studies": studies})
    with Storage(f"sqlite:///{tmp_path}/history.db") as storage:
        storage.create_or_open(spec)
    words = ["search", f"--space={SPACE.name}", "--study=study", "--optimizer=random"]
    done = command(*words, f"--workdir={tmp_path}")
    assert "source_studies" in done.err


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A database with one study."""
    file = tmp_path_factory.mktemp("recorded") / "history.db"
    with Storage(f"sqlite:///{file}") as storage:
        append_all(storage, SPEC, EVALUATIONS)
        storage.set_result("study", {"command": "run.py collect"})
    return file


_TABLES = ("study_user_attributes", "trial_user_attributes")


def stored_values(file: pathlib.Path) -> list[tuple[str, int, Any]]:
    """Returns table, row and value of everything that is ours in a database."""
    found = []
    with closing(sqlite3.connect(file)) as connection:
        for table in _TABLES:
            rows = connection.execute(f"SELECT rowid, value_json FROM {table} ORDER BY rowid")
            found += [(table, row, json.loads(text)) for row, text in rows]
    return found


@pytest.mark.slow
@cases(60)
@given(st.data())
def test_a_changed_record_is_read_or_refused(recorded: pathlib.Path, data: st.DataObject) -> None:
    with sandbox() as work:
        file = work / "history.db"
        shutil.copy(recorded, file)
        values = stored_values(file)
        table, row, value = values[data.draw(st.integers(0, len(values) - 1))]
        valid = json.dumps(value)
        texts = damaged(valid.encode()).map(lambda data: data.decode("utf-8", "replace"))
        text = data.draw(st.one_of(mutated(value).map(to_text), texts))
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(f"UPDATE {table} SET value_json = ? WHERE rowid = ?", (text, row))
        with Storage(f"sqlite:///{file}") as storage:
            refused(lambda: study_summaries(storage))
            refused(lambda: storage.evaluations("study"))
            refused(lambda: storage.result("study"))
            refused(lambda: storage.append("study", make_evaluation(7)))


@cases(10)
@given(st.integers(0, 5), st.booleans())
@example(0, True)
def test_pickles_are_never_loaded(protocol: int, is_after_header: bool) -> None:
    with sandbox() as work:
        head = json.dumps(HEADER).encode() + b"\n" if is_after_header else b""
        data = head + pickle.dumps(Bait(work / "sprung"), protocol)
        (work / "pickled.jsonl").write_bytes(data)
        assert refused(lambda: read_jsonl(work / "pickled.jsonl"))[0]
        (work / "history.db").write_bytes(data)
        assert refused(lambda: Storage(f"sqlite:///{work}/history.db"))[0]
        assert not (work / "sprung").exists()
