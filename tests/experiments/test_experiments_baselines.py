import dataclasses
import importlib
import importlib.util
import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import optuna
import pytest
from tables import write_topology_table

from experiments import baselines, optimizer_names
from experiments.baselines.samplers import OptunaSearch, TpeSearch
from experiments.grid import Unit
from experiments.incumbents import percentile_matrix
from xfernas_jax.errors import FlagError, MissingExtraError
from xfernas_jax.evaluate.tabular import Table, TabularEvaluator, load_table
from xfernas_jax.history import Evaluation, Job
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.base import Optimizer
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.seen import Seen
from xfernas_jax.space.registry import get_space
from xfernas_jax.space.table import TableSpace

ROOT = pathlib.Path(__file__).resolve().parents[2]


def needing(name: str, package: str, extra: str, *marks: pytest.MarkDecorator) -> object:
    absent = importlib.util.find_spec(package) is None
    reason = f"{package} is absent; `make setup EXTRAS={extra}` adds it"
    return pytest.param(name, marks=[pytest.mark.skipif(absent, reason=reason), *marks])


KINDS = [
    "ridge",
    "tpe",
    needing("lightgbm", "lightgbm", "baselines"),
    needing("gp", "torch", "bench", pytest.mark.slow),
]
every_baseline = pytest.mark.parametrize("kind", KINDS)
with_and_without_sources = pytest.mark.parametrize("prefix", ["", "xfer_"])


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    if importlib.util.find_spec("torch"):  # several wait for each other on a busy machine
        importlib.import_module("torch").set_num_threads(1)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("table")
    write_topology_table(folder)
    return load_table(folder, "small")


def sources_of(table: Table, target: str, seed: int) -> list[TaskHistory]:
    rng = np.random.default_rng([seed, 1])
    histories = []
    for task in sorted(set("abc") - {target}):
        rows = rng.choice(len(table.space.rows), 60, replace=False)
        values = table.column(task, "valid").values[rows]
        histories.append(TaskHistory(task, table.space.rows[rows], values))
    return histories


def build(table: Table, name: str, target: str = "a", seed: int = 0) -> Optimizer:
    sources = sources_of(table, target, seed)
    return make_optimizer(f"experiments.baselines:{name}", table.space, sources, SearchConfig())


def percentiles(table: Table, target: str, genotypes: list) -> np.ndarray:
    values = table.column(target, "valid").values
    rows = [table.space.row_of(genotype) for genotype in genotypes]
    return np.array([100.0 * (values > values[row]).mean() for row in rows])


def seen_of(table: Table, genotypes: list, pending: Sequence = ()) -> Seen:
    """Returns what is seen once these are evaluated on task `a`."""
    evaluator, found = TabularEvaluator(table, "a"), []
    for number, genotype in enumerate(genotypes):
        job = Job(number, genotype, table.space.key(genotype), 0)
        found.append(Evaluation(job, evaluator.evaluate(job).result, "table"))
    return Seen(table.space).then(found, pending)


def search(table: Table, name: str, seed: int, budget: int) -> list:
    """Searches in batches of 5, each by a new instance that is shown what is known."""
    found: list = []
    while len(found) < budget:
        rng = np.random.default_rng([seed, len(found)])
        suggestions = build(table, name).suggest(seen_of(table, found), rng, 5)
        found += [suggestion.genotype for suggestion in suggestions]
    return found


@every_baseline
@with_and_without_sources
def test_suggestions_are_new_rows_and_follow_from_what_is_seen(
    table: Table, kind: str, prefix: str
) -> None:
    resumed = search(table, prefix + kind, seed=3, budget=30)
    rows = [table.space.row_of(genotype) for genotype in resumed]
    assert len(set(rows)) == len(rows) == 30
    whole = build(table, prefix + kind)
    for start in range(0, 30, 5):
        seen = seen_of(table, resumed[:start])
        found = whole.suggest(seen, np.random.default_rng([3, start]), 5)
        assert [s.genotype for s in found] == resumed[start : start + 5]
    if not prefix:  # with the same sources, a model takes the same
        assert resumed != search(table, kind, seed=4, budget=30)


@every_baseline
@with_and_without_sources
def test_what_is_pending_is_not_suggested(table: Table, kind: str, prefix: str) -> None:
    optimizer = build(table, prefix + kind)
    nothing, rng = seen_of(table, []), np.random.default_rng
    first = [s.genotype for s in optimizer.suggest(nothing, rng(0), 5)]
    pending = seen_of(table, [], pending=first)
    second = [s.genotype for s in optimizer.suggest(pending, rng(0), 5)]
    assert len(second) == 5
    assert not set(first) & set(second)


@every_baseline
def test_the_first_batch_comes_from_the_sources_alone_where_there_are_any(
    table: Table, kind: str
) -> None:
    ranks = {}
    for prefix in ("", "xfer_"):
        batches = [
            build(table, prefix + kind, target, seed).suggest(
                seen_of(table, []), np.random.default_rng(seed), 5
            )
            for target in "abc"
            for seed in range(3)
        ]
        found = [[s.genotype for s in batch] for batch in batches]
        targets = [target for target in "abc" for _ in range(3)]
        ranks[prefix] = np.concatenate(
            [percentiles(table, t, batch) for t, batch in zip(targets, found, strict=True)]
        )
    # The mean of 45 random ranks is 50 +- 4.3; the sources were drawn with a correlation of .86.
    assert ranks["xfer_"].mean() < 25.0
    assert 30.0 < ranks[""].mean() < 70.0


@every_baseline
def test_the_target_is_learned_from(table: Table, kind: str) -> None:
    ranks = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rows = rng.choice(len(table.space.rows), 40, replace=False)
        optimizer = build(table, kind)
        seen = seen_of(table, [table.space.decode(table.space.rows[r].tolist()) for r in rows])
        found = optimizer.suggest(seen, rng, 5)
        ranks.append(percentiles(table, "a", [s.genotype for s in found]).mean())
    assert np.mean(ranks) < 30.0  # random: 50 +- 6.5


@pytest.mark.slow
@every_baseline
def test_the_target_overrules_sources_that_are_wrong(table: Table, kind: str) -> None:
    ranks = []
    for seed in range(4):
        sources = [
            dataclasses.replace(source, scores=-source.scores)
            for source in sources_of(table, "a", seed)
        ]
        optimizer = make_optimizer(f"experiments.baselines:xfer_{kind}", table.space, sources)
        rng, known = np.random.default_rng(seed), []
        for _ in range(10):
            found = [s.genotype for s in optimizer.suggest(seen_of(table, known), rng, 5)]
            known += found
            ranks.append(percentiles(table, "a", found).mean())
    ranks = np.reshape(ranks, (4, 10)).mean(0)
    assert ranks[0] > 60.0  # they are wrong
    assert ranks[5:].min() < 40.0


def test_the_best_of_every_source_are_enqueued_in_turn(table: Table) -> None:
    rows = table.space.rows
    first = TaskHistory("first", rows[:20], np.arange(20.0))  # best: 19, 18, ...
    second = TaskHistory("second", rows[10:40], -np.arange(30.0))  # best: 10, 11, ...
    optimizer = TpeSearch(table.space, [first, second])
    nothing = seen_of(table, [])
    found = optimizer.suggest(nothing, np.random.default_rng(0), 10)
    wanted = [19, 10, 18, 11, 17, 12, 16, 13, 15, 14]
    assert [table.space.row_of(s.genotype) for s in found] == wanted
    short = TpeSearch(table.space, [first, TaskHistory("short", rows[19:20], np.zeros(1))])
    found = short.suggest(nothing, np.random.default_rng(0), 3)
    assert [table.space.row_of(s.genotype) for s in found] == [19, 18, 17]  # 19 only once


def test_a_proposal_that_is_no_row_is_snapped_to_the_nearest_and_a_known_one_dropped(
    table: Table,
) -> None:
    wanted = table.space.rows[-1]

    class Stubborn(OptunaSearch):
        def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
            grid = {f"position_{i}": [int(token)] for i, token in enumerate(wanted)}
            return optuna.samplers.GridSampler(grid, seed=seed)

    distances = (table.space.rows != wanted).sum(1)
    near = int(np.flatnonzero(distances == 1)[0])
    kept = np.array([0, near, *np.flatnonzero(distances == 4)])
    space = TableSpace("small", table.space.columns, table.space.rows[kept])
    optimizer = Stubborn(space, (), SearchConfig(num_initial=1))
    known = seen_of(table, [space.decode(space.rows[0].tolist())])
    seen = dataclasses.replace(known, space=space)
    suggestions = optimizer.suggest(seen, np.random.default_rng(0), 3)
    found = [space.row_of(suggestion.genotype) for suggestion in suggestions]
    assert found[0] == 1
    assert len({0, *found}) == 4


@pytest.mark.parametrize(("kind", "package"), [("lightgbm", "lightgbm"), ("gp", "torch")])
def test_an_absent_library_is_named_with_its_extra(
    table: Table, kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"needs {package}; run `make setup EXTRAS="):
        build(table, kind)


def test_a_space_that_is_too_large_for_a_model_is_refused() -> None:
    with pytest.raises(FlagError, match="nasnet"):
        baselines.ridge(get_space("nasnet"), (), SearchConfig())


@pytest.mark.slow
def test_libraries_load_when_they_are_used() -> None:
    code = "import sys, experiments.baselines; print({'lightgbm', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_names_of_twins_and_folders_are_inverted(tmp_path: pathlib.Path) -> None:
    for alone, transfer in (("nao", "xfer_nao"), ("a.b:ridge", "a.b:xfer_ridge")):
        assert optimizer_names.with_sources(alone) == transfer
        assert optimizer_names.without_sources(transfer) == alone
        assert optimizer_names.uses_sources(transfer)
        assert not optimizer_names.uses_sources(alone)
        unit = Unit(transfer, "scene-1", 12)
        assert ":" not in unit.file(tmp_path).name + unit.file(tmp_path).parent.name
        assert Unit.of_file(unit.file(tmp_path)) == unit
    assert not optimizer_names.uses_sources("xfer_module:ridge")


def run(module: str, *words: str) -> None:
    command = [sys.executable, "-m", f"experiments.{module}", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_an_experiment_takes_optimizers_of_a_module(tmp_path: pathlib.Path) -> None:
    write_topology_table(tmp_path)
    names = ["experiments.baselines:ridge", "experiments.baselines:xfer_ridge"]
    out = tmp_path / "out"
    words = [f"--benchmark_dir={tmp_path}", "--table=small", "--seeds=2", "--budget=20"]
    words += [f"--optimizers=random,{','.join(names)}", f"--output={out}"]
    run("tabular_search", *words)
    units = {path: path.stat().st_mtime_ns for path in (out / "units").rglob("*.json")}
    folders = {path.parent.name for path in units}
    assert folders == {"random", "experiments.baselines.ridge", "experiments.baselines.xfer_ridge"}
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["optimizers"]) == {"random", *names}
    alone, transfer = (percentile_matrix(out / "evaluations.csv", name) for name in names)
    assert alone.shape == transfer.shape == (3, 2, 20)
    np.testing.assert_array_equal(  # the same random start
        alone[..., :10], percentile_matrix(out / "evaluations.csv", "random")[..., :10]
    )
    assert transfer[..., 4].mean() < alone[..., 4].mean()
    assert set(summary["twins"]) == {names[1]}
    difference = summary["twins"][names[1]]["difference"]["20"]
    assert difference == pytest.approx((transfer - alone)[..., 19].mean())
    run("tabular_search", *words)  # finds its units again
    assert units == {path: path.stat().st_mtime_ns for path in (out / "units").rglob("*.json")}


@pytest.mark.repeat(
    "experiments/test_experiments_tabular_search.py::test_results_are_the_same_bytes_for_any_number_of_jobs_and_after_a_stop"
)
@pytest.mark.slow
def test_the_worst_case_takes_optimizers_of_a_module(tmp_path: pathlib.Path) -> None:
    write_topology_table(tmp_path)
    words = [f"--benchmark_dir={tmp_path}", "--table=small", "--seeds=2", "--kinds=none,negate"]
    words += ["--twins=experiments.baselines:ridge", f"--output={tmp_path / 'out'}"]
    run("worst_case", *words, "--pass=source_evaluations=60")
    rows = json.loads((tmp_path / "out" / "worst_case.json").read_text())
    found = {
        kind: percentile_matrix(
            tmp_path / "out" / kind / "evaluations.csv", "experiments.baselines:xfer_ridge"
        )
        for kind in ("none", "negate")
    }
    assert found["none"][..., 0].mean() < found["negate"][..., 0].mean()
    for row in rows:
        assert row["optimizer"] == "experiments.baselines:xfer_ridge"
        expected = found[row["sources"]][..., row["evaluations"] - 1].mean()
        assert row["mean_percentile"] == pytest.approx(expected)
