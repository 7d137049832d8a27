"""Measures what several devices give: evaluations per hour, and an epoch that they share.

    python -m experiments.bench.devices --output=devices.json

Evaluations: the contenders are this process, this process with the next network compiled while one
trains, and 2 and 4 workers (the processor's cores are divided among them; with accelerators each
has one). All train the same random networks, other ones in each round, and take turns, so that a
busy machine slows all of them. Start-up is not counted and nothing is compiled before. Data
parallelism: one training whose batches 1, 2 and 4 devices share. On a CPU its devices share the
cores as well, so the figure shows what the division costs, not what it gains.

With accelerators this process would take their memory: `--workers=` measures it alone, and with
workers it is left out.
"""

import contextlib
from contextlib import closing
from typing import Any, cast

import jax
import numpy as np
from absl import flags

from experiments.bench.jobs import EpochTimes, evaluate_all, make_jobs
from experiments.bench.machine import BenchFlags, shown_versions
from experiments.commands import start
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.evaluate.spec import TrainedSpec
from xfernas_jax.executors.base import Executor
from xfernas_jax.executors.devices import Devices, device_groups, find_devices
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.executors.local import LocalExecutor
from xfernas_jax.history import Job
from xfernas_jax.nn.programs import ProgramChoice
from xfernas_jax.space import NASBENCH201_BEST

_RECIPE = flags.DEFINE_string("recipe", "cpu", "Recipe of the evaluations.")
_PROGRAMS = flags.DEFINE_enum("programs", "auto", ["auto", "own", "shared"], "As in run.py.")
_WORKERS = flags.DEFINE_list("workers", ["2", "4"], "Numbers of workers beside this process.")
_EVALUATIONS = flags.DEFINE_integer("evaluations", 8, "In each round.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Measurements of each.", lower_bound=1)
_SHARES = flags.DEFINE_list("shares", ["1", "2", "4"], "Devices that share a batch.")
_BENCH = BenchFlags(threads=False)

_SPACE, _DATASET = "nasbench201", "digits"
_SHARED_TRAINING = ("network.filters=32", "train.batch_size=256", "data.train_examples=1024")
_SHARED_STEPS = 4  # in its epochs
_WARM_SEED = 10**6


def open_executors(spec: TrainedSpec, runtime: Runtime, platform: str) -> dict[str, Executor]:
    """Builds the contenders by name."""
    executors: dict[str, Executor] = {}
    if platform == "cpu" or not _WORKERS.value:
        plain, ahead = spec.build(runtime), spec.build(runtime)
        executors["this process"] = InProcessExecutor(plain)
        executors["this process, compiling ahead"] = InProcessExecutor(ahead, ahead.prepare)
    for number in map(int, _WORKERS.value):
        groups = device_groups(Devices(platform, number), 1)
        executors[f"{number} workers"] = LocalExecutor(spec, runtime, groups)
    return executors


def measure_evaluations(executors: dict[str, Executor]) -> list[dict[str, Any]]:
    """Times rounds of evaluations; returns a row for each contender."""
    with contextlib.ExitStack() as stack:
        for executor in executors.values():
            stack.callback(executor.close)
            evaluate_all(executor, make_jobs(_SPACE, executor.num_workers, _WARM_SEED))
        names, hourly = list(executors), {name: list[float]() for name in executors}
        for i in range(_ROUNDS.value):
            jobs = make_jobs(_SPACE, _EVALUATIONS.value, i)
            for name in names[i % len(names) :] + names[: i % len(names)]:
                seconds = evaluate_all(executors[name], jobs)
                hourly[name].append(3600 * len(jobs) / seconds)
    rows = []
    for name in names:
        low, middle, high = np.percentile(hourly[name], (0, 50, 100))
        print(f"{name:>30}: {middle:8.0f} evaluations an hour ({low:.0f} to {high:.0f})")
        rows.append({"contender": name, "evaluations_per_hour": hourly[name]})
    return rows


def measure_shares(platform: str) -> list[dict[str, Any]]:
    """Times the epochs of one training that several devices share."""
    recipe = get_recipe("cpu", [*_SHARED_TRAINING, f"train.epochs={_ROUNDS.value + 1}"])
    spec, runtime = TrainedSpec(_SPACE, _DATASET, None, recipe), Runtime("own")
    key = spec.find_space().key(NASBENCH201_BEST)
    rows = []
    for number in map(int, _SHARES.value):
        (group,) = device_groups(Devices(platform, number), number)
        with closing(LocalExecutor(spec, runtime, [group])) as executor:
            times = EpochTimes()
            executor.submit(Job(0, NASBENCH201_BEST, key, 0))
            executor.next_finished(times)
        steps = 1e3 * np.diff(times.seconds) / _SHARED_STEPS
        low, middle, high = np.percentile(steps, (0, 50, 100))
        print(f"{number:>22} devices: {middle:8.1f} ms a step ({low:.1f} to {high:.1f})")
        rows.append({"devices": number, "step_ms": steps.tolist()})
    return rows


def main() -> None:
    """Measures, prints and writes."""
    _BENCH.begin(cpu=False)
    devices = find_devices()
    if devices.platform != "cpu" and _WORKERS.value:
        jax.config.update("jax_platforms", "cpu")
    spec = TrainedSpec(_SPACE, _DATASET, None, get_recipe(_RECIPE.value))
    runtime = Runtime(cast(ProgramChoice, _PROGRAMS.value))
    result = {
        "platform": devices.platform,
        "recipe": _RECIPE.value,
        "programs": _PROGRAMS.value,
        "evaluations": measure_evaluations(open_executors(spec, runtime, devices.platform)),
        "shared_batches": measure_shares(devices.platform),
    }
    print(shown_versions())
    _BENCH.end(result)


if __name__ == "__main__":
    start("devices", main)
