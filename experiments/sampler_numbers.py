"""What `XferSampler` makes of ints and floats, on the published table of FCNet.

    python -m experiments.sampler_numbers --benchmark_dir=DIR --seeds=3 --num_trials=50

Parameters are declared to Optuna as a person would: units, batch and learning rate on log scales,
dropout as a float, the rest as categories; the objective is the logarithm of the error of the
nearest row. Each task in turn is the target, and the sources are random studies of the others.
Compared are samplers that share the target's random numbers as far as they have any:

  xfer           XferSampler with the sources
  alone          XferSampler without sources
  tpe            Optuna's TPE
  tpe_enqueued   TPE, whose first ten trials are the best of the sources in turn
  random

Shown after 10, 20 and 50 trials: the share of rows that are better than the incumbent, in percent,
and its regret in nats of the error; means over targets and seeds, and of each sampler what `xfer`
is better by, with 95 % bootstrap intervals.
"""

import csv
import gzip
import math
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from absl import flags

from experiments import commands, statistics
from xfernas_jax.errors import FlagError
from xfernas_jax.search.xfer_sampler import XferSampler

_FOLDER = flags.DEFINE_string("benchmark_dir", None, "Folder with fcnet/fcnet.csv.gz.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "Studies of each sampler and target.", 1)
_FIRST_SEED = flags.DEFINE_integer("first_seed", 0, "Seed of the first study.", 0)
_TRIALS = flags.DEFINE_integer("num_trials", 50, "Trials of each study.", 1)
_SOURCE_TRIALS = flags.DEFINE_integer("source_trials", 200, "Random trials of each source.", 2)
_SAMPLERS = flags.DEFINE_list(
    "samplers", ["xfer", "alone", "tpe", "tpe_enqueued", "random"], "Those that are compared."
)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file of all curves, if wanted.")

_CHECKPOINTS = (10, 20, 50)
_NUM_ENQUEUED = 10
_VALUES: Mapping[str, tuple[Any, ...]] = {  # by column of the table, in its order
    "activation_1": ("a", "b"),
    "activation_2": ("a", "b"),
    "batch_size": (8, 16, 32, 64),
    "dropout_1": (0.0, 0.3, 0.6),
    "dropout_2": (0.0, 0.3, 0.6),
    "learning_rate": (5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1),
    "schedule": ("a", "b"),
    "units_1": (16, 32, 64, 128, 256, 512),
    "units_2": (16, 32, 64, 128, 256, 512),
}
_ON_LOG = ("batch_size", "learning_rate", "units_1", "units_2")
_Table = dict[str, dict[str, float]]  # by task and row: log error


def read_table(folder: str | None) -> _Table:
    """Reads the logarithms of all errors; `FlagError` where there is no table."""
    file = pathlib.Path(folder or "") / "fcnet" / "fcnet.csv.gz"
    if folder is None or not file.exists():
        raise FlagError(f"--benchmark_dir is a folder with fcnet/fcnet.csv.gz. Got {folder!r}.")
    with gzip.open(file, "rt", newline="") as lines:
        _, *tasks = next(rows := csv.reader(lines))
        found: _Table = {task.removesuffix("_val_mse"): {} for task in tasks}
        for config, *errors in rows:
            for values, error in zip(found.values(), errors, strict=True):
                values[config] = math.log(float(error))
    return found


def suggested_row(trial: optuna.Trial) -> str:
    """Asks for all parameters and returns the nearest row."""
    digits = []
    for name, values in _VALUES.items():
        if isinstance(values[0], str):
            digits.append(values.index(trial.suggest_categorical(name, values)))
            continue
        log = name in _ON_LOG
        suggest: Any = trial.suggest_int if isinstance(values[0], int) else trial.suggest_float
        place = np.array([suggest(name, values[0], values[-1], log=log), *values], np.float64)
        place = np.log(place) if log else place
        digits.append(int(np.abs(place[1:] - place[0]).argmin()))
    return "".join(map(str, digits))


def run_study(
    errors: Mapping[str, float],
    sampler: optuna.samplers.BaseSampler,
    num_trials: int,
    enqueued: Sequence[Mapping[str, Any]] = (),
) -> optuna.Study:
    """Minimises the log error of a task."""
    study = optuna.create_study(sampler=sampler)
    for params in enqueued:
        study.enqueue_trial(dict(params))
    study.optimize(lambda trial: errors[suggested_row(trial)], n_trials=num_trials)
    return study


def best_in_turn(sources: Sequence[optuna.Study], count: int) -> list[Mapping[str, Any]]:
    """Returns the best of each source, then the second best of each, and so on."""
    ordered = [sorted(source.trials, key=lambda trial: trial.value or 0.0) for source in sources]
    return [trial.params for rank in zip(*ordered, strict=True) for trial in rank][:count]


def make_sampler(
    name: str, sources: Sequence[optuna.Study], seed: int
) -> tuple[optuna.samplers.BaseSampler, list[Mapping[str, Any]]]:
    """Returns a sampler and what is enqueued before it is asked."""
    if name in ("xfer", "alone"):
        return XferSampler(list(sources) if name == "xfer" else [], seed=seed), []
    if name in ("tpe", "tpe_enqueued"):
        first = best_in_turn(sources, _NUM_ENQUEUED) if name == "tpe_enqueued" else []
        return optuna.samplers.TPESampler(seed=seed), first
    if name in ("network", "network_alone"):  # 16 levels of each number as tokens
        given = list(sources) if name == "network" else []
        return XferSampler(given, seed=seed, optimizer="xfer_nao"), []
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed), []
    raise FlagError(f"--samplers has no {name!r}.")


def curves_of(table: _Table, target: str, seed: int) -> dict[str, list[float]]:
    """Returns the incumbent's log error after each trial, by sampler."""
    others = [task for task in table if task != target]
    sources = [
        run_study(
            table[task],
            optuna.samplers.RandomSampler(seed=1_000 * (seed + 1) + i),
            _SOURCE_TRIALS.value,
        )
        for i, task in enumerate(others)
    ]
    found = {}
    for name in _SAMPLERS.value:
        began = time.perf_counter()
        sampler, enqueued = make_sampler(name, sources, seed)
        study = run_study(table[target], sampler, _TRIALS.value, enqueued)
        values = [trial.value for trial in study.trials]
        found[name] = np.minimum.accumulate(np.array(values, np.float64)).tolist()
        seconds = time.perf_counter() - began
        shown = [round(found[name][n - 1], 3) for n in _CHECKPOINTS if n <= len(values)]
        print(f"{target:>26} {seed:>3} {name:>14} {shown} {seconds:.0f} s", flush=True)
    return found


def measures(
    table: _Table, curves: Mapping[str, Sequence[Mapping[str, Sequence[float]]]], after: int
) -> dict[str, dict[str, np.ndarray]]:
    """Returns `[targets, seeds]` by measure and sampler, after some trials."""
    found: dict[str, dict[str, np.ndarray]] = {"percent_better": {}, "regret": {}}
    for name in _SAMPLERS.value:
        value = {t: np.array([run[name][after - 1] for run in runs]) for t, runs in curves.items()}
        rows = {task: np.sort(list(table[task].values())) for task in value}
        better = [
            100.0 * np.searchsorted(rows[t], v - 1e-12) / len(rows[t]) for t, v in value.items()
        ]
        found["percent_better"][name] = np.stack(better)
        found["regret"][name] = np.stack([v - rows[t][0] for t, v in value.items()])
    return found


def main() -> None:
    """Runs all studies and shows the comparison."""
    table = read_table(_FOLDER.value)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seeds = range(_FIRST_SEED.value, _FIRST_SEED.value + _SEEDS.value)
    curves: dict[str, list[dict[str, list[float]]]] = {task: [] for task in table}
    for seed in seeds:  # all targets of a seed first, so that what is stopped is balanced
        for target in table:
            curves[target].append(curves_of(table, target, seed))
    if _OUTPUT.value is not None:
        file = pathlib.Path(_OUTPUT.value)
        commands.write_json(file, {"commit": commands.commit(), "curves": curves})
    for after in (n for n in _CHECKPOINTS if n <= _TRIALS.value):
        for measure, values in measures(table, curves, after).items():
            first = values[_SAMPLERS.value[0]]
            for name, found in values.items():
                gain = found - first
                low, high = statistics.interval(gain)
                print(
                    f"{after:>3} trials {measure:>15} {name:>14} {found.mean():8.4f}   "
                    f"worse than {_SAMPLERS.value[0]} by {gain.mean():.4f} [{low:.4f}, {high:.4f}]"
                )


if __name__ == "__main__":
    commands.start("sampler_numbers", main)
