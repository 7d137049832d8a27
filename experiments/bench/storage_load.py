"""A search whose evaluations take milliseconds: what the driver's part of each costs.

    python -m experiments.bench.storage_load --output=load.json

One driver searches (random search, so the optimizer costs little) and records in one PostgreSQL
study, under its lease; `--workers` processes evaluate. The driver's cost of an evaluation is its
wall time without the waiting for results: suggest, submit, record, observe. After each evaluation
the same trial goes into a bare Optuna study in the same database, by `create_trial` and
`add_trial` (`ask`, `report` and `tell` commit each attribute and epoch, and cost several times
that), so both meet the same load; its time is not the driver's.

When the `--evaluations` are there the search goes on to `--grown`, and `--window` more are
measured. What was recorded is compared with what the workers were given: one trial for each, with
the same content. It ends with code 1 where anything is lost or doubled, or a bar is missed.
"""

import contextlib

import optuna
from absl import flags

from experiments.bench.load import LoadError, LoadSizes, measure_load
from experiments.bench.machine import BenchFlags
from experiments.bench.postgres import running_postgres
from experiments.commands import start
from xfernas_jax.errors import FlagError
from xfernas_jax.options import define_flags, from_flags

_STORAGE = flags.DEFINE_string(
    "storage", None, "URL of an empty PostgreSQL database; by default on a server of its own."
)
define_flags(flags, LoadSizes)
_BENCH = BenchFlags(threads=False)

_MOST_OF_BARE = 1.5
_MOST_OF_SMALL = 2.0


def main() -> None:
    """Measures, prints, writes and judges."""
    sizes = from_flags(flags.FLAGS, LoadSizes)
    if not sizes.small + sizes.window <= sizes.evaluations <= sizes.grown:
        raise FlagError("storage_load needs small + window <= evaluations <= grown.")
    _BENCH.begin()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with contextlib.ExitStack() as stack:
        server = None if _STORAGE.value else stack.enter_context(running_postgres())
        url = f"{server.url}/postgres" if server else str(_STORAGE.value)
        result = measure_load(url, sizes)
    of_bare = result["driver_ms"] / result["bare_ms"]
    of_small = result["grown_driver_ms"] / result["small_driver_ms"]
    print(
        f"{result['num_recorded']} and then {result['num_recorded_grown']} evaluations recorded, "
        f"none lost or doubled; the first in {result['seconds']:.0f} s by {sizes.num_workers} "
        f"workers\nthe driver {result['driver_ms']:.1f} ms, bare Optuna {result['bare_ms']:.1f} ms "
        f"an evaluation: {of_bare:.2f} times (bar {_MOST_OF_BARE})"
    )
    for name, stored in (("small", sizes.small), ("grown", sizes.grown)):
        print(
            f"with {stored} stored: the driver {result[f'{name}_driver_ms']:.1f} ms, bare Optuna "
            f"{result[f'{name}_bare_ms']:.1f} ms"
        )
    print(f"the driver, grown to small: {of_small:.2f} times (bar {_MOST_OF_SMALL})")
    _BENCH.end({**result, "ratio_to_bare": of_bare, "ratio_grown_to_small": of_small})
    if of_bare > _MOST_OF_BARE or of_small > _MOST_OF_SMALL:
        raise LoadError("A bar is missed.")


if __name__ == "__main__":
    start("storage_load", main, LoadError)
