"""From flags to what a search is after beside its metric: limits on costs, trades, records."""

import math

from xfernas_jax.cli import flags
from xfernas_jax.errors import FlagError
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import Metric
from xfernas_jax.nn.costs import find_cost

_LIMITS = {
    "params": flags.MAX_PARAMS,
    "flops": flags.MAX_FLOPS,
    "latency_ms": flags.MAX_LATENCY_MS,
}


def goal(metric: Metric) -> Goal:
    """Returns what the flags want beside the metric."""
    limits = [(name, float(flag.value)) for name, flag in _LIMITS.items() if flag.value is not None]
    limits += [(find_cost(name).name, limit) for name, limit in _other_limits()]
    pareto = "" if flags.PARETO.value == "none" else find_cost(flags.PARETO.value).name
    return Goal(tuple(limits), pareto, metric)


def recorded_costs() -> tuple[str, ...]:
    """Returns the costs that evaluations record: names, or `module:NAME`, each once."""
    pareto = [] if flags.PARETO.value == "none" else [flags.PARETO.value]
    wanted = [*flags.COSTS.value, *limited_costs(), *pareto]
    addresses = {find_cost(name).name: name for name in wanted}
    return tuple(addresses[name] for name in sorted(addresses))


def limited_costs() -> tuple[str, ...]:
    """Returns the costs that have a limit: names, or `module:NAME`."""
    own = [name for name, flag in _LIMITS.items() if flag.value is not None]
    return (*own, *(name for name, _ in _other_limits()))


def flag_of(name: str, limit: float) -> str:
    """Returns the flag that sets a limit, as it is written."""
    return f"--max_{name}={limit:g}" if name in _LIMITS else f"--max_cost={name}={limit:g}"


def _other_limits() -> list[tuple[str, float]]:
    """Reads --max_cost."""
    found = []
    for text in flags.MAX_COST.value:
        name, equals, number = text.rpartition("=")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not equals or not limit > 0.0:
            raise FlagError(
                f"--max_cost={text:.80}: the form is NAME=LIMIT with a positive number, such as "
                "--max_cost=params=5000."
            )
        found.append((name, limit))
    return found
