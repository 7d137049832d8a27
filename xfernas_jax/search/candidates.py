"""Filtering of proposals: every suggestion is new, and equal networks count as one."""

from collections.abc import Iterable, Sequence

import numpy as np

from xfernas_jax.history.record import Evaluation
from xfernas_jax.space.base import Genotype, Space

_TRIES = 1000


class Seen:
    """The networks that need no further evaluation, by canonical key."""

    def __init__(self, space: Space) -> None:
        """Starts empty."""
        self._space, self._keys = space, set[str]()

    def __contains__(self, genotype: Genotype) -> bool:
        return self._space.key(genotype) in self._keys

    def add(self, genotypes: Iterable[Genotype]) -> None:
        """Marks networks as seen."""
        self._keys.update(self._space.key(genotype) for genotype in genotypes)

    def copy_with(self, genotypes: Iterable[Genotype]) -> "Seen":
        """Returns a copy that has seen `genotypes` too."""
        copy = Seen(self._space)
        copy._keys = set(self._keys)
        copy.add(genotypes)
        return copy


def random_unseen(space: Space, rng: np.random.Generator, count: int, seen: Seen) -> list[Genotype]:
    """Draws up to `count` distinct unseen architectures and marks them as seen.

    Fewer come back when a space is all but exhausted (1,000 draws in a row gave nothing new).
    """
    found: list[Genotype] = []
    tries = 0
    while len(found) < count and tries < _TRIES:
        genotype = space.sample(rng)
        tries += 1
        if genotype not in seen:
            seen.add([genotype])
            found.append(genotype)
            tries = 0
    return found


def complete(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Returns the evaluations that have a score."""
    return [e for e in evaluations if e.valid_accuracy is not None]
