"""Jobs go out, evaluations come back: executor, record, trained variables and listener."""

import dataclasses
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

from xfernas_jax.errors import UserError
from xfernas_jax.evaluate.base import Stop
from xfernas_jax.executors.base import Executor, Watcher
from xfernas_jax.history.record import Evaluation, Job, Purpose, Record
from xfernas_jax.space.base import Space

_MAX_BROKEN = 3  # in a row and without a value, before a search is given up


@runtime_checkable
class Listener(Watcher, Protocol):
    """Is told of progress; the command line draws it."""

    def finished(self, evaluation: Evaluation) -> None:
        """Is called when an evaluation is recorded."""
        ...


class Silence:
    """A listener that says nothing."""

    def started(self, job: Job) -> None: ...

    def epoch(self, job: Job, epoch: int, value: float) -> None: ...

    def finished(self, evaluation: Evaluation) -> None: ...


@runtime_checkable
class VariablesKeeper(Protocol):
    """Keeps trained variables by name, so that a search that was killed still has them."""

    def save(self, name: str, variables: Any) -> None: ...

    def load(self, name: str) -> Any | None: ...

    def keep_only(self, names: Iterable[str]) -> None: ...


class Desk:
    """Hands jobs to an executor and records what comes back; see the module."""

    def __init__(
        self,
        executor: Executor,
        record: Record,
        recipe: str,
        listener: Listener | None = None,
        keeper: VariablesKeeper | None = None,
        runtime: str = "",
    ) -> None:
        """Takes what all phases of a search share.

        Args:
          executor: that evaluates.
          record: of the study.
          recipe: fingerprint that is recorded.
          listener: told of progress.
          keeper: of variables; without one they are lost when the process ends.
          runtime: the neutral options in words: what broke under them waits for others.
        """
        self.executor, self.record = executor, record
        self._recipe, self._runtime, self._keeper = recipe, runtime, keeper
        self._listener = Silence() if listener is None else listener
        self.running: dict[int, Job] = {}
        self._num_broken = 0

    @property
    def space(self) -> Space:
        """The space of the genotypes."""
        return self.executor.space

    @property
    def num_free(self) -> int:
        """Workers without a job."""
        return self.executor.num_workers - len(self.running)

    def recorded(self, *purposes: Purpose) -> list[Evaluation]:
        """Returns what the record holds of these purposes, in order of recording."""
        return [e for e in self.record.evaluations() if e.purpose in purposes]

    def waits_for_other_options(self, evaluation: Evaluation) -> bool:
        """Tells whether an evaluation broke under the very options of today."""
        return evaluation.status == "broken" and evaluation.result.runtime == self._runtime

    def submit(self, job: Job, stop: Stop | None = None) -> None:
        """Gives a job to the executor."""
        self.running[job.number] = job
        self.executor.submit(job, stop)

    def next(self) -> tuple[Evaluation, Any]:
        """Waits for the next evaluation and returns it, not recorded yet, with its variables.

        Raises:
          UserError: the first evaluations of a study all broke; they are recorded.
        """
        job, scored = self.executor.next_finished(self._listener)
        del self.running[job.number]
        result = scored.result
        if result.status == "broken":
            result = dataclasses.replace(result, runtime=self._runtime)
            self._num_broken += 1
        else:
            self._num_broken = 0
        return Evaluation(job, result, self._recipe), scored.variables

    def keep(self, evaluation: Evaluation, variables: Any) -> None:
        """Keeps an evaluation's variables; before it is recorded, so that none is without."""
        if self._keeper is not None and variables is not None:
            self._keeper.save(variables_name(evaluation), variables)

    def keep_named(self, name: str, variables: Any) -> None:
        """Keeps variables of several trainings, see `joined_name`."""
        if self._keeper is not None:
            self._keeper.save(name, variables)

    def append(self, evaluation: Evaluation) -> None:
        """Records an evaluation and tells of it."""
        self.record.append(evaluation)
        self._listener.finished(evaluation)
        if self._num_broken >= _MAX_BROKEN and not any(
            e.value is not None for e in self.record.evaluations()
        ):
            raise UserError(
                f"The first {self._num_broken} evaluations all broke, the last with: "
                f"{evaluation.result.failure} They are recorded; mend it, or try --remat, another "
                "--programs or --devices_per_evaluation."
            )

    def append_among(
        self, evaluation: Evaluation, variables: Any, best: Sequence[Evaluation]
    ) -> None:
        """Records an evaluation; where it is among the best, keeps the variables of these alone."""
        if evaluation not in best:
            self.append(evaluation)
            return
        self.keep(evaluation, variables)
        self.append(evaluation)
        self.keep_only(best)

    def keep_only(self, evaluations: Iterable[Evaluation], *names: str) -> None:
        """Forgets the variables of all others, but for those of these names."""
        if self._keeper is not None:
            self._keeper.keep_only([*map(variables_name, evaluations), *names])

    def kept(self, evaluation: Evaluation) -> Any | None:
        """Returns variables that were kept, None where they were not."""
        return None if self._keeper is None else self._keeper.load(variables_name(evaluation))

    @property
    def keeps(self) -> bool:
        """Whether variables outlive the process."""
        return self._keeper is not None


def variables_name(evaluation: Evaluation) -> str:
    """Returns the name under which an evaluation's variables are kept."""
    return f"{evaluation.key}-{evaluation.seed}"


def joined_name(first: Evaluation, num_members: int) -> str:
    """Returns the name under which variables of several trainings are kept, or of the one.

    Args:
      first: of them.
      num_members: trainings of the same network.
    """
    name = variables_name(first)
    return name if num_members == 1 else f"{name}-mean-of-{num_members}"


def key_seed(key: str, seed: int) -> int:
    """Returns the seed of an architecture's training; equal networks get an equal one."""
    return zlib.crc32(f"{seed}/{key}".encode()) >> 1
