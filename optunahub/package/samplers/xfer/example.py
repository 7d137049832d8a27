"""A study that learns from an earlier one.

python example.py              # with the registry's copy
python example.py PACKAGE      # with the folder `package` of a clone
"""

from __future__ import annotations

import sys

import optuna

import optunahub


def objective(trial: optuna.Trial, best: int) -> float:
    """Returns what is to be small: the distance to the best depth, and a little for the width."""
    depth = trial.suggest_categorical("depth", [2, 4, 8])
    width = trial.suggest_categorical("width", [32, 64, 128])
    return abs(depth - best) + width / 1000


def main(root: str | None = None) -> None:
    """Runs the earlier study and the one that learns from it."""
    if root is None:
        module = optunahub.load_module(package="samplers/xfer")
    else:
        module = optunahub.load_local_module(package="samplers/xfer", registry_root=root)
    storage = optuna.storages.InMemoryStorage()
    before = optuna.create_study(study_name="before", storage=storage)
    before.optimize(lambda trial: objective(trial, 4), n_trials=15)
    study = optuna.create_study(
        study_name="now", storage=storage, sampler=module.XferSampler(seed=0)
    )
    study.optimize(lambda trial: objective(trial, 2), n_trials=6)
    print(f"best of {len(study.trials)}: {study.best_value:.3f} with {study.best_params}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
