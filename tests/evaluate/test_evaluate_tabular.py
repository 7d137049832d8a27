import csv
import gzip
import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xfernas_jax.errors import BenchmarkError, GenotypeError, SpaceError
from xfernas_jax.evaluate.base import Evaluator
from xfernas_jax.evaluate.tabular import TabularEvaluator, load_table
from xfernas_jax.history.record import Evaluation, Job
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.base import suggest
from xfernas_jax.search.registry import OPTIMIZERS, SearchConfig, make_optimizer
from xfernas_jax.search.seen import Seen
from xfernas_jax.space.wiring import Wiring

TOKENS = [
    {
        "column": "ops",
        "separator": "|",
        "alphabet": ["a", "bb", "c"],
        "min_length": 1,
        "max_length": 3,
    },
    {"column": "link", "separator": "", "alphabet": ["0", "1"], "min_length": 2, "max_length": 2},
]
TASKS = [
    {"column": "x_valid", "task": "x", "split": "valid", "unit": "percent", "maximize": True},
    {"column": "x_test", "task": "x", "split": "test", "unit": "percent", "maximize": True},
    {"column": "y_loss", "task": "y", "split": "valid", "unit": "nats", "maximize": False},
]
HEADER = ["ops", "link", "x_valid", "x_test", "y_loss", "x_seconds", "ignored"]
ROWS = [
    ["a", "00", "10", "11", "5.5", "1", "?"],
    ["a|bb", "00", "30.5", "29", "4.5", "2", ""],
    ["a|bb", "01", "20", "22", "-3", "3", "nan"],
    ["c|bb|a", "11", "90", "80", "0.25", "4", "x"],
]


def write_folder(
    folder: pathlib.Path,
    change: Callable[[dict[str, Any], list[list[str]]], None] | None = None,
    digest: str | None = None,
) -> pathlib.Path:
    entry: dict[str, Any] = {
        "path": "t.csv.gz",
        "rows": len(ROWS),
        "tasks": [dict(task) for task in TASKS],
        "space": {"name": "mine", "tokens": [dict(token) for token in TOKENS]},
    }
    rows = [HEADER, *[list(row) for row in ROWS]]
    if change is not None:
        change(entry, rows)
    with gzip.open(folder / "t.csv.gz", "wt", newline="") as file:
        csv.writer(file).writerows(rows)
    data = (folder / "t.csv.gz").read_bytes()
    entry.setdefault("sha256", digest or hashlib.sha256(data).hexdigest())
    (folder / "manifest.json").write_text(json.dumps({"t": entry}))
    return folder


def test_a_table_is_read_as_it_stands(tmp_path: pathlib.Path) -> None:
    table = load_table(write_folder(tmp_path), "t")
    assert table.space.rows.shape == (4, 5)  # up to 3 ops, 2 links
    np.testing.assert_array_equal(table.column("x", "valid").values, [10, 30.5, 20, 90])
    np.testing.assert_allclose(table.column("x", "valid").accuracies, [0.1, 0.305, 0.2, 0.9])
    np.testing.assert_array_equal(table.seconds["x"], [1, 2, 3, 4])
    assert table.tasks("valid") == ("x", "y")
    loss = table.column("y", "valid")
    np.testing.assert_array_equal(np.argsort(loss.accuracies), [0, 1, 3, 2])  # less loss is better
    assert loss.accuracies.min() == 0.0
    assert loss.accuracies.max() == 1.0


def test_rows_encode_decode_and_travel_as_json(tmp_path: pathlib.Path) -> None:
    space = load_table(write_folder(tmp_path), "t").space
    for i, row in enumerate(space.rows):
        genotype = space.decode(row.tolist())
        assert space.encode(genotype) == tuple(row.tolist())
        assert space.row_of(genotype) == i
        assert space.from_json(json.loads(json.dumps(space.to_json(genotype)))) == genotype
    assert len({space.key(space.decode(row.tolist())) for row in space.rows}) == 4
    assert space.to_json(space.decode(space.rows[1].tolist())) == {
        "space": "mine",
        "ops": "a|bb",
        "link": "00",
    }


def test_what_is_no_row_is_refused_and_repaired(tmp_path: pathlib.Path) -> None:
    space = load_table(write_folder(tmp_path), "t").space
    near = space.rows[3].copy()
    near[-1] = space.choices[-1][0]  # c|bb|a with link 10 does not exist
    with pytest.raises(GenotypeError, match="no row"):
        space.decode(near.tolist())
    np.testing.assert_array_equal(space.repair(near[None]), space.rows[3:])
    other = space.repair(near[None], without=space.rows[3:])
    assert other.tolist() != space.rows[3:].tolist()
    np.testing.assert_array_equal(space.repair(space.rows), space.rows)
    with pytest.raises(SpaceError, match="no network"):
        space.plan(space.decode(space.rows[0].tolist()))


def test_draws_and_mutants_are_rows(tmp_path: pathlib.Path) -> None:
    space = load_table(write_folder(tmp_path), "t").space
    rng = np.random.default_rng(0)
    counts = np.zeros(4)
    for row in space.sample_tokens(rng, 2000):
        counts[space.row_of(space.decode(row.tolist()))] += 1
    # Each count has a standard deviation of 19.4: a miss by chance is below 1e-6.
    assert np.abs(counts - 500).max() < 100
    for _ in range(50):
        genotype = space.sample(rng)
        assert space.mutate(genotype, rng) != genotype


def test_the_evaluator_looks_up_and_knows_its_clock(tmp_path: pathlib.Path) -> None:
    table = load_table(write_folder(tmp_path), "t")
    evaluator = TabularEvaluator(table, "x")
    assert isinstance(evaluator, Evaluator)
    genotype = table.space.decode(table.space.rows[3].tolist())
    result = evaluator.evaluate(Job(0, genotype, table.space.key(genotype), 0)).result
    assert result.value == 0.9
    assert result.seconds == 4.0
    assert result.costs == ()
    assert evaluator.test(genotype, None) == 0.8
    assert evaluator.task.num_classes is None


def set_entry(field: str, value: Any) -> Callable[[dict[str, Any], list[list[str]]], None]:
    return lambda entry, rows: entry.__setitem__(field, value)


def set_cell(
    row: int, column: int, value: str
) -> Callable[[dict[str, Any], list[list[str]]], None]:
    return lambda entry, rows: rows[row].__setitem__(column, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_entry("rows", 5), "4 rows, but the manifest says 5"),
        (set_entry("sha256", "0" * 64), "SHA-256"),
        (set_entry("path", "../t.csv.gz"), "leads out of the folder"),
        (set_entry("path", "absent.csv"), "cannot be read"),
        (set_entry("space", {"name": "darts"}), "lists no tokens"),
        (set_entry("tasks", [{"column": "z", "task": "z", "split": "v", "maximize": True}]), "'z'"),
        (set_entry("tasks", [{"column": "x_valid", "task": "x", "split": "v"}]), "maximize"),
        (set_entry("tasks", [3]), "JSON object"),
        (set_cell(2, 2, "nan"), r"t\.csv\.gz:3: column 'x_valid' is a finite number. Got 'nan'"),
        (set_cell(2, 2, ""), ":3: column 'x_valid'"),
        (set_cell(4, 0, "c|d|a"), ":5: .*'d', which is not of its alphabet"),
        (set_cell(4, 1, "111"), ":5: .*2 to 2 symbols"),
        (set_cell(2, 0, "a"), ":3: the architecture of line 2 again"),
        (lambda entry, rows: rows[3].append("x"), ":4: 8 values, but the header has 7"),
    ],
)
def test_a_bad_table_is_refused_by_place_and_rule(
    change: Callable, message: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(BenchmarkError, match=message) as caught:
        load_table(write_folder(tmp_path, change), "t")
    assert "\n" not in str(caught.value)


def test_a_bad_manifest_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(BenchmarkError, match=r"manifest\.json: cannot be read"):
        load_table(tmp_path, "t")
    write_folder(tmp_path)
    with pytest.raises(BenchmarkError, match="no table 'u'; known: t"):
        load_table(tmp_path, "u")
    with pytest.raises(BenchmarkError, match="no task with split 'final'; its splits: test, valid"):
        load_table(tmp_path, "t").tasks("final")
    with pytest.raises(BenchmarkError, match="no task 'z'"):
        TabularEvaluator(load_table(tmp_path, "t"), "z")
    for text in ("{", "[]", '{"t": 3}'):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(BenchmarkError, match=r"manifest\.json"):
            load_table(tmp_path, "t")


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_searches_a_table_to_its_last_row(
    name: str, tmp_path: pathlib.Path
) -> None:
    table = load_table(write_folder(tmp_path), "t")
    space, evaluator = table.space, TabularEvaluator(table, "x")
    quick = PredictorConfig(num_members=2, source_steps=10, num_unlabelled=16)
    optimizer = make_optimizer(name, space, (), SearchConfig(predictor=quick, num_initial=2))
    seen = Seen(space)
    for number in range(4):
        (suggestion,) = suggest(optimizer, seen, 0, number, 1)
        job = Job(number, suggestion.genotype, space.key(suggestion.genotype), 0)
        seen = seen.then([Evaluation(job, evaluator.evaluate(job).result, evaluator.recipe)])
    assert sorted(space.row_of(e.genotype) for e in seen.evaluations) == [0, 1, 2, 3]
    assert not suggest(optimizer, seen, 0, 4, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transnas_micro", "nasbench201", "nasbench_graph"])
def test_published_tables_pass_their_checks(name: str, shared_dir: pathlib.Path) -> None:
    table = load_table(shared_dir / "benchmarks", name)
    assert len(table.tasks("valid")) >= 3


def chain_of_two(cell: Any) -> Callable[[dict[str, Any], list[list[str]]], None]:
    """Makes every link an architecture: two edges, 0->1 and 1->2, of the operations 0 and 1."""

    def change(entry: dict[str, Any], rows: list[list[str]]) -> None:
        entry["space"]["tokens"] = [dict(TOKENS[1])]
        if cell is not None:
            entry["space"]["cell"] = cell
        for row, link in zip(rows[1:], ("00", "01", "10", "11"), strict=True):
            row[1] = link

    return change


def test_a_table_says_how_its_cells_are_wired(tmp_path: pathlib.Path) -> None:
    cell = {"edges": [[0, 1], [1, 2]], "none": "0"}
    space = load_table(write_folder(tmp_path, chain_of_two(cell)), "t").space
    assert space.wiring == Wiring(((0, 1), (1, 2)), 2, 0)
    _, (counts, *_) = space.features(space.rows)
    np.testing.assert_array_equal(counts[:, 1], [0, 0, 0, 2])  # live edges: a path needs both
    cell["none"] = None
    space = load_table(write_folder(tmp_path, chain_of_two(cell)), "t").space
    assert space.wiring == Wiring(((0, 1), (1, 2)), 2, None)


def test_a_table_that_says_nothing_of_cells_has_no_features(tmp_path: pathlib.Path) -> None:
    space = load_table(write_folder(tmp_path), "t").space
    assert space.features(space.rows) == ()


@pytest.mark.parametrize(
    ("cell", "part"),
    [
        ([], "'cell'"),
        ({"none": "0"}, "edges"),
        ({"edges": [[0, 1], [1, 2]], "none": "7"}, "'none' of its alphabet"),
        ({"edges": [[0, 1], [1, 2]], "none": 0}, "'none' of its alphabet"),
        ({"edges": [[0, 1], [2, 1]], "none": "0"}, "Got 2->1"),
        ({"edges": [[0, 1], ["a", 2]], "none": "0"}, "'cell'"),
        ({"edges": [[0, 1], [1, 2, 3]], "none": "0"}, "an edge .* for each symbol"),
        ({"edges": [[0, 1]], "none": "0"}, "an edge .* for each symbol"),
        ({"edges": [], "none": "0"}, "has edges"),
        ({"edges": [[0, 10**9], [1, 2]], "none": "0"}, "at most 16 nodes"),
    ],
)
def test_a_bad_cell_is_refused_in_one_line(cell: Any, part: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(BenchmarkError, match=part) as refused:
        load_table(write_folder(tmp_path, chain_of_two(cell)), "t")
    assert "\n" not in str(refused.value)


def test_cells_are_of_one_column(tmp_path: pathlib.Path) -> None:
    def change(entry: dict[str, Any], rows: list[list[str]]) -> None:
        entry["space"]["cell"] = {"edges": [[0, 1], [1, 2]], "none": "0"}

    with pytest.raises(BenchmarkError, match="of one token column"):
        load_table(write_folder(tmp_path, change), "t")
