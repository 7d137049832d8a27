"""Tests of samplers/xfer; the sampler's own are in xfernas_jax."""

from __future__ import annotations

import pathlib

import optuna
import pytest

import optunahub

ROOT = pathlib.Path(__file__).resolve().parents[3]  # the registry's folder `package`
XferSampler = optunahub.load_local_module("samplers/xfer", registry_root=str(ROOT)).XferSampler
CHOICES = {"depth": [2, 4, 8], "width": [32, 64, 128]}


def objective(trial: optuna.Trial) -> float:
    """Returns what is to be small."""
    values = [trial.suggest_categorical(name, choices) for name, choices in CHOICES.items()]
    return float(abs(values[0] - 4) + values[1] / 1000)


def test_the_first_suggestion_is_what_another_study_found_best() -> None:
    """The source has tried all nine; a random first trial would pass in one of nine cases."""
    storage = optuna.storages.InMemoryStorage()
    before = optuna.create_study(
        study_name="before", storage=storage, sampler=optuna.samplers.GridSampler(CHOICES)
    )
    before.optimize(objective, n_trials=9)
    sampler = XferSampler(seed=0, search_space=CHOICES)
    study = optuna.create_study(study_name="now", storage=storage, sampler=sampler)
    study.optimize(objective, n_trials=1)
    assert study.trials[0].params["depth"] == 4


def test_equal_seeds_give_equal_trials() -> None:
    """Without other studies, too."""
    found = []
    for _ in range(2):
        study = optuna.create_study(sampler=XferSampler([], seed=3, search_space=CHOICES))
        study.optimize(objective, n_trials=4)
        found.append([trial.params for trial in study.trials])
    assert found[0] == found[1]


def test_several_objectives_are_refused() -> None:
    """It is for one."""
    study = optuna.create_study(directions=["minimize"] * 2, sampler=XferSampler([], seed=0))
    with pytest.raises(ValueError, match="multi-objective"):
        study.optimize(lambda trial: (objective(trial), 0.0), n_trials=1)
