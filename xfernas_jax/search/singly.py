"""Suggestions one at a time from optimizers that think in batches."""

from collections.abc import Sequence

import numpy as np

from xfernas_jax.search.base import SearchOptimizer, Suggestion
from xfernas_jax.space.base import Genotype

_BATCH, _NUM_BEST = 5, 3


def suggest_one(
    optimizer: SearchOptimizer, seed: int, number: int, pending: Sequence[Genotype] = ()
) -> Suggestion | None:
    """Returns the suggestion of this number (from 0) of a search; None where nothing is new.

    A batch of one would always be what looks best. So of five numbers in a row three take that,
    and two the last of a batch of five, which explores.
    """
    count = 1 if number % _BATCH < _NUM_BEST else _BATCH
    found = optimizer.suggest(np.random.default_rng([seed, number]), count, pending)
    return found[-1] if found else None
