"""`AskTell`: a search in a loop of the user's own, without a storage and without training."""

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, SupportsIndex

from xfernas_jax.errors import FlagError, HistoryError
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.history.metric import SCORE
from xfernas_jax.history.record import Evaluation, Job, Result, Task
from xfernas_jax.history.sources import RecordedStudy, select_sources
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.base import suggest
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.seen import Seen
from xfernas_jax.search.sources import scored_history, task_histories
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.registry import get_space

_TASK = Task("asked and told", "none", None, SCORE)


class AskTell:
    """Suggests architectures and is told their scores.

    It keeps no record: to go on in another process, tell a new instance with the same arguments
    what was told before, in the same order. It then asks what the first one would have asked once
    every answer to it was in.
    """

    def __init__(
        self,
        space: Space | str,
        optimizer: str = "xfer_nao",
        sources: Iterable[RecordedStudy | tuple[Sequence[Genotype], Sequence[float]]] = (),
        seed: SupportsIndex = 0,
        config: SearchConfig | None = None,
    ) -> None:
        """Nothing is fitted before it is asked.

        Args:
          space: to search in, or its name.
          optimizer: see `search.registry.make_optimizer`.
          sources: other tasks in this space, each as its genotypes and their scores (larger is
            better, in any unit), or as a recorded study, such as those of `bundled_histories()`;
            studies of other spaces are left out.
          seed: of everything random.
          config: of the optimizer.

        Raises:
          FlagError: there is no such optimizer, or the seed is no whole number from 0.
          SpaceError: there is no such space.
          GenotypeError: a genotype of a source is not of the space.
          HistoryError: a source's scores are not as many finite numbers as genotypes.
        """
        self.space = get_space(space) if isinstance(space, str) else space
        self._seed = checked_seed(seed)
        self._record = MemoryRecord()
        self._pending: dict[str, Genotype] = {}
        histories = histories_of(self.space, list(sources))
        self._built_from = (optimizer, histories, config)
        self._optimizer = make_optimizer(optimizer, self.space, histories, config)
        self._nothing = Seen(self.space, Goal(metric=SCORE))

    def __getstate__(self) -> dict[str, Any]:
        """What is fitted is left out; it follows from the rest."""
        left_out = ("_optimizer", "_nothing")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        name, histories, config = self._built_from
        self._optimizer = make_optimizer(name, self.space, histories, config)
        self._nothing = Seen(self.space, Goal(metric=SCORE))

    def ask(self, count: int = 1) -> list[Genotype]:
        """Returns architectures that were neither asked nor told before.

        Fewer than `count`, possibly none, means that the space has no more.
        """
        told = self._record.evaluations()
        seen = self._nothing.then(told, self._pending.values())
        number = len(told) + len(self._pending)
        found = suggest(self._optimizer, seen, self._seed, number, count)
        asked = [suggestion.genotype for suggestion in found]
        self._pending.update({self.space.key(genotype): genotype for genotype in asked})
        return asked

    def tell(self, genotype: Genotype, score: float | None) -> None:
        """Tells the score of an architecture, asked for or not.

        Args:
          genotype: of the space.
          score: larger is better, in any unit; None where it failed, which counts as the worst.

        Raises:
          GenotypeError: the genotype is not of the space.
          HistoryError: the score is not finite.
        """
        key, number = self.space.key(genotype), len(self._record.evaluations())
        job = Job(number, genotype, key, seed=number)
        if score is not None and not math.isfinite(score):
            raise HistoryError(
                f"A score is a finite number, or None for what failed. Got {score!r}."
            )
        result = Result("failed") if score is None else Result("complete", float(score))
        self._record.append(Evaluation(job, result, "told"))
        self._pending.pop(key, None)


def checked_seed(seed: Any) -> int:
    """Returns a whole number from 0 as Python's; `FlagError` for anything else."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise FlagError(f"A seed is a whole number from 0. Got {seed!r:.40}.")
    return number


def histories_of(
    space: Space,
    sources: Sequence[RecordedStudy | tuple[Sequence[Genotype], Sequence[float]]],
) -> list[TaskHistory]:
    """Encodes sources of both kinds; see `AskTell`."""
    studies = [source for source in sources if isinstance(source, RecordedStudy)]
    histories = list(task_histories(space, select_sources(studies, space, _TASK, "all")))
    for number, source in enumerate(sources):
        if isinstance(source, RecordedStudy):
            continue
        genotypes, scores = source
        if len(genotypes) != len(scores):
            raise HistoryError(
                f"Source {number} has {len(genotypes)} genotypes and {len(scores)} scores; give a "
                "score for each."
            )
        pairs = zip(genotypes, map(float, scores), strict=True)
        history = scored_history(space, f"source {number}", pairs)
        if history is not None:
            histories.append(history)
    return histories
