"""Costs beside accuracy: what may win, what is suggested, what sources are worth."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.base import Scored
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history import Storage, StudySpec, default_storage_url
from xfernas_jax.history.goal import Goal, costs_of
from xfernas_jax.history.record import Evaluation, Task
from xfernas_jax.history.sources import Source
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.loop import LoopConfig, incumbent_curve, run_search
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.sources import task_histories
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
TASK = Task("synthetic", "none", 2)
PREDICTOR = PredictorConfig(num_members=2, source_steps=100, target_steps=20)
PRICES = {"nor_conv_3x3": 9.0, "nor_conv_1x1": 3.0, "avg_pool_3x3": 1.0, "identity": 0.5}
LIMIT = 20.0  # about three cells in ten cost less


def price(genotype: Any) -> float:
    return 1.0 + sum(PRICES.get(op, 0.0) for op in genotype.ops)


def quality(genotype: Any) -> float:
    """Rises with the price, apart from an edge that is better without its costly operations."""
    values = {"nor_conv_3x3": 1.0, "nor_conv_1x1": 0.8, "avg_pool_3x3": 0.3, "identity": 0.3}
    score = sum(values.get(op, 0.0) for op in genotype.ops)
    return (score - 1.5 * (genotype.ops[2] == "nor_conv_3x3") + 1.5) / 8.0


def evaluated(genotype: Any, accuracy: float | None = None, **costs: float) -> Evaluation:
    value = quality(genotype) if accuracy is None else accuracy
    return Evaluation(
        genotype, "r", 0, "complete", value, (value,), 0, 0.0, costs=tuple(costs.items())
    )


CELLS = [SPACE.sample(np.random.default_rng(seed)) for seed in range(40)]


def test_the_best_keep_every_limit_and_have_every_cost() -> None:
    goal = Goal((("latency_ms", 2.0), ("flops", 10.0)))
    found = [
        evaluated(CELLS[0], 0.9, latency_ms=2.5, flops=1.0),
        evaluated(CELLS[1], 0.8, latency_ms=1.0, flops=11.0),
        evaluated(CELLS[2], 0.7, latency_ms=2.0, flops=10.0),
        evaluated(CELLS[3], 0.95, latency_ms=1.0),  # whose FLOPs nobody knows
        evaluated(CELLS[4], 0.75, latency_ms=0.1, flops=0.1),
    ]
    assert goal.best(found, 5) == [found[4], found[2]]
    assert incumbent_curve(found, goal) == (0.0, 0.0, 0.7, 0.7, 0.75)
    assert Goal().best(found, 2) == [found[3], found[0]]


def test_the_pareto_set_is_what_no_other_beats() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, (30, 2)) / 6  # with ties
    found = [evaluated(CELLS[i], float(a), latency_ms=float(c)) for i, (a, c) in enumerate(values)]
    front = Goal(pareto="latency_ms").best(found, 30)

    def beats(a: np.ndarray, b: np.ndarray) -> bool:
        return a[0] >= b[0] and a[1] <= b[1] and bool((a != b).any())

    expected = {tuple(p) for p in values if not any(beats(other, p) for other in values)}
    got = [(e.valid_accuracy, costs_of(e)["latency_ms"]) for e in front]
    assert set(got) == expected
    assert len(got) == len(expected)  # of equals one
    assert got == sorted(got, reverse=True)


def test_a_limit_is_a_positive_number_and_there_is_one_of_each() -> None:
    for limits in [(("params", 0.0),), (("params", float("nan")),), (("a", 1.0), ("a", 2.0))]:
        with pytest.raises(FlagError):
            Goal(limits)


def test_parameters_are_a_cost_that_every_record_has() -> None:
    evaluation = Evaluation(CELLS[0], "r", 0, "complete", 0.5, (0.5,), 1234, 0.0)
    assert Goal((("params", 1234.0),)).best([evaluation], 1) == [evaluation]
    assert Goal((("params", 1233.0),)).best([evaluation], 1) == []


def search_config(goal: Goal, known: bool = False) -> SearchConfig:
    def known_costs(genotype: Any) -> Mapping[str, float]:
        return {"price": price(genotype)}

    return SearchConfig(
        predictor=PREDICTOR,
        num_initial=6,
        population_size=8,
        tournament_size=3,
        goal=goal,
        known_costs=known_costs if known else None,
    )


def source(name: str, unit: float) -> TaskHistory:
    """Has another quality and prices in another unit."""
    rng = np.random.default_rng(len(name))
    cells = [SPACE.sample(rng) for _ in range(60)]
    tokens = np.array([SPACE.encode(cell) for cell in cells], np.int32)
    scores = np.array([quality(c) for c in cells]) + 0.05 * rng.normal(size=60)
    costs = np.array([[unit * price(cell)] for cell in cells])
    return TaskHistory(name, tokens, scores, costs=costs)


SOURCES = (source("a", 10.0), source("bb", 0.3), source("ccc", 1.0))
COST_NAMES = ("random", "evolution", "nao", "xfer_predictor_evolution")


def run(name: str, config: SearchConfig, budget: int, seed: int = 0) -> list[Evaluation]:
    optimizer = make_optimizer(name, SPACE, SOURCES, config)
    found: list[Evaluation] = []
    while len(found) < budget:
        rng = np.random.default_rng([seed, len(found)])
        batch = [s.genotype for s in optimizer.suggest(rng, 4)]
        done = [evaluated(g, price=price(g)) for g in batch]
        optimizer.observe(done)
        found += done
    return found


@pytest.mark.parametrize("name", COST_NAMES)
def test_what_is_known_to_exceed_a_limit_is_not_suggested(name: str) -> None:
    goal = Goal((("price", LIMIT),))
    found = run(name, search_config(goal, known=True), 12)
    assert [e for e in found if price(e.genotype) > LIMIT] == []


def test_sources_teach_costs_up_to_their_unit() -> None:
    config = search_config(Goal((("price", LIMIT),)))
    inside = {
        name: np.mean([price(e.genotype) <= LIMIT for e in run(name, config, 16)[4:]])
        for name in ("random", "xfer_nao")
    }
    assert inside["xfer_nao"] > 0.5  # after a first batch that shows the unit
    assert inside["xfer_nao"] > inside["random"] + 0.2


def area(found: Sequence[Evaluation]) -> float:
    """Returns what is dominated, of quality over 0 and price below 56, by a sum over a grid."""
    grid = itertools.product(np.linspace(0, 1, 40), np.linspace(0, 56, 40))
    points = np.array([(quality(e.genotype), price(e.genotype)) for e in found])
    corners = [(points[:, 0] >= q) & (points[:, 1] <= c) for q, c in grid]
    return float(np.mean([inside.any() for inside in corners]))


def test_a_pareto_search_spreads_over_costs_and_beats_random_search_over_seeds() -> None:
    config = search_config(Goal(pareto="price"))
    mine, random, alone = [], [], []
    for seed in range(4):
        found = run("xfer_predictor_evolution", config, 12, seed)
        mine.append(area(found))
        random.append(area(run("random", config, 12, seed)))
        alone.append(area(run("xfer_predictor_evolution", search_config(Goal()), 12, seed)))
        prices = sorted(costs_of(e)["price"] for e in Goal(pareto="price").best(found, 12))
        assert prices[-1] > 1.5 * prices[0]
    assert np.mean(mine) > np.mean(random) + 0.02
    assert np.mean(mine) > np.mean(alone)  # which looks for the most accurate only


def test_a_goal_that_names_no_cost_changes_nothing() -> None:
    plain = run("xfer_nao", SearchConfig(predictor=PREDICTOR, num_initial=6), 8)
    assert [e.genotype for e in run("xfer_nao", search_config(Goal()), 8)] == [
        e.genotype for e in plain
    ]


def test_a_limit_that_nothing_keeps_ends_the_search_soon() -> None:
    goal, calls = Goal((("price", 0.5),)), []

    def known(genotype: Any) -> Mapping[str, float]:
        calls.append(genotype)
        return {"price": price(genotype)}

    for name in ("random", "xfer_nao"):
        calls.clear()
        config = SearchConfig(predictor=PREDICTOR, goal=goal, known_costs=known)
        assert list(make_optimizer(name, SPACE, SOURCES, config).suggest(_rng(), 4)) == []
        assert 1 <= len(calls) <= 1000


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_costs_of_a_source_are_means_of_its_trainings_and_may_be_unknown() -> None:
    first, second = CELLS[0], CELLS[1]
    evaluations = (
        evaluated(first, 0.5, latency_ms=2.0),
        evaluated(first, 0.7, latency_ms=4.0),
        evaluated(first, 0.7),
        evaluated(second, 0.1),
    )
    (history,) = task_histories(
        SPACE, [Source("s", TASK, "r", evaluations, ("s",))], ("latency_ms", "flops")
    )
    np.testing.assert_array_equal(history.costs, [[3.0, np.nan], [np.nan, np.nan]])


class Priced:
    """Scores by `quality`; stops like a kill after `limit` evaluations."""

    task, space, recipe = TASK, SPACE, "r"

    def __init__(self, limit: int = 1000) -> None:
        self.limit = limit

    def evaluate(self, genotype: Any, seed: int, purpose: Any = "search", *args: Any) -> Scored:
        self.limit -= 1
        if self.limit < 0:
            raise KeyboardInterrupt
        value = quality(genotype)
        costs = (("price", price(genotype)),)
        evaluation = Evaluation(
            genotype, "r", seed, "complete", value, (value,), 1, 0.0, purpose, costs=costs
        )
        return Scored(evaluation, {"seed": seed})

    def test_accuracy(self, genotype: Any, variables: Any) -> float:
        return 0.5


class Quiet:
    def started(self, *args: Any) -> None: ...

    def epoch(self, *args: Any) -> None: ...

    def finished(self, *args: Any) -> None: ...


def whole_search(folder: pathlib.Path, goal: Goal, limit: int = 1000) -> Any:
    with Storage(default_storage_url(folder)) as storage:
        storage.create_or_open(StudySpec("s", "search", TASK, SPACE.name, "r", {}))
        return run_search(
            make_optimizer("xfer_nao", SPACE, SOURCES, search_config(goal)),
            InProcessExecutor(Priced(limit)),
            storage,
            "s",
            LoopConfig(12, 4, 0, 1, 2),
            Quiet(),
            goal=goal,
        )


def test_the_winner_keeps_the_limit_and_costs_are_recorded(tmp_path: pathlib.Path) -> None:
    outcome = whole_search(tmp_path, Goal((("price", LIMIT),)))
    assert price(outcome.genotype) <= LIMIT
    assert outcome.costs == {"params": 1.0, "price": price(outcome.genotype)}
    assert outcome.front == ()
    assert whole_search(tmp_path / "none", Goal((("price", 1e-3),))) is None


def test_a_stopped_pareto_search_goes_on_to_the_same_front(tmp_path: pathlib.Path) -> None:
    goal = Goal(pareto="price")
    for folder in ("whole", "broken"):
        (tmp_path / folder).mkdir()
    whole = whole_search(tmp_path / "whole", goal)
    with pytest.raises(KeyboardInterrupt):
        whole_search(tmp_path / "broken", goal, limit=6)
    assert whole_search(tmp_path / "broken", goal) == whole
    assert len(whole.front) >= 2
    assert quality(whole.genotype) == max(e.valid_accuracy for e in whole.front)
