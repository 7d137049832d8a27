"""What all baselines share: the random start, optional libraries."""

import abc
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from xfernas_jax.errors import MissingExtraError
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.registry import SearchConfig
from xfernas_jax.search.seen import NewBatch, Seen, Suggestion
from xfernas_jax.space.base import Space


class Baseline(abc.ABC):
    """Random architectures until there is something to learn from, then `propose`.

    What failed is not proposed again and counts as the worst.
    """

    def __init__(
        self, space: Space, sources: Sequence[TaskHistory], config: SearchConfig | None = None
    ) -> None:
        """Takes what all suggestions share.

        Args:
          space: of the search.
          sources: histories of other tasks; without one, the start is random.
          config: `num_initial` is read; defaults to `SearchConfig()`.
        """
        self.space = space
        self.sources = [source for source in sources if len(source.scores)]
        self._num_initial = (config or SearchConfig()).num_initial

    @abc.abstractmethod
    def propose(
        self, rng: np.random.Generator, batch: NewBatch, count: int, target: TaskHistory
    ) -> None:
        """Adds to the batch until it has `count`; what is missing is filled at random."""

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> Sequence[Suggestion]:
        batch, target = seen.batch(), seen.history()
        known = len(seen.evaluations) + len(seen.pending)
        if self.sources or (known >= self._num_initial and len(target.scores)):
            self.propose(rng, batch, count, target)
        return batch.fill(rng, count)


def imported(module: str, extra: str) -> Any:
    """Imports a module; `MissingExtraError` names the extra that has it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"This baseline needs {module}; run `make setup EXTRAS={extra}`."
        ) from error
