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
from collections.abc import Sequence

import optuna
from absl import app, flags

from experiments.bench.load import LoadError, LoadSizes, measure_load
from experiments.bench.machine import check_output, write_result
from experiments.bench.postgres import running_postgres
from experiments.commands import guarded
from xfernas_jax.errors import FlagError

_STORAGE = flags.DEFINE_string(
    "storage", None, "URL of an empty PostgreSQL database; by default on a server of its own."
)
_SPACE = flags.DEFINE_string("space", "nao5", "Search space, of more networks than are evaluated.")
_WORKERS = flags.DEFINE_integer("workers", 16, "Processes that evaluate.", lower_bound=1)
_EVALUATIONS = flags.DEFINE_integer(
    "evaluations", 5000, "Evaluations beside the bare study.", lower_bound=1
)
_SMALL = flags.DEFINE_integer("small", 1000, "Stored before the first window.", lower_bound=0)
_GROWN = flags.DEFINE_integer("grown", 20_000, "Stored before the last window.", lower_bound=1)
_WINDOW = flags.DEFINE_integer("window", 500, "Evaluations of a window.", lower_bound=1)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file.")

_MOST_OF_BARE = 1.5
_MOST_OF_SMALL = 2.0


def main(argv: Sequence[str]) -> None:
    """Measures, prints, writes and judges."""
    if extra := argv[1:]:
        raise FlagError(f"storage_load takes flags only. Got {extra}.")
    if not _SMALL.value + _WINDOW.value <= _EVALUATIONS.value <= _GROWN.value:
        raise FlagError("storage_load needs small + window <= evaluations <= grown.")
    if _OUTPUT.value:
        check_output(_OUTPUT.value)
    sizes = LoadSizes(
        _SPACE.value,
        _WORKERS.value,
        _EVALUATIONS.value,
        _SMALL.value,
        _GROWN.value,
        _WINDOW.value,
    )
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
    if _OUTPUT.value:
        ratios = {"ratio_to_bare": of_bare, "ratio_grown_to_small": of_small}
        write_result(_OUTPUT.value, {**result, **ratios})
    if of_bare > _MOST_OF_BARE or of_small > _MOST_OF_SMALL:
        raise LoadError("A bar is missed.")


if __name__ == "__main__":
    app.run(guarded("storage_load", main, LoadError))
