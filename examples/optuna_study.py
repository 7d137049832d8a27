"""An Optuna study that learns from an earlier one by XferSampler.

    python examples/optuna_study.py

Both studies choose a classifier's settings; the earlier one for half of the digits, the new one for
the other half. They lie in one storage, as they would from day to day.
"""

import numpy as np
import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from xfernas_jax import XferSampler

SCALERS = {"none": "passthrough", "norm": Normalizer(), "standard": StandardScaler()}


def objective(trial: optuna.Trial, first: int) -> float:
    """Returns the accuracy of a choice for five of the digits."""
    images, labels = load_digits(return_X_y=True)
    wanted = (labels >= first) & (labels < first + 5)
    neighbours = KNeighborsClassifier(
        n_neighbors=trial.suggest_categorical("neighbours", [1, 3, 9, 27, 81]),
        weights=trial.suggest_categorical("weights", ["uniform", "distance"]),
        p=trial.suggest_categorical("p", [1, 2]),
    )
    scaler = SCALERS[trial.suggest_categorical("scaler", list(SCALERS))]
    model = make_pipeline(scaler, neighbours)
    return float(np.mean(cross_val_score(model, images[wanted], labels[wanted], cv=3)))


def main() -> None:
    """Runs the earlier study and the one that learns from it."""
    storage = optuna.storages.InMemoryStorage()  # or "sqlite:///studies.db"
    earlier = optuna.create_study(
        study_name="digits 0 to 4",
        storage=storage,
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    earlier.optimize(lambda trial: objective(trial, 0), n_trials=20)
    study = optuna.create_study(
        study_name="digits 5 to 9",
        storage=storage,
        direction="maximize",
        sampler=XferSampler(seed=0),  # all other studies of the storage are sources
    )
    study.optimize(lambda trial: objective(trial, 5), n_trials=5)
    print(f"best of {len(study.trials)}: {100 * study.best_value:.1f} % with {study.best_params}")


if __name__ == "__main__":
    main()
