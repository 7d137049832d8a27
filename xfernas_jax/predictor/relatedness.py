"""How well the sources tell of one another, and which of them are like the target."""

from collections.abc import Sequence

import numpy as np

from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.gp import GaussianProcess, Settings
from xfernas_jax.predictor.scaling import average_ranks, rank_to_normal

_MAX_ROWS = 400  # of a source; more tell no more about relatedness
_NOISES = (0.03, 0.1, 0.3, 1.0, 3.0)


def relatedness(sources: Sequence[TaskHistory]) -> float:
    """Returns the mean |rank correlation| of a source with what the other sources predict for it.

    Each source is fitted alone, so no source can see another: sources of random scores get
    about 0, also where a joint network would learn them by heart. 0.5 with a single source,
    which says nothing about transfer.
    """
    if len(sources) < 2:
        return 0.5
    rows = [_thin(source) for source in sources]
    fits = [_fit(*row) for row in rows]
    found = []
    for j, (tokens, scores) in enumerate(rows):
        others = [_kernel(tokens, rows[i][0]) @ fits[i] for i in range(len(rows)) if i != j]
        found.append(abs(rank_correlation(np.mean(others, axis=0), scores)))
    return float(np.mean(found))


def similarity(target: TaskHistory, sources: Sequence[TaskHistory]) -> np.ndarray:
    """Returns `[J]` how like the target each source is by the tasks' numbers; the mean is 1.

    All ones where one of the tasks has no numbers. Else exp(-d²/2), d² the mean square
    difference of the numbers after each was divided by its spread over all tasks.
    """
    numbers = [task.numbers for task in (target, *sources)]
    if len({len(row) for row in numbers}) != 1 or not target.numbers or not sources:
        return np.ones(len(sources))
    table = np.array(numbers)
    table /= np.maximum(table.std(0), 1e-12)
    found = np.exp(-0.5 * np.square(table[1:] - table[0]).mean(1))
    return found / found.mean()


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Returns Spearman's correlation; 0 where one of the two is constant."""
    ranks = np.stack([average_ranks(first), average_ranks(second)])
    ranks -= ranks.mean(1, keepdims=True)
    norms = np.sqrt(np.square(ranks).sum(1))
    return float(ranks[0] @ ranks[1] / np.prod(norms)) if norms.all() else 0.0


def _thin(source: TaskHistory) -> tuple[np.ndarray, np.ndarray]:
    """Takes evenly spaced rows of the scores' order: no random number, no order of recording."""
    order = np.lexsort((*source.tokens.T, source.scores))
    if len(order) > _MAX_ROWS:
        order = order[np.linspace(0, len(order) - 1, _MAX_ROWS).round().astype(int)]
    return source.tokens[order], rank_to_normal(source.scores[order]).astype(np.float64)


def _fit(tokens: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Returns coefficients `[N]` of the kernel to the rows, under the noise of most evidence.

    The variance of each process is the one of most evidence too.
    """
    count, num_settings = len(scores), len(_NOISES)
    settings = Settings(np.ones((num_settings, 1)), np.array(_NOISES), np.zeros(num_settings))
    process = GaussianProcess(settings, _kernel(tokens, tokens)[None], np.zeros(count), scores)
    variances = np.maximum(process.squares / count, 1e-12)
    evidence = -0.5 * count * np.log(variances) - process.log_determinants
    return process.coefficients(np.eye(num_settings)[np.argmax(evidence)])[1][0]


def _kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    equal = (first[:, None, :] == second[None]).mean(-1)
    return equal + np.exp(-3.0 * (1.0 - equal))
