"""What is recorded: tasks, jobs, their results, and the description of a study."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from xfernas_jax.errors import HistoryError
from xfernas_jax.history.metric import ACCURACY, Metric
from xfernas_jax.space.base import Genotype

Status = Literal["complete", "failed", "stopped", "broken"]
Purpose = Literal["search", "collect", "confirm", "resume", "test", "final"]


@dataclasses.dataclass(frozen=True)
class TaskFacts:
    """What is known of an image task before anything is trained.

    Attributes:
      num_images: of the training part, before a recipe takes some of it.
      num_classes: at least 2.
      side: pixels of the longer side of the median image, in its source.
      is_colour: whether the channels of some image differ.
      imbalance: images of the largest class over those of the smallest that has any; 1 at least.
    """

    num_images: int
    num_classes: int
    side: int
    is_colour: bool
    imbalance: float

    def __post_init__(self) -> None:
        counts = (self.num_images, self.num_classes - 1, self.side, self.imbalance)
        if not all(math.isfinite(count) and count >= 1 for count in counts):
            raise HistoryError(
                "Facts of a task are an image, 2 classes, a pixel and an imbalance of 1 at least. "
                f"Got {self}."
            )

    def numbers(self) -> tuple[float, ...]:
        """Returns `TaskHistory.numbers`: sizes as base-2 logarithms, and colour as 0 or 1."""
        sizes = (self.num_images, self.num_classes, self.side, self.imbalance)
        return (*map(math.log2, sizes), float(self.is_colour))


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be learned: a data set, how it is split, and what is measured.

    Attributes:
      dataset: the name in the data registry.
      split: the rule that made train, validation and test parts, in words.
      num_classes: at least 2; None where there are no classes, or none are known.
      metric: of the values of its evaluations.
      facts: None where nobody looked, as for what has no images; they do not tell tasks apart.
    """

    dataset: str
    split: str
    num_classes: int | None
    metric: Metric = ACCURACY
    facts: TaskFacts | None = dataclasses.field(default=None, compare=False)

    @property
    def numbers(self) -> tuple[float, ...]:
        """The facts as numbers; none where nobody looked."""
        return () if self.facts is None else self.facts.numbers()

    def __post_init__(self) -> None:
        if not self.dataset or (self.num_classes is not None and self.num_classes < 2):
            raise HistoryError(
                f"A task needs a data set name and at least 2 classes, or None. Got {self}."
            )


@dataclasses.dataclass(frozen=True)
class Job:
    """What is asked: an architecture to evaluate; a value that can be pickled.

    Attributes:
      number: among the study's jobs of its purpose, from 0, as they were suggested.
      genotype: the architecture.
      key: `Space.key` of it, equal for equal networks.
      seed: of its training: initial values, batches and augmentation.
      purpose: "confirm" repeats a finalist's training, "resume" lets a stopped one of the same
        seed go on, "test" repeats a training whose variables were not kept, "final" trains what
        is handed over, by the study's final recipe.
      after: how many evaluations of its search the optimizer had seen when it suggested this.
      predicted: what the optimizer expected, in its own unit; None where it does not predict.
      limit_seconds: wall time of the training, compilation included, which gets as many epochs of
        its recipe as fit; None for all of them.
    """

    number: int
    genotype: Genotype
    key: str
    seed: int
    purpose: Purpose = "search"
    after: int = 0
    predicted: float | None = None
    limit_seconds: float | None = None

    def __post_init__(self) -> None:
        _check_known("purpose", self.purpose, get_args(Purpose))
        if self.number < 0 or self.after < 0:
            raise HistoryError(f"number and after are not negative. Got {self}.")
        if self.predicted is not None and not math.isfinite(self.predicted):
            raise HistoryError(f"predicted is finite or absent. Got {self.predicted!r}.")
        limit = self.limit_seconds
        if limit is not None and not (math.isfinite(limit) and limit >= 0.0):
            raise HistoryError(f"limit_seconds is finite and not negative, or absent. Got {limit}.")


@dataclasses.dataclass(frozen=True)
class Result:
    """What came out of a job.

    Attributes:
      status: "failed" when the loss diverged or a function gave no score, "stopped" when an
        early-stopping rule ended it, "broken" when the machine or the user's code failed it
        (memory, a lost worker, an exception): under other neutral options it is tried again.
      value: of the task's metric after the last epoch; None unless complete: what a stopped one
        had reached is in its curve and is no value.
      curve: the metric after each finished epoch.
      costs: what the network costs, as (name, value) pairs, such as ("params", 6418.0); finite
        and not negative.
      seconds: wall time, compilation included.
      failure: one line that says why it failed or broke, else empty.
      versions: of Python, jax and what else ran it, as (name, version) pairs.
      runtime: the neutral options that it broke under, in words; else empty.
    """

    status: Status
    value: float | None = None
    curve: tuple[float, ...] = ()
    costs: tuple[tuple[str, float], ...] = ()
    seconds: float = 0.0
    failure: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    runtime: str = ""

    def __post_init__(self) -> None:
        _check_known("status", self.status, get_args(Status))
        if self.status == "stopped" and not self.curve:
            raise HistoryError("A stopped evaluation has a curve of at least one epoch.")
        if (self.value is None) == (self.status == "complete"):
            raise HistoryError(
                f"A value is given exactly when status is 'complete'. Got {self.value!r} with "
                f"{self.status!r}."
            )
        for value in (*self.curve, *([] if self.value is None else [self.value])):
            if not math.isfinite(value):
                raise HistoryError(f"A value is a finite number. Got {value!r}.")
        for name, cost in (*self.costs, ("seconds", self.seconds)):
            if not math.isfinite(cost) or cost < 0:
                raise HistoryError(f"Cost {name!r} is finite and not negative. Got {cost!r}.")


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A job and its result, as a study keeps them.

    Attributes:
      job: what was asked.
      result: what came out.
      recipe: fingerprint of the study's recipe, of everything that changes the expected value; what
        the purpose "final" trains by is in the study's configuration.
    """

    job: Job
    result: Result
    recipe: str

    @property
    def number(self) -> int:
        return self.job.number

    @property
    def genotype(self) -> Genotype:
        return self.job.genotype

    @property
    def key(self) -> str:
        return self.job.key

    @property
    def seed(self) -> int:
        return self.job.seed

    @property
    def purpose(self) -> Purpose:
        return self.job.purpose

    @property
    def status(self) -> Status:
        return self.result.status

    @property
    def value(self) -> float | None:
        return self.result.value

    @property
    def curve(self) -> tuple[float, ...]:
        return self.result.curve

    @property
    def costs(self) -> dict[str, float]:
        """What is known of its costs, by name."""
        return dict(self.result.costs)

    @property
    def seconds(self) -> float:
        return self.result.seconds

    @property
    def training(self) -> tuple[str, int, Purpose]:
        """Network, seed and purpose: a study holds each once, but for broken ones."""
        return self.key, self.seed, self.purpose

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What a record holds once: a broken one for each set of options that it broke under."""
        broken = ("broken", self.result.runtime) if self.status == "broken" else ()
        return (self.key, self.recipe, int(self.seed), self.purpose, *broken)


@dataclasses.dataclass(frozen=True)
class StudySpec:
    """What a study is about; fixed when it is created.

    Attributes:
      name: unique in its storage.
      kind: "search" or "collect".
      task: what is learned.
      space: name of the search space.
      recipe: fingerprint of the recipe of all its evaluations.
      config: JSON object of everything else that was chosen (optimizer, seed, recipe values);
        a rerun with another config is refused.
      version: of xfernas_jax that began it.
    """

    name: str
    kind: Literal["search", "collect"]
    task: Task
    space: str
    recipe: str
    config: Mapping[str, Any]
    version: str = ""


@runtime_checkable
class Record(Protocol):
    """The evaluations of one study and its final result; in memory or in a database."""

    def evaluations(self) -> tuple[Evaluation, ...]:
        """Returns what `current` leaves of them, in order of recording."""
        ...

    def append(self, evaluation: Evaluation) -> None:
        """Records an evaluation; a second one of the same training is dropped."""
        ...

    def set_result(self, result: Mapping[str, Any]) -> None:
        """Records the final summary, a JSON object; replaces an earlier one."""
        ...

    def result(self) -> dict[str, Any] | None:
        """Returns what `set_result` recorded last, None before that."""
        ...


def current(evaluations: Iterable[Evaluation]) -> tuple[Evaluation, ...]:
    """Leaves out what broke and was tried again since; the order is kept."""
    found = tuple(evaluations)
    last = {evaluation.training: place for place, evaluation in enumerate(found)}
    return tuple(
        evaluation
        for place, evaluation in enumerate(found)
        if evaluation.status != "broken" or last[evaluation.training] == place
    )


def _check_known(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise HistoryError(f"{field} is one of {', '.join(known)}. Got {value!r}.")
