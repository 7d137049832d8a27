"""What `XferSampler` makes of ints and floats."""

import logging
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from xfernas_jax import XferSampler
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.optuna_numbers import Axis, OptunaSpace, learnable, study_values
from xfernas_jax.search.optuna_trials import read_sources, source_histories
from xfernas_jax.search.registry import SearchConfig

QUICK = SearchConfig(num_initial=3)
NETWORK = SearchConfig(
    predictor=PredictorConfig(
        num_members=1, source_steps=20, num_unlabelled=64, num_starts=2, ascent_steps=1
    ),
    num_initial=2,
)
KINDS: Mapping[str, BaseDistribution] = {
    "int": IntDistribution(-3, 9),
    "int with step": IntDistribution(2, 1003, step=7),
    "log int": IntDistribution(1, 4096, log=True),
    "huge int": IntDistribution(0, 2**60),
    "huge log int": IntDistribution(1, 2**60, log=True),
    "float": FloatDistribution(-1.0, 2.5),
    "float with step": FloatDistribution(0.1, 0.9, step=0.1),
    "fine steps": FloatDistribution(-7.0, 93.0, step=0.001),
    "log float": FloatDistribution(1e-6, 1.0, log=True),
    "huge log float": FloatDistribution(1e-300, 1e300, log=True),
    "narrow": FloatDistribution(1.0, 1.0 + 1e-15),
    "category": CategoricalDistribution(("a", None, 3)),
}
Space = Mapping[str, BaseDistribution]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def ask(trial: optuna.Trial, space: Space) -> dict[str, Any]:
    for name, d in space.items():
        if isinstance(d, CategoricalDistribution):
            trial.suggest_categorical(name, d.choices)
        elif isinstance(d, IntDistribution):
            trial.suggest_int(name, d.low, d.high, step=d.step, log=d.log)
        elif isinstance(d, FloatDistribution):
            trial.suggest_float(name, d.low, d.high, step=d.step, log=d.log)
    return trial.params


def place(distribution: BaseDistribution, value: Any) -> float:
    """Returns where a value lies in its range, a category by its index."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices.index(value) / (len(distribution.choices) - 1)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = distribution.low, distribution.high
    if distribution.log:
        low, high, value = (math.log(x) for x in (low, high, value))
    return (value / 2 - low / 2) / (high / 2 - low / 2)


def objective(space: Space, best: float = 0.8) -> Callable[[optuna.Trial], float]:
    """Returns the summed distance of all parameters from where they are best."""

    def value(trial: optuna.Trial) -> float:
        params = ask(trial, space)
        return sum(abs(place(space[name], each) - best) for name, each in params.items())

    return value


def study_of(
    space: Space, num_trials: int, sampler: optuna.samplers.BaseSampler, **words: Any
) -> optuna.Study:
    study = optuna.create_study(sampler=sampler, load_if_exists=True, **words)
    study.optimize(objective(space), n_trials=num_trials)
    return study


def source_of(space: Space, num_trials: int = 40, seed: int = 0, **words: Any) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=seed)
    return study_of(space, num_trials, sampler, study_name=f"before {seed}", **words)


def suggested(study: optuna.Study) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def histories(target: Space, source: optuna.Study) -> list[Any]:
    sources = read_sources(optuna.create_study(study_name="now"), [source])
    return list(source_histories(OptunaSpace(target), sources))


@pytest.mark.slow  # of all together, each is short
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_suggested_within_its_distribution(kind: str) -> None:
    study = study_of({kind: KINDS[kind]}, 5, XferSampler([], seed=0, config=QUICK))
    for trial in study.trials:
        distribution = trial.distributions[kind]
        assert distribution._contains(distribution.to_internal_repr(trial.params[kind]))
        assert type(trial.params[kind]) in (int, float, str, type(None))


@pytest.mark.slow
def test_all_kinds_together_with_sources_resume_to_the_same_bits() -> None:
    whole = study_of(KINDS, 9, XferSampler([source_of(KINDS)], seed=0, config=QUICK))
    storage = optuna.storages.InMemoryStorage()
    for count in (1, 3, 5):
        sampler = XferSampler([source_of(KINDS)], seed=0, config=QUICK)
        part = study_of(KINDS, count, sampler, storage=storage, study_name="now")
    assert suggested(part) == suggested(whole)  # pyright: ignore[reportPossiblyUnbound]
    sampler = pickle.loads(pickle.dumps(XferSampler([], seed=0, config=QUICK)))
    alone = study_of(KINDS, 6, XferSampler([], seed=0, config=QUICK))
    assert suggested(study_of(KINDS, 6, sampler)) == suggested(alone)


NUMBERS = {name: KINDS[name] for name in ("log int", "float", "log float", "category")}


@pytest.mark.slow
def test_sources_make_the_first_trials_better_than_random_ones() -> None:
    # A random trial's summed distance has a mean of about 4 * .34 = 1.36 and a standard deviation
    # of about .45; the mean of the first over 8 seeds below .8 has a probability of below 1e-3.
    first = []
    for seed in range(8):
        sources = [source_of(NUMBERS, seed=seed), source_of(NUMBERS, seed=100 + seed)]
        study = study_of(NUMBERS, 1, XferSampler(sources, seed=seed, config=QUICK))
        first.append(study.trials[0].value)
    assert np.mean(first) < 0.8


@pytest.mark.slow
def test_without_sources_a_study_of_numbers_finds_better_values_than_random_ones() -> None:
    found = {"ours": [], "random": []}
    for seed in range(4):
        ours = XferSampler([], seed=seed, config=SearchConfig(num_initial=5))
        found["ours"].append(study_of(NUMBERS, 25, ours).best_value)
        found["random"].append(source_of(NUMBERS, 25, seed).best_value)
    assert np.mean(found["ours"]) < 0.6 * np.mean(found["random"])


@pytest.mark.parametrize(
    "other",
    [
        FloatDistribution(0.0, 100.0),  # wider
        FloatDistribution(2.0, 3.0),  # narrower
        FloatDistribution(1.0, 9.0, step=0.5),
        FloatDistribution(1.0, 9.0, log=True),
        IntDistribution(1, 20),
        CategoricalDistribution((1, 2.5, "x", True)),
    ],
    ids=str,
)
def test_sources_of_other_ranges_teach_what_lies_in_the_targets(other: BaseDistribution) -> None:
    target = {"x": FloatDistribution(1.0, 9.0), "y": IntDistribution(0, 3)}
    values = [other.to_external_repr(i) for i in range(4)]
    if not isinstance(other, CategoricalDistribution):
        values = [value for value in (2, 3, 5, 50) if other._contains(value)]
    source = optuna.create_study(study_name="before")
    for value in values:
        shown = {"x": other, "y": IntDistribution(0, 3)}
        params = {"x": value, "y": 1}
        source.add_trial(optuna.create_trial(params=params, distributions=shown, value=1.0))
    (history,) = histories(target, source)
    inside = [v for v in values if type(v) in (int, float) and 1.0 <= v <= 9.0]
    found = [OptunaSpace(target).decode(row).values[0] for row in history.tokens.tolist()]
    assert sorted(found) == pytest.approx(sorted(inside), abs=8.0 / 255)


def test_a_source_that_lacks_a_number_teaches_the_others() -> None:
    source = source_of({"x": FloatDistribution(0.0, 1.0)}, 10)
    (history,) = histories({"x": FloatDistribution(0.0, 1.0), "z": IntDistribution(0, 9)}, source)
    assert len(history.scores) == 10
    assert len(set(history.tokens[:, 1].tolist())) == 1


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"x": FloatDistribution(20.0, 20.5)}, "its 'x' lies from 20."),
        ({"x": CategoricalDistribution(("a", "b"))}, "its 'x' is no number"),
        ({"y": FloatDistribution(0.0, 1.0)}, "its trials lack the parameter 'x'"),
    ],
    ids=str,
)
def test_a_named_study_without_numbers_of_the_range_is_warned_of(
    other: Space, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = optuna.create_study(study_name="before", sampler=optuna.samplers.RandomSampler(seed=0))
    source.optimize(lambda trial: float(len(ask(trial, other))), n_trials=3)
    target = {"x": FloatDistribution(0.0, 1.0)}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.logging.enable_propagation()
    try:
        sampler = XferSampler([source], seed=0, config=QUICK, search_space=target)
        ask(optuna.create_study(sampler=sampler).ask(), target)
    finally:
        optuna.logging.disable_propagation()
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any(reason in line for line in said), said


def test_a_constant_range_is_no_hindrance() -> None:
    space = {"one": IntDistribution(4, 4), "x": FloatDistribution(0.0, 1.0)}

    def value(trial: optuna.Trial) -> float:
        return ask(trial, space)["x"]

    study = optuna.create_study(sampler=XferSampler([], seed=0, config=QUICK))
    study.optimize(value, n_trials=5)
    assert {trial.params["one"] for trial in study.trials} == {4}
    assert len({trial.params["x"] for trial in study.trials}) == 5


def test_only_what_is_drawn_is_said_to_be_drawn(caplog: pytest.LogCaptureFixture) -> None:
    def value(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        return x + (trial.suggest_int("sometimes", 1, 9) if trial.number != 1 else 0)

    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    try:
        study = optuna.create_study(sampler=XferSampler([], seed=0, config=QUICK))
        study.optimize(value, n_trials=5)
    finally:
        optuna.logging.disable_propagation()
    said = [r.getMessage() for r in caplog.records if "drawn at random" in r.getMessage()]
    assert len(set(said)) == 1  # propagation may show a line twice
    assert "'sometimes' is not in all trials" in said[0]


@pytest.mark.slow
def test_a_trial_that_breaks_a_constraint_keeps_others_away() -> None:
    def far(trial: optuna.trial.FrozenTrial) -> tuple[float]:
        return (trial.params["x"] - 0.3,)

    sampler = XferSampler([], seed=0, config=QUICK, constraints_func=far)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0), n_trials=14)
    last = [trial.params["x"] for trial in study.trials[4:]]
    assert np.mean([x <= 0.35 for x in last]) >= 0.5  # random: .35
    assert study.best_value <= 0.3


def test_trials_that_run_side_by_side_differ() -> None:
    space = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(0.0, 1.0)}
    study = study_of(space, 6, XferSampler([], seed=0, config=QUICK))
    places = [tuple(ask(study.ask(), space).values()) for _ in range(4)]
    gaps = [np.abs(np.subtract(a, b)).max() for a in places for b in places if a is not b]
    assert min(gaps) > 0.05


@pytest.mark.slow
def test_a_named_optimizer_sees_levels_of_numbers() -> None:
    source = source_of(NUMBERS, 20)
    for name in ("xfer_nao", "evolution", "random"):
        sampler = XferSampler([source], seed=0, optimizer=name, config=NETWORK)
        assert len(study_of(NUMBERS, 5, sampler).trials) == 5


@pytest.mark.slow
def test_a_few_ints_are_tried_once_each_and_then_again() -> None:
    study = study_of({"x": IntDistribution(1, 5)}, 7, XferSampler([], seed=0, config=QUICK))
    assert {params["x"] for params in suggested(study)[:5]} == {1, 2, 3, 4, 5}


def test_the_search_space_may_be_of_distributions() -> None:
    space = {"x": IntDistribution(1, 64, log=True), "kind": ["a", "b"]}
    sampler = XferSampler([], seed=0, config=QUICK, search_space=space)
    study = optuna.create_study(sampler=sampler)
    study.optimize(
        lambda t: t.suggest_int("x", 1, 64, log=True) + len(t.suggest_categorical("kind", "ab")),
        n_trials=5,
    )
    assert len({tuple(params.values()) for params in suggested(study)}) == 5


finite = st.floats(-1e308, 1e308, allow_nan=False)
positive = st.floats(1e-300, 1e300)
whole = st.integers(-(2**50), 2**50)  # Optuna keeps ints as floats: steps are lost beyond 2**53
distributions = st.one_of(
    st.tuples(finite, finite).map(lambda r: FloatDistribution(min(r), max(r))),
    st.tuples(positive, positive).map(lambda r: FloatDistribution(min(r), max(r), log=True)),
    st.tuples(whole, whole, st.integers(1, 1000)).map(
        lambda r: IntDistribution(r[0], r[0] + (abs(r[1]) // 1000) * r[2], step=r[2])
    ),
    st.tuples(st.integers(1, 2**60), st.integers(1, 2**60)).map(
        lambda r: IntDistribution(min(r), max(r), log=True)
    ),
    st.tuples(st.integers(-50, 50), st.integers(1, 5000), st.sampled_from([0.001, 0.1, 0.25])).map(
        lambda r: FloatDistribution(float(r[0]), r[0] + r[1] * r[2], step=r[2])
    ),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(distributions, st.integers(0, 2**32 - 1))
def test_no_value_lies_outside_its_distribution(distribution: Any, seed: int) -> None:
    if not learnable({"x": distribution}):
        return
    axis, rng = Axis(distribution), np.random.default_rng(seed)
    space = OptunaSpace({"x": distribution})
    for genotype in (space.sample(rng), space.sample(rng)):
        value: Any = study_values(space, genotype, [seed])["x"]
        assert type(value) is type(distribution.low)
        assert distribution._contains(distribution.to_internal_repr(value))
        assert axis.level(value) == genotype.values[0]
    assert axis.level(axis.levels[0]) == axis.levels[0]
    assert axis.levels[-1] <= distribution.high
