# pyright: reportPossiblyUnboundVariable=false
import itertools
import pickle
import warnings
from collections.abc import Callable, Iterator

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from xfernas_jax import XferSampler
from xfernas_jax.errors import StudyError
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.registry import SearchConfig

QUICK = SearchConfig(
    predictor=PredictorConfig(
        num_members=1, source_steps=80, num_unlabelled=512, num_starts=3, ascent_steps=2
    ),
    num_initial=3,
)
PARAMETERS = {f"p{i}": ("a", "b", "c", "d") for i in range(4)}
ALL = np.array(list(itertools.product(range(4), repeat=4)))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def weights(seed: int) -> np.ndarray:
    """Returns what each value of each parameter is worth to the task of this seed."""
    return np.random.default_rng(seed).normal(size=(4, 4))


def choose(trial: optuna.Trial) -> list[int]:
    return [
        values.index(str(trial.suggest_categorical(name, values)))
        for name, values in PARAMETERS.items()
    ]


def objective(worth: np.ndarray, sign: float = 1.0) -> Callable[[optuna.Trial], float]:
    return lambda trial: sign * float(worth[range(4), choose(trial)].sum())


def storage_with(*sources: tuple[np.ndarray, float], num_trials: int = 50) -> optuna.Study:
    """Returns the first of some source studies, of weights and a sign, in a storage of their own.

    A study of sign -1 is minimised.
    """
    storage = optuna.storages.InMemoryStorage()
    studies = []
    for i, (worth, sign) in enumerate(sources):
        sampler = optuna.samplers.RandomSampler(seed=i)
        direction = "maximize" if sign > 0 else "minimize"
        study = optuna.create_study(
            storage=storage, sampler=sampler, study_name=f"source{i}", direction=direction
        )
        study.optimize(objective(worth, sign), n_trials=num_trials)
        studies.append(study)
    return studies[0]


def search(
    beside: optuna.Study | None,
    worth: np.ndarray,
    num_trials: int,
    sampler: optuna.samplers.BaseSampler | None = None,
    sign: float = 1.0,
) -> optuna.Study:
    study = optuna.create_study(
        storage=None if beside is None else beside._storage,
        study_name="target",
        direction="maximize" if sign > 0 else "minimize",
        sampler=XferSampler(seed=1, config=QUICK) if sampler is None else sampler,
        load_if_exists=True,
    )
    study.optimize(objective(worth, sign), n_trials=num_trials)
    return study


def suggested(study: optuna.Study) -> list[dict]:
    return [trial.params for trial in study.trials]


def quantiles(study: optuna.Study, worth: np.ndarray) -> list[float]:
    """Returns for each trial the share of all combinations that are worse."""
    everything = worth[np.arange(4), ALL].sum(1)
    return [float((everything < trial.value - 1e-9).mean()) for trial in study.trials]


@pytest.mark.slow
def test_the_first_suggestions_are_better_than_random_ones_with_related_sources() -> None:
    # Random: the mean of 10 uniform quantiles is above 0.8 with a probability of about 1e-3
    # (standard deviation 0.29 / sqrt(10) = 0.09).
    first, best_of_three = [], []
    for seed in range(10):
        worth = weights(seed)
        related = worth + 0.5 * weights(1000 + seed)
        found = quantiles(search(storage_with((related, 1.0)), worth, 3), worth)
        first.append(found[0])
        best_of_three.append(max(found))
    assert np.mean(first) > 0.8
    assert np.mean(best_of_three) > 0.9


@pytest.mark.slow
def test_sources_that_say_the_opposite_do_not_break_the_search() -> None:
    # The best of 15 random combinations lies at 15/16 in the mean.
    best = []
    for seed in range(3):
        worth = weights(seed)
        bad = storage_with((-worth, 1.0), (weights(50 + seed), 1.0))
        best.append(max(quantiles(search(bad, worth, 15), worth)))
    assert np.mean(best) > 15 / 16


@pytest.mark.slow
def test_minimizing_mirrors_maximizing() -> None:
    worth = weights(3)
    up = search(storage_with((worth, 1.0)), worth, 8)
    down = search(storage_with((worth, -1.0)), worth, 8, sign=-1.0)
    assert suggested(up) == suggested(down)
    # A source of the other direction teaches the same.
    mixed = search(storage_with((worth, -1.0)), worth, 8)
    assert suggested(mixed) == suggested(up)


@pytest.mark.slow
def test_a_resumed_study_suggests_what_an_unbroken_one_does() -> None:
    worth = weights(4)
    whole = suggested(search(storage_with((worth, 1.0)), worth, 9))
    beside = storage_with((worth, 1.0))
    for count in (1, 3, 5):
        study = search(beside, worth, count)  # with a sampler of its own
    assert suggested(study) == whole
    assert len({tuple(p.values()) for p in whole}) == 9


def test_seeds_decide_what_a_study_without_sources_begins_with() -> None:
    worth = weights(5)
    runs = [suggested(search(None, worth, 5, XferSampler(seed=s, config=QUICK))) for s in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_studies_that_cannot_teach_are_left_out() -> None:
    worth = weights(6)
    alone = storage_with((worth, 1.0))
    crowded = storage_with((worth, 1.0))
    storage = crowded._storage

    def add(name: str, **directions: object) -> optuna.Study:
        return optuna.create_study(storage=storage, study_name=name, **directions)

    add("empty")
    add("failing").optimize(lambda trial: choose(trial)[0] / 0, n_trials=3, catch=ArithmeticError)
    add("without a number").optimize(lambda trial: choose(trial)[0] * float("nan"), n_trials=3)
    add("failed").enqueue_trial({"p0": "a"})
    two = add("two objectives", directions=["minimize", "maximize"])
    two.optimize(lambda trial: (0.0, float(sum(choose(trial)))), n_trials=3)
    others = {
        "other names": {"q": CategoricalDistribution(("a", "b"))},
        "other values": {n: CategoricalDistribution(("x", "y")) for n in PARAMETERS},
        "numbers": {n: FloatDistribution(0, 1) for n in PARAMETERS},
        "one less": {n: CategoricalDistribution(v) for n, v in [*PARAMETERS.items()][:3]},
        "odd values": {"p0": CategoricalDistribution((None, True, 2.5, "\n\x1b[31m"))},
    }
    for name, distributions in others.items():
        study = add(name)
        for row in range(3):
            params = {
                n: d.choices[row % len(d.choices)]
                if isinstance(d, CategoricalDistribution)
                else 0.5
                for n, d in distributions.items()
            }
            trial = optuna.create_trial(
                params=params, distributions=distributions, value=float(row)
            )
            study.add_trial(trial)
    infinite = add("infinite")
    for row in range(3):
        params = {name: values[row] for name, values in PARAMETERS.items()}
        distributions = {n: CategoricalDistribution(v) for n, v in PARAMETERS.items()}
        infinite.add_trial(
            optuna.create_trial(params=params, distributions=distributions, value=float("inf"))
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert suggested(search(crowded, worth, 4)) == suggested(search(alone, worth, 4))


def test_named_studies_and_studies_of_another_storage_are_sources() -> None:
    worth = weights(7)
    sources = storage_with((worth, 1.0), (weights(8), 1.0))
    by_name = XferSampler(["source0"], seed=1, config=QUICK)
    by_study = XferSampler([sources], seed=1, config=QUICK)
    first = suggested(search(sources, worth, 3, by_name))
    assert suggested(search(None, worth, 3, by_study)) == first
    assert suggested(search(None, worth, 3)) != first


def test_an_unknown_source_is_named() -> None:
    study = optuna.create_study(sampler=XferSampler(["nobody"]), study_name="me")
    with pytest.raises(StudyError, match="'nobody' is no other study of the storage of 'me'"):
        study.ask().suggest_categorical("x", ["a", "b"])


def test_failed_and_pruned_combinations_are_not_tried_again() -> None:
    values = ("a", "b", "c")

    def fails(trial: optuna.Trial) -> float:
        choice = trial.suggest_categorical("x", values)
        if choice == "a":
            raise RuntimeError
        trial.report(0.0, 1)
        if choice == "b":
            raise optuna.TrialPruned
        return float("nan")

    sampler = XferSampler(seed=0, config=QUICK, search_space={"x": values})
    study = optuna.create_study(sampler=sampler)
    study.optimize(fails, n_trials=3, catch=RuntimeError)
    assert {trial.params["x"] for trial in study.trials} == set(values)
    assert {trial.state for trial in study.trials} == {TrialState.FAIL, TrialState.PRUNED}
    study.optimize(fails, n_trials=2, catch=RuntimeError)  # all are known: random ones
    assert len(study.trials) == 5


def test_trials_that_run_side_by_side_differ() -> None:
    worth = weights(9)
    beside = storage_with((worth, 1.0))
    study = search(beside, worth, 0)
    trials = [study.ask() for _ in range(12)]
    for name in PARAMETERS:  # one parameter of each trial after the other
        for trial in trials:
            trial.suggest_categorical(name, PARAMETERS[name])
    assert len({tuple(t.params.values()) for t in trials}) == 12


def test_a_trial_that_ends_while_another_is_asked_for_changes_nothing() -> None:
    worth, found = weights(10), []
    for ends_between in (False, True):
        study = search(storage_with((worth, 1.0)), worth, 0)
        trial, other = study.ask(), study.ask()
        first, *names = PARAMETERS
        trial.suggest_categorical(first, PARAMETERS[first])
        if ends_between:
            study.tell(other, objective(worth)(other))
        for name in names:
            trial.suggest_categorical(name, PARAMETERS[name])
        found.append(trial.params)
    assert found[0] == found[1]


def test_threads_share_a_sampler() -> None:
    worth = weights(10)
    beside = storage_with((worth, 1.0))
    study = search(beside, worth, 0)
    study.optimize(objective(worth), n_trials=16, n_jobs=4)
    assert len({tuple(t.params.values()) for t in study.trials}) == 16
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


@pytest.mark.slow
def test_other_parameters_and_conditional_ones_are_suggested_beside() -> None:
    worth = weights(11)

    def mixed(trial: optuna.Trial) -> float:
        value = objective(worth)(trial) + trial.suggest_float("lr", 1e-4, 1.0, log=True)
        return value + (trial.suggest_int("k", 1, 3) if trial.params["p0"] == "a" else 0)

    def run(counts: tuple[int, ...]) -> list[dict]:
        beside = storage_with((worth, 1.0))
        for count in counts:
            study = search(beside, worth, 0)
            study.optimize(mixed, n_trials=count)
        return suggested(study)

    assert run((6,)) == run((2, 4))


def test_a_pickled_sampler_suggests_the_same() -> None:
    worth = weights(12)
    sampler = XferSampler(seed=3, config=QUICK)
    search(None, worth, 3, sampler)
    again = pickle.loads(pickle.dumps(sampler))
    expected = suggested(search(None, worth, 6, XferSampler(seed=3, config=QUICK)))
    assert suggested(search(None, worth, 6, again)) == expected


@pytest.mark.slow
def test_a_database_keeps_what_a_search_needs(tmp_path) -> None:
    worth = weights(13)
    url = f"sqlite:///{tmp_path}/optuna.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        source = optuna.create_study(
            storage=url,
            study_name="source0",
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        source.optimize(objective(worth), n_trials=50)
        found = suggested(search(source, worth, 4))
        source._storage.remove_session()
    assert found == suggested(search(storage_with((worth, 1.0)), worth, 4))
