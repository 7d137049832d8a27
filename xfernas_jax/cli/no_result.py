"""Why a search has no result, in a line."""

from collections.abc import Mapping, Sequence

from xfernas_jax.cli import flags, goals
from xfernas_jax.history import Evaluation
from xfernas_jax.history.goal import Goal


def no_result(study: str, evaluations: Sequence[Evaluation], goal: Goal) -> str:
    """Says why a search has no result."""
    if goal.costs:
        return f"Study {study}: {_nothing_admitted(evaluations, goal)}"
    failures = [e.result.failure for e in evaluations if e.result.failure]
    last = f"The last failure: {failures[-1] if failures else 'none recorded'}"
    if flags.OBJECTIVE.value is None:
        return (
            f"Study {study}: every evaluation or every confirming training failed, so there is no "
            f"best architecture; lower --set=train.learning_rate=... {last}"
        )
    return (
        f"Study {study}: --objective={flags.OBJECTIVE.value} gave no score. {last}; mend it and "
        "name another --study."
    )


def _nothing_admitted(evaluations: Sequence[Evaluation], goal: Goal) -> str:
    """Says how far what was evaluated is from the limits."""
    complete = [e for e in evaluations if e.value is not None]
    known: Mapping[str, list[float]] = {
        name: [e.costs[name] for e in complete if name in e.costs] for name, _ in goal.limits
    }
    lowest = [f"the lowest {name} was {min(costs):.4g}" for name, costs in known.items() if costs]
    seen = (
        f"of {len(complete)} evaluated architectures {' and '.join(lowest)}"
        if lowest
        else "of 1,000 that were looked at none was trained"
    )
    limits = ", ".join(goals.flag_of(name, limit) for name, limit in goal.limits)
    return f"no architecture within {limits or 'the goal'}: {seen}; raise the limit."
