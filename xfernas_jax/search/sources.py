"""From recorded sources to what a predictor learns from."""

from collections.abc import Sequence

import numpy as np

from xfernas_jax.history.sources import Source
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.space.base import Space


def source_curves(sources: Sequence[Source]) -> list[list[tuple[float, ...]]]:
    """Returns the learning curves of each source's complete evaluations."""
    return [[e.curve for e in s.evaluations if e.status == "complete"] for s in sources]


def task_histories(space: Space, sources: Sequence[Source]) -> tuple[TaskHistory, ...]:
    """Encodes the complete evaluations of each source; seeds of one architecture are averaged.

    A source with fewer than two different architectures teaches nothing and is left out.
    """
    histories = []
    for source in sources:
        scores: dict[str, list[float]] = {}
        tokens: dict[str, tuple[int, ...]] = {}
        for evaluation in source.evaluations:
            if evaluation.valid_accuracy is not None:
                key = space.key(evaluation.genotype)
                scores.setdefault(key, []).append(evaluation.valid_accuracy)
                tokens.setdefault(key, space.encode(evaluation.genotype))
        if len(scores) >= 2:
            histories.append(
                TaskHistory(
                    source.name,
                    np.array([tokens[key] for key in scores], np.int32),
                    np.array([np.mean(values) for values in scores.values()]),
                )
            )
    return tuple(histories)
