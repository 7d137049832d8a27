"""From recorded sources to what a predictor learns from."""

from collections.abc import Iterable, Sequence

import numpy as np

from xfernas_jax.history.goal import cost_rows
from xfernas_jax.history.record import Evaluation
from xfernas_jax.history.sources import Source
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.space.base import Genotype, Space


def source_curves(sources: Sequence[Source]) -> list[list[tuple[float, ...]]]:
    """Returns the learning curves of each source's complete trainings; scores have none."""
    return [
        [e.curve for e in s.evaluations if e.status == "complete" and e.metric == "accuracy"]
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
    return TaskHistory(name, np.array([tokens[key] for key in scores], np.int32), means)


def task_histories(
    space: Space, sources: Sequence[Source], costs: tuple[str, ...] = ()
) -> tuple[TaskHistory, ...]:
    """Encodes the complete evaluations of each source; seeds of one architecture are averaged.

    `costs` names those that matter; of what a source has not recorded it knows nothing.

    A source with fewer than two different architectures teaches nothing and is left out.
    """
    histories = []
    for source in sources:
        scores: dict[str, list[float]] = {}
        tokens: dict[str, tuple[int, ...]] = {}
        evaluations: dict[str, list[Evaluation]] = {}
        for evaluation in source.evaluations:
            if evaluation.valid_accuracy is not None:
                key = space.key(evaluation.genotype)
                scores.setdefault(key, []).append(evaluation.valid_accuracy)
                tokens.setdefault(key, space.encode(evaluation.genotype))
                evaluations.setdefault(key, []).append(evaluation)
        if len(scores) >= 2:
            histories.append(
                TaskHistory(
                    source.name,
                    np.array([tokens[key] for key in scores], np.int32),
                    np.array([np.mean(values) for values in scores.values()]),
                    costs=_mean_costs(costs, list(evaluations.values())),
                )
            )
    return tuple(histories)


def _mean_costs(names: tuple[str, ...], architectures: list[list[Evaluation]]) -> np.ndarray:
    """Returns `[N, C]`, means over the trainings in which a cost is known; NaN where in none."""
    rows = np.full((len(architectures), len(names)), np.nan)
    for row, evaluations in enumerate(architectures):
        found = cost_rows(names, evaluations)
        for column in range(len(names)):
            known = found[np.isfinite(found[:, column]), column]
            if len(known):
                rows[row, column] = known.mean()
    return rows
