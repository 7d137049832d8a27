"""What other studies teach an `XferSampler`, and what is said where they teach nothing."""

import logging
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from xfernas_jax import XferSampler
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.optuna_trials import observation, read_sources, source_histories
from xfernas_jax.search.registry import SearchConfig
from xfernas_jax.space.categorical import CategoricalSpace

QUICK = SearchConfig(
    predictor=PredictorConfig(
        num_members=1, source_steps=20, num_unlabelled=64, num_starts=2, ascent_steps=1
    ),
    num_initial=2,
)
SPACE = CategoricalSpace("s", {"size": (1, 2, 3), "kind": ("a", "b")})
Row = tuple[Mapping[str, Any], float]


@pytest.fixture(autouse=True)
def _loud() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    yield
    optuna.logging.disable_propagation()
    optuna.logging.set_verbosity(before)


def study_of(
    distributions: Mapping[str, BaseDistribution], rows: Sequence[Row], **words: Any
) -> optuna.Study:
    study = optuna.create_study(study_name="before", **words)
    for params, value in rows:
        shown = dict(distributions)
        study.add_trial(optuna.create_trial(params=dict(params), distributions=shown, value=value))
    return study


def choices(**values: Sequence[Any]) -> dict[str, BaseDistribution]:
    return {name: CategoricalDistribution(tuple(each)) for name, each in values.items()}


def learned(source: optuna.Study) -> dict[tuple[Any, ...], float]:
    sources = read_sources(optuna.create_study(study_name="now"), [source])
    found = {}
    for history in source_histories(SPACE, sources):
        for row, score in zip(history.tokens.tolist(), history.scores.tolist(), strict=True):
            found[SPACE.decode(row).values] = score
    return found


@pytest.mark.parametrize(
    ("size", "kind", "num_of_it"),
    [
        ((1, 2, 3), "ab", 3),
        ((3, 1, 2), "ba", 3),  # in another order
        ((1.0, 2.0, 3.0), "ab", 3),  # a database may give back 1.0 for 1
        ((1, 2, 3, 4), "abc", 3),  # more to choose from
        ((1, 2), "ab", 2),  # less
    ],
    ids=str,
)
def test_trials_with_the_same_values_teach_whatever_else_there_was(
    size: tuple[Any, ...], kind: str, num_of_it: int
) -> None:
    rows = [({"size": value, "kind": "b"}, float(value)) for value in size]
    found = learned(study_of(choices(size=size, kind=kind), rows, direction="maximize"))
    assert found == {(value, "b"): float(value) for value in range(1, 1 + num_of_it)}
    assert all(type(value) is int for value, _ in found)


def test_a_boolean_is_no_number() -> None:
    rows = [({"size": value, "kind": "a"}, 1.0) for value in (True, False)]
    assert learned(study_of(choices(size=(True, False), kind="ab"), rows)) == {}


@pytest.mark.slow
def test_huge_values_teach_their_order() -> None:
    rows = [({"size": size, "kind": "a"}, 1.7e308 * sign) for size, sign in ((1, 1), (2, -1))]
    found = learned(study_of(choices(size=(1, 2), kind="ab"), [*rows, *rows]))
    assert found[2, "a"] > found[1, "a"]  # it is minimized
    sampler = XferSampler([study_of(choices(size=(1, 2), kind="ab"), rows)], config=QUICK, seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda t: t.suggest_categorical("size", [1, 2, 3]), n_trials=2)
    assert len(study.trials) == 2


ALL = {"size": (1, 2, 3), "kind": ("a", "b")}


@pytest.mark.parametrize(
    ("distributions", "params", "reason"),
    [
        (choices(depth=(1, 2), kind="ab"), {"depth": 1, "kind": "a"}, "lack the parameter 'size'"),
        (choices(size=(7, 8), kind="ab"), {"size": 7, "kind": "a"}, "none of the values 1, 2, 3"),
        (
            {**choices(kind="ab"), "size": FloatDistribution(1, 3)},
            {"size": 2.0, "kind": "a"},
            "its 'size' is no categorical parameter",
        ),
        (choices(**ALL), {"size": 1, "kind": "a"}, "fewer than two of its trials differ"),
        (choices(**ALL), None, "no complete trial with a finite value"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_named_study_that_teaches_nothing_is_warned_of_with_the_reason(
    distributions: dict[str, BaseDistribution],
    params: dict[str, Any] | None,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = study_of(distributions, [] if params is None else [(params, 1.0)])
    ask(XferSampler([source], seed=0, config=QUICK, search_space=ALL))
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("nothing is learned from study 'before'" in line and reason in line for line in said)


def ask(sampler: XferSampler, storage: Any = None) -> None:
    trial = optuna.create_study(study_name="now", sampler=sampler, storage=storage).ask()
    trial.suggest_categorical("size", (1, 2, 3))
    trial.suggest_categorical("kind", ("a", "b"))


def test_of_two_objectives_is_said_and_of_all_studies_none_is_warned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    two = optuna.create_study(study_name="two", directions=["minimize", "maximize"])
    ask(XferSampler([two], seed=0, config=QUICK, search_space=ALL))
    assert "it has 2 objectives" in caplog.text
    caplog.clear()
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="empty", storage=storage)
    ask(XferSampler(seed=0, config=QUICK, search_space=ALL), storage)
    assert "now learns from no other study" in caplog.text
    assert all(record.levelno < logging.WARNING for record in caplog.records)


@pytest.mark.slow
def test_what_is_learned_from_is_shown_where_optuna_shows_its_own() -> None:
    shown: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())
    optuna.logging.disable_propagation()
    logging.getLogger("optuna").addHandler(handler)
    try:
        rows = [({"size": size, "kind": "a"}, float(size)) for size in (1, 2, 3)]
        source = study_of(choices(**ALL), rows)
        ask(XferSampler([source], seed=0, config=QUICK, search_space=ALL))
    finally:
        logging.getLogger("optuna").removeHandler(handler)
    assert any("now learns from before (3)" in line for line in shown)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution")
def test_a_parameter_that_is_drawn_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    def objective(trial: optuna.Trial) -> float:
        choices: Any = [(0.0,), (1.0,)]  # no plain values
        rate: Any = trial.suggest_categorical("rate", choices)
        return rate[0] + trial.suggest_float("one", 1.0, 1.0)

    study = optuna.create_study(sampler=XferSampler([], seed=0, config=QUICK))
    study.optimize(objective, n_trials=3)
    said = [r.getMessage() for r in caplog.records if "drawn at random" in r.getMessage()]
    assert len(said) == 1
    assert "'rate' has other values than texts" in said[0]
    again = XferSampler([], independent_sampler=optuna.samplers.RandomSampler(seed=0), config=QUICK)
    optuna.create_study(sampler=again).optimize(objective, n_trials=1)
    assert "drawn by RandomSampler" in caplog.text


@pytest.mark.slow
def test_trials_that_break_a_constraint_count_as_the_worst() -> None:
    def far(trial: optuna.trial.FrozenTrial) -> tuple[float]:
        return (float(trial.params["size"]) - 2.5,)

    sampler = XferSampler(
        [], seed=0, config=QUICK, search_space={"size": (1, 2, 3)}, constraints_func=far
    )
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(lambda t: float(t.suggest_categorical("size", (1, 2, 3))), n_trials=3)
    space = CategoricalSpace("s", {"size": (1, 2, 3), "kind": ("a", "b")})
    sizes = CategoricalSpace("s", {"size": (1, 2, 3)})
    seen = {t.params["size"]: observation(sizes, t, 1.0) for t in study.trials}
    assert {size: each.status for size, each in seen.items() if each} == {
        1: "complete",
        2: "complete",
        3: "failed",
    }
    assert study.best_value == 2.0
    assert observation(space, study.trials[0], 1.0) is None
    pickle.loads(pickle.dumps(XferSampler([], constraints_func=len)))  # type: ignore[arg-type]
    (source,) = read_sources(optuna.create_study(study_name="now"), [study])
    assert sorted(trial.params["size"] for trial in source.trials) == [1, 2]


@pytest.mark.slow
def test_a_constraint_that_a_trial_sets_itself_counts() -> None:
    def objective(trial: optuna.Trial) -> float:
        size = trial.suggest_categorical("size", (1, 2, 3))
        trial.set_constraint("small", size - 2.5)
        return float(size)

    sampler = XferSampler([], seed=0, config=QUICK, search_space={"size": (1, 2, 3)})
    study = optuna.create_study(sampler=sampler, direction="maximize")
    study.optimize(objective, n_trials=3)
    sizes = CategoricalSpace("s", {"size": (1, 2, 3)})
    failed = [
        t.params["size"] for t in study.trials if observation(sizes, t, 1.0).status == "failed"
    ]
    assert failed == [3]
