"""Costs beside accuracy: what may win, what is suggested, what sources are worth."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from search_toy import SPACE, TASK, Toy, complete, driven, evaluated, search

from xfernas_jax.errors import FlagError
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.history.metric import SCORE
from xfernas_jax.history.record import Evaluation, Job, Result
from xfernas_jax.history.sources import Source
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.base import suggest
from xfernas_jax.search.phases.confirm import choose_finalists
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.seen import Seen
from xfernas_jax.search.sources import task_histories

PREDICTOR = PredictorConfig(num_members=2, source_steps=100, target_steps=20)
PRICES = {"nor_conv_3x3": 9.0, "nor_conv_1x1": 3.0, "avg_pool_3x3": 1.0, "identity": 0.5}
LIMIT = 14.0  # two cells in five cost less


def price(genotype: Any) -> float:
    return 1.0 + sum(PRICES.get(op, 0.0) for op in genotype.ops)


def quality(genotype: Any) -> float:
    """Rises with the price, apart from an edge that is better without its costly operations."""
    values = {"nor_conv_3x3": 1.0, "nor_conv_1x1": 0.8, "avg_pool_3x3": 0.3, "identity": 0.3}
    score = sum(values.get(op, 0.0) for op in genotype.ops)
    return (score - 1.5 * (genotype.ops[2] == "nor_conv_3x3") + 1.5) / 8.0


def priced(genotype: Any, value: float | None = None, **costs: float) -> Evaluation:
    value = quality(genotype) if value is None else value
    return evaluated(genotype, complete(value, costs=tuple(costs.items())))


CELLS = [SPACE.sample(np.random.default_rng(seed)) for seed in range(40)]


def test_the_best_keep_every_limit_and_have_every_cost() -> None:
    goal = Goal((("latency_ms", 2.0), ("flops", 10.0)))
    found = [
        priced(CELLS[0], 0.9, latency_ms=2.5, flops=1.0),
        priced(CELLS[1], 0.8, latency_ms=1.0, flops=11.0),
        priced(CELLS[2], 0.7, latency_ms=2.0, flops=10.0),
        priced(CELLS[3], 0.95, latency_ms=1.0),  # whose FLOPs nobody knows
        priced(CELLS[4], 0.75, latency_ms=0.1, flops=0.1),
    ]
    assert goal.best(found, 5) == [found[4], found[2]]
    assert goal.incumbents(found) == (None, None, 0.7, 0.7, 0.75)
    assert Goal().best(found, 2) == [found[3], found[0]]


def test_the_pareto_set_is_what_no_other_beats() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 6, (30, 2)) / 6  # with ties
    found = [priced(CELLS[i], float(a), latency_ms=float(c)) for i, (a, c) in enumerate(values)]
    front = Goal(pareto="latency_ms").best(found, 30)

    def beats(a: np.ndarray, b: np.ndarray) -> bool:
        return a[0] >= b[0] and a[1] <= b[1] and bool((a != b).any())

    expected = {tuple(p) for p in values if not any(beats(other, p) for other in values)}
    got = [(e.value, e.costs["latency_ms"]) for e in front]
    assert set(got) == expected
    assert len(got) == len(expected)  # of equals one
    assert got == sorted(got, reverse=True)


def test_a_limit_is_a_positive_number_and_there_is_one_of_each() -> None:
    for limits in [(("params", 0.0),), (("params", float("nan")),), (("a", 1.0), ("a", 2.0))]:
        with pytest.raises(FlagError):
            Goal(limits)


def test_the_best_are_those_of_the_metric_s_direction() -> None:
    found = [priced(CELLS[i], value, price=1.0) for i, value in enumerate((0.3, 0.1, 0.2))]
    loss = dataclasses.replace(SCORE, name="loss", maximize=False)
    assert Goal(metric=loss).best(found, 2) == [found[1], found[2]]
    front = Goal(metric=loss, pareto="price").best(found, 3)
    assert front == [found[1]]


CONFIG = SearchConfig(predictor=PREDICTOR, num_initial=6, population_size=8, tournament_size=3)


def known_costs(genotype: Any) -> Mapping[str, float]:
    return {"price": price(genotype)}


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


def run(name: str, goal: Goal, budget: int, seed: int = 0, known: bool = False) -> list[Evaluation]:
    sources = SOURCES if goal.costs else [dataclasses.replace(s, costs=None) for s in SOURCES]
    optimizer = make_optimizer(name, SPACE, sources, CONFIG)
    seen = Seen(SPACE, goal, known_costs=known_costs if known else None)

    def score(genotype: Any) -> Result:
        return complete(quality(genotype), costs=(("price", price(genotype)),))

    return list(driven(optimizer, seen, score, [4] * (budget // 4), seed))


@pytest.mark.slow
@pytest.mark.parametrize("name", COST_NAMES)
def test_what_is_known_to_exceed_a_limit_is_not_suggested(name: str) -> None:
    goal = Goal((("price", LIMIT),))
    found = run(name, goal, 12, known=True)
    assert [e for e in found if price(e.genotype) > LIMIT] == []


@pytest.mark.slow
def test_sources_teach_costs_up_to_their_unit() -> None:
    rng = np.random.default_rng(0)
    by_chance = np.mean([price(SPACE.sample(rng)) <= LIMIT for _ in range(2000)])
    goal = Goal((("price", LIMIT),))
    found = [run("xfer_nao", goal, 16, seed)[4:] for seed in range(3)]
    # The first batch shows the unit. By chance the share of 36 draws lies .25 above its mean, three
    # standard deviations, in one case of a thousand.
    inside = [price(e.genotype) <= LIMIT for evaluations in found for e in evaluations]
    assert np.mean(inside) > by_chance + 0.25


def area(found: Sequence[Evaluation]) -> float:
    """Returns what is dominated, of quality over 0 and price below 56, by a sum over a grid."""
    grid = itertools.product(np.linspace(0, 1, 40), np.linspace(0, 56, 40))
    points = np.array([(quality(e.genotype), price(e.genotype)) for e in found])
    corners = [(points[:, 0] >= q) & (points[:, 1] <= c) for q, c in grid]
    return float(np.mean([inside.any() for inside in corners]))


@pytest.mark.slow
def test_a_pareto_search_spreads_over_costs_and_beats_random_search_over_seeds() -> None:
    goal = Goal(pareto="price")
    mine, random, alone = [], [], []
    for seed in range(4):
        found = run("xfer_predictor_evolution", goal, 12, seed)
        mine.append(area(found))
        random.append(area(run("random", goal, 12, seed)))
        alone.append(area(run("xfer_predictor_evolution", Goal(), 12, seed)))
        prices = sorted(e.costs["price"] for e in goal.best(found, 12))
        assert prices[-1] > 1.5 * prices[0]
    assert np.mean(mine) > np.mean(random) + 0.02
    assert np.mean(mine) > np.mean(alone)  # which looks for the most accurate only


@pytest.mark.slow
def test_a_limit_that_nothing_keeps_ends_the_search_soon() -> None:
    goal, calls = Goal((("price", 0.5),)), []

    def known(genotype: Any) -> Mapping[str, float]:
        calls.append(genotype)
        return {"price": price(genotype)}

    for name in ("random", "xfer_nao"):
        calls.clear()
        optimizer = make_optimizer(name, SPACE, SOURCES, CONFIG)
        assert suggest(optimizer, Seen(SPACE, goal, known_costs=known), 0, 0, 4) == []
        assert 1 <= len(calls) <= 1000


def test_evolution_breeds_from_what_keeps_the_limit_in_any_unit() -> None:
    """The violator is best by far: scores may lie thousands apart."""
    cells = CELLS[:8]
    found = [priced(c, 1000.0 * i, price=1.0 if i < 7 else 99.0) for i, c in enumerate(cells)]
    goal = Goal((("price", 2.0),), metric=SCORE)
    config = dataclasses.replace(CONFIG, tournament_size=8)
    children = suggest(
        make_optimizer("evolution", SPACE, (), config), Seen(SPACE, goal, tuple(found)), 0, 0, 8
    )
    best = SPACE.encode(cells[6])
    for child in children:  # single mutants of the best that keeps the limit
        assert sum(a != b for a, b in zip(SPACE.encode(child.genotype), best, strict=True)) == 1


def test_costs_of_a_source_are_means_of_its_trainings_and_may_be_unknown() -> None:
    first, second = CELLS[0], CELLS[1]
    evaluations = (
        priced(first, 0.5, latency_ms=2.0),
        priced(first, 0.7, latency_ms=4.0),
        priced(first, 0.7),
        priced(second, 0.1),
    )
    (history,) = task_histories(
        SPACE, [Source("s", TASK, "r", evaluations, ("s",))], ("latency_ms", "flops")
    )
    np.testing.assert_array_equal(history.costs, [[3.0, np.nan], [np.nan, np.nan]])


def test_what_values_count_for_decides_over_sources_fits_and_finalists() -> None:
    def outlook(genotype: Any, value: float, metric: Any) -> float:
        assert metric == TASK.metric
        return value - 0.1 * price(genotype)

    found = tuple(priced(cell, 0.5 + 0.01 * i) for i, cell in enumerate(CELLS[:9]))
    seen = Seen(SPACE, evaluations=found, outlook=outlook)
    cheapest = sorted(found, key=lambda e: price(e.genotype) - 10 * (e.value or 0))
    assert choose_finalists(make_optimizer("random", SPACE), seen, 3) == cheapest[:3]
    assert choose_finalists(make_optimizer("random", SPACE), Seen(SPACE, evaluations=found), 1) == [
        found[-1]
    ]
    wanted = [(e.value or 0) - 0.1 * price(e.genotype) for e in found]
    np.testing.assert_allclose(seen.history().scores, wanted)
    source = Source("s", TASK, "r", found, ("s",))
    (history,) = task_histories(SPACE, [source], (), outlook)
    np.testing.assert_allclose(history.scores, wanted)


def priced_result(job: Job) -> Result:
    costs = (("params", 1.0), ("price", price(job.genotype)))
    return complete(quality(job.genotype), costs=costs)


def whole_search(record: MemoryRecord, goal: Goal, limit: int = 1000) -> Any:
    plan = SearchPlan(12, 4, 0, 1, 2)
    toy = Toy(priced_result, limit)
    return search("xfer_nao", toy, record, plan, sources=SOURCES, config=CONFIG, goal=goal)


@pytest.mark.slow
def test_the_winner_keeps_the_limit_and_costs_are_recorded() -> None:
    outcome = whole_search(MemoryRecord(), Goal((("price", LIMIT),)))
    assert price(outcome.genotype) <= LIMIT
    assert outcome.costs == {"params": 1.0, "price": price(outcome.genotype)}
    assert outcome.front == ()
    assert whole_search(MemoryRecord(), Goal((("price", 1e-3),))) is None


@pytest.mark.slow
def test_a_stopped_pareto_search_goes_on_to_the_same_front() -> None:
    goal, broken = Goal(pareto="price"), MemoryRecord()
    whole = whole_search(MemoryRecord(), goal)
    with pytest.raises(KeyboardInterrupt):
        whole_search(broken, goal, limit=6)
    assert whole_search(broken, goal) == whole
    assert len(whole.front) >= 2
    assert {f.genotype for f in whole.finalists} <= {e.genotype for e in whole.front}
