import importlib
import pathlib
from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from tables import write_topology_table

from experiments import baselines
from experiments.tabular_search import summarize
from experiments.tabular_units import Setting, Unit, twin_of
from xfernas_jax.benchmarks.tabular import Table, TabularBenchmark, load_table
from xfernas_jax.errors import MissingExtraError, SpaceError
from xfernas_jax.history.record import Evaluation
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.base import SearchOptimizer
from xfernas_jax.search.registry import make_optimizer
from xfernas_jax.space.table import TableSpace

NEEDS = {"xfer_lightgbm": "lightgbm", "xfer_gp": "torch"}
NAMES = ("ridge", "xfer_ridge", "xfer_lightgbm", "xfer_tpe", "xfer_gp")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    folder = tmp_path_factory.mktemp("table")
    write_topology_table(folder)
    return load_table(folder, "small")


def sources_of(table: Table, target: str, seed: int = 0, count: int = 40) -> list[TaskHistory]:
    histories = []
    for i, task in enumerate(sorted(set("abc") - {target})):
        rows = np.random.default_rng([seed, i]).choice(243, count, replace=False)
        scores = table.column(task, "valid").values[rows]
        histories.append(TaskHistory(task, table.space.rows[rows], scores))
    return histories


def build(name: str, table: Table, seed: int = 0) -> SearchOptimizer:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], exc_type=ImportError)
    sources = sources_of(table, "a", seed) if name.startswith("xfer_") else []
    return make_optimizer(f"experiments.baselines:{name}", table.space, sources)


def evaluated(table: Table, rows: Sequence[int]) -> list[Evaluation]:
    benchmark = TabularBenchmark(table, "a")
    genotypes = [table.space.decode(table.space.rows[row].tolist()) for row in rows]
    return [benchmark.evaluate(genotype, 0).evaluation for genotype in genotypes]


def suggested_rows(
    optimizer: SearchOptimizer, table: Table, count: int = 5, seed: int = 1, pending: Sequence = ()
) -> list[int]:
    suggestions = optimizer.suggest(np.random.default_rng(seed), count, pending)
    return [table.space.row_of(suggestion.genotype) for suggestion in suggestions]


def search(name: str, table: Table, seed: int, budget: int) -> list[int]:
    """Runs a search as `tabular_search` does: without sources, 10 random rows come first."""
    optimizer = build(name, table, seed)
    rows: list[int] = []
    if not name.startswith("xfer_"):
        rows = np.random.default_rng([seed, 9]).choice(243, 10, replace=False).tolist()
        optimizer.observe(evaluated(table, rows))
    while len(rows) < budget:
        new = suggested_rows(optimizer, table, min(5, budget - len(rows)), seed * 1000 + len(rows))
        if not new:
            break
        optimizer.observe(evaluated(table, new))
        rows += new
    return rows


@pytest.mark.parametrize("name", NAMES)
def test_suggestions_are_new_rows(name: str, table: Table) -> None:
    optimizer = build(name, table)
    start = list(range(0, 243, 9))
    optimizer.observe(evaluated(table, start))
    first = suggested_rows(optimizer, table)
    pending = [table.space.decode(table.space.rows[row].tolist()) for row in first]
    second = suggested_rows(optimizer, table, count=7, pending=pending)
    found = [*start, *first, *second]
    assert len(first) == 5
    assert len(second) == 7
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("name", NAMES)
def test_suggestions_depend_on_rng_and_observations_alone(name: str, table: Table) -> None:
    optimizer, other = build(name, table), build(name, table)
    for part in (range(8), range(50, 80)):  # fewer and more than the 20 rows of the trees
        suggested_rows(optimizer, table, seed=5)  # a call that must leave no trace
        optimizer.observe(evaluated(table, part))
        other.observe(evaluated(table, part))
        rows = suggested_rows(optimizer, table)
        assert rows == suggested_rows(optimizer, table)
        assert rows == suggested_rows(other, table)
    resumed = build(name, table)
    resumed.observe(evaluated(table, [*range(8), *range(50, 80)]))
    assert rows == suggested_rows(resumed, table)


@pytest.mark.parametrize("name", ["ridge", "xfer_ridge", "xfer_tpe"])
def test_search_ends_when_all_rows_are_evaluated(name: str, table: Table) -> None:
    optimizer = build(name, table)
    optimizer.observe(evaluated(table, range(2, 243)))
    assert set(suggested_rows(optimizer, table)) == {0, 1}
    optimizer.observe(evaluated(table, [0, 1]))
    assert suggested_rows(optimizer, table) == []


@pytest.mark.parametrize("name", NAMES)
def test_failed_evaluations_are_not_suggested_again(name: str, table: Table) -> None:
    optimizer = build(name, table)
    failed = [
        Evaluation(e.genotype, e.recipe, 0, "failed", None, (), 0, 0.0)
        for e in evaluated(table, range(230))
    ]
    optimizer.observe(failed)
    assert set(suggested_rows(optimizer, table)) <= set(range(230, 243))
    optimizer.observe(evaluated(table, [230, 231]))
    assert set(suggested_rows(optimizer, table)) <= set(range(232, 243))


def test_xfer_ridge_beats_random(table: Table) -> None:
    # The best of 20 random rows of 243 is on average better than all but 4.6 %: with 10 seeds, the
    # mean has a standard error of about 1.3 %, so a search that is random passes by chance less
    # than once in 1,000.
    values = table.column("a", "valid").values
    shares = []
    for seed in range(10):
        best = values[search("xfer_ridge", table, seed, 20)].max()
        shares.append((values > best).mean())
    assert np.mean(shares) < 0.005


def test_xfer_ridge_starts_with_the_best_by_the_sources(table: Table) -> None:
    rows = suggested_rows(build("xfer_ridge", table), table)
    ranks = [np.argsort(np.argsort(table.column(task, "valid").values)) for task in "bc"]
    assert np.mean(ranks, axis=0)[rows].mean() > 0.9 * 243


def test_ridge_equals_scikit_learn_on_explicit_pairs(table: Table) -> None:
    rng = np.random.default_rng(0)
    rows = rng.choice(243, 60, replace=False)
    targets, weights = rng.normal(size=60), rng.uniform(0.5, 2.0, size=60)
    hot = baselines._one_hot(table.space, table.space.rows)
    pairs = [hot[:, i] * hot[:, j] for i in range(15) for j in range(i) if i // 3 != j // 3]
    features = np.column_stack([hot, *pairs]).astype(np.float64)
    kernel = baselines._pairwise_kernel(hot @ hot.T)
    np.testing.assert_array_equal(kernel, features @ features.T)
    groups = np.zeros(60, np.int64)
    dual, intercepts = baselines.fit_ridge(kernel[np.ix_(rows, rows)], targets, weights, groups)
    predicted = kernel[:, rows] @ dual + intercepts[0]
    mean_value = _mean_eigenvalue(features[rows], weights)
    differences = []
    for strength in baselines._STRENGTHS:
        model = Ridge(alpha=strength * mean_value)
        model.fit(features[rows], targets, weights / weights.mean())
        differences.append(np.abs(model.predict(features) - predicted).max())
    assert min(differences) < 1e-6


def _mean_eigenvalue(features: np.ndarray, weights: np.ndarray) -> float:
    share = weights / weights.sum()
    centred = features - share @ features
    return float((weights / weights.mean() * (centred**2).sum(1)).mean())


def test_ridge_gives_groups_their_own_intercepts() -> None:
    # Two groups on the same line with slope 1, the second 5 higher: exact up to the ridge.
    x = np.tile(np.linspace(-1.0, 1.0, 20), 2)
    groups = np.repeat([0, 1], 20)
    dual, intercepts = baselines.fit_ridge(np.outer(x, x), x + 5.0 * groups, np.ones(40), groups)
    assert intercepts[1] - intercepts[0] == pytest.approx(5.0, abs=1e-3)
    assert x @ dual == pytest.approx(1.0, abs=1e-2)


def test_best_of_sources_takes_turns_without_duplicates(table: Table) -> None:
    tokens = table.space.rows
    first = TaskHistory("b", tokens[:4], np.array([4.0, 3.0, 2.0, 1.0]))
    second = TaskHistory("c", tokens[[0, 5, 6]], np.array([9.0, 8.0, 7.0]))
    found = [row.tolist() for row in baselines.best_of_sources([first, second])]
    # Turns: 0; then 0 is taken, so 5; 1; 6; 2; 3.
    assert found == tokens[[0, 5, 1, 6, 2, 3]].tolist()
    assert len(baselines.best_of_sources(sources_of(table, "a"))) == 10


@pytest.mark.parametrize("name", ["xfer_tpe", "xfer_gp"])
def test_optuna_starts_with_the_best_of_the_sources(name: str, table: Table) -> None:
    best = baselines.best_of_sources(sources_of(table, "a"))
    assert search(name, table, 0, 10) == [
        table.space.row_of(table.space.decode(row.tolist())) for row in best
    ]


@pytest.mark.parametrize("name", NAMES)
def test_search_works_on_a_table_with_holes(name: str, table: Table) -> None:
    # A fifth of the rows: most proposals of a sampler are no row and have to be replaced.
    rows = np.random.default_rng(0).choice(243, 49, replace=False)
    space = TableSpace("holes", table.space.columns, table.space.rows[rows])
    holes = Table(
        "holes",
        space,
        {
            key: type(column)(*key, column.values[rows], column.accuracies[rows])
            for key, column in table.columns.items()
        },
        {},
    )
    optimizer = build(name, table) if name == "ridge" else None
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], exc_type=ImportError)
    sources = [
        TaskHistory(task, space.rows, holes.column(task, "valid").values) for task in ("b", "c")
    ]
    optimizer = make_optimizer(f"experiments.baselines:{name}", space, sources)
    optimizer.observe(evaluated(holes, range(12)))
    found = [suggested_rows(optimizer, holes, count=10) for _ in range(1)][0]
    assert len(set(found)) == 10
    assert min(found) >= 12


@pytest.mark.parametrize(("name", "extra"), [("xfer_lightgbm", "baselines"), ("xfer_gp", "bench")])
def test_a_missing_package_is_one_line(
    name: str, extra: str, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(package: str) -> None:
        raise ImportError(package)

    monkeypatch.setattr(baselines.importlib, "import_module", fail)
    with pytest.raises(MissingExtraError, match=f"make setup EXTRAS={extra}") as caught:
        getattr(baselines, name)(table.space, (), None)
    assert "\n" not in str(caught.value)


def test_a_space_that_is_no_table_is_refused() -> None:
    module = importlib.import_module("xfernas_jax.space.nasbench201")
    with pytest.raises(SpaceError, match="tables only"):
        make_optimizer("experiments.baselines:ridge", module.NasBench201Space())


def test_files_of_units_name_no_colon_and_can_be_read_back() -> None:
    for name in ("nao", "xfer_nao", "experiments.baselines:xfer_ridge", "module:NAME"):
        unit = Unit(name, "class_scene-1", 3)
        file = unit.file(pathlib.Path("out"))
        assert ":" not in str(file)
        assert Unit.of_file(file) == unit
    assert Unit("nao", "a", 0).file(pathlib.Path("out")) == pathlib.Path("out/units/nao/a-0.json")


def test_twins_are_paired_across_modules() -> None:
    assert twin_of("xfer_nao") == "nao"
    assert twin_of("xfer_module:ridge") is None  # the name after the colon decides
    names = ("random", "ridge", "experiments.baselines:ridge", "experiments.baselines:xfer_ridge")
    found = {
        Unit(name, target, seed): (np.arange(20.0)[::-1] + seed, np.zeros(20))
        for name in names
        for target in ("a", "b")
        for seed in (0, 1)
    }
    setting = Setting("t", "valid", "test", ("a", "b"), (), 1, 20, 20, 5, 10, "none", "head", "mlp")
    summary = summarize(found, setting, 2)
    assert set(summary["twins"]) == {"experiments.baselines:xfer_ridge"}
