"""From recorded sources to what a predictor learns from."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from xfernas_jax.history.goal import Goal, cost_rows
from xfernas_jax.history.record import Evaluation
from xfernas_jax.history.sources import Source
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.seen import Outlook, Seen
from xfernas_jax.space.base import Genotype, Space


def source_curves(sources: Sequence[Source]) -> list[list[tuple[float, ...]]]:
    """Returns the learning curves of each source's complete trainings, as gains."""
    return [
        [tuple(map(s.task.metric.gain, e.curve)) for e in s.evaluations if e.status == "complete"]
        for s in sources
    ]


def scored_history(
    space: Space, name: str, pairs: Iterable[tuple[Genotype, float]]
) -> TaskHistory | None:
    """Encodes genotypes with finite scores; those of equal networks are averaged.

    None where there are fewer than two different ones: they teach nothing.
    """
    scores: dict[str, list[float]] = {}
    tokens: dict[str, tuple[int, ...]] = {}
    for genotype, score in pairs:
        key = space.key(genotype)
        scores.setdefault(key, []).append(score)
        tokens.setdefault(key, space.encode(genotype))
    if len(scores) < 2:
        return None
    means = np.array([np.mean(values) for values in scores.values()])
    rows = space.canonical_tokens(np.array([tokens[key] for key in scores], np.int32))
    return TaskHistory(name, rows, means)


def task_histories(
    space: Space,
    sources: Sequence[Source],
    costs: tuple[str, ...] = (),
    outlook: Outlook | None = None,
) -> tuple[TaskHistory, ...]:
    """Encodes the complete evaluations of each source; seeds of one architecture are averaged.

    A source with fewer than two different architectures teaches nothing and is left out.

    Args:
      space: of the architectures.
      sources: what was recorded.
      costs: names of those that matter; of what a source has not recorded it knows nothing.
      outlook: what its values count for on the target; None for what they are.
    """
    histories = []
    for source in sources:
        seen = Seen(space, Goal(metric=source.task.metric), source.evaluations, outlook=outlook)
        complete = seen.complete
        pairs = [(e.genotype, seen.gain(e)) for e in complete]
        history = scored_history(space, source.name, pairs)
        if history is not None:
            known = _mean_costs(costs, complete)
            numbers = source.task.numbers
            histories.append(dataclasses.replace(history, costs=known, numbers=numbers))
    return tuple(histories)


def _mean_costs(names: tuple[str, ...], evaluations: Sequence[Evaluation]) -> np.ndarray | None:
    """Returns `[N, C]` for the N networks in the order of their first evaluation, None for C = 0.

    Means over the trainings in which a cost is known; NaN where it is known in none.
    """
    if not names:
        return None
    groups: dict[str, list[Evaluation]] = {}
    for evaluation in evaluations:
        groups.setdefault(evaluation.key, []).append(evaluation)
    rows = []
    for group in groups.values():
        columns = [column[np.isfinite(column)] for column in cost_rows(names, group).T]
        rows.append([column.mean() if len(column) else np.nan for column in columns])
    return np.array(rows)
