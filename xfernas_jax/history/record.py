"""What is recorded: tasks, evaluations and the description of a study."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args

from xfernas_jax.errors import HistoryError
from xfernas_jax.space.base import Genotype

Status = Literal["complete", "failed", "stopped"]
Purpose = Literal["search", "collect", "confirm", "resume"]
Metric = Literal["accuracy", "score"]

_KNOWN = (
    ("status", get_args(Status)),
    ("purpose", get_args(Purpose)),
    ("metric", get_args(Metric)),
)


@dataclasses.dataclass(frozen=True)
class Task:
    """What is to be learned: a data set, how it is split, and its number of classes.

    Attributes:
      dataset: the name in the data registry.
      split: the rule that made train, validation and test parts, in words.
      num_classes: at least 2; 0 where a function of the user's gives scores.
    """

    dataset: str
    split: str
    num_classes: int

    def __post_init__(self) -> None:
        if not self.dataset or self.num_classes < 0 or self.num_classes == 1:
            raise HistoryError(
                "A task needs a data set name and at least 2 classes, or 0 where a function "
                f"scores. Got {self}."
            )

    @property
    def metric(self) -> Metric:
        """What its evaluations hold."""
        return "accuracy" if self.num_classes else "score"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One trained architecture and what came out.

    Attributes:
      genotype: the architecture.
      recipe: fingerprint of everything that changes the expected value.
      seed: of initial values, batches and augmentation.
      status: "failed" when the loss diverged, "stopped" when an early-stopping rule ended it.
      valid_accuracy: fraction in [0, 1] after the last epoch of the recipe; None unless complete:
        what a stopped one had reached is in its curve and is no score.
      curve: validation accuracy after each finished epoch.
      num_params: trainable parameters.
      seconds: wall time, compilation included.
      purpose: "confirm" marks the repeated trainings of the finalists, "resume" a stopped
        evaluation of the same seed that went on; its curve is the whole one.
      round_index: the batch of suggestions it came from, from 0.
      number: its place among the study's evaluations of its purpose, from 0, as they were
        suggested; those that run at once are recorded in the order in which they finish.
      predicted: what the optimizer expected, in its own unit; None where it does not predict.
      failure: one line that says why it failed, else empty.
      versions: of Python, jax and what else ran it, as (name, version) pairs.
      costs: what the network costs beside its parameters, as (name, value) pairs, such as
        ("latency_ms", 3.1); finite and not negative.
      metric: "accuracy", or "score" where a function of the user's gave the value: then
        `valid_accuracy` and `curve` hold finite numbers in its own unit, larger is better.
    """

    genotype: Genotype
    recipe: str
    seed: int
    status: Status
    valid_accuracy: float | None
    curve: tuple[float, ...]
    num_params: int
    seconds: float
    purpose: Purpose = "search"
    round_index: int = 0
    number: int = 0
    predicted: float | None = None
    failure: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    costs: tuple[tuple[str, float], ...] = ()
    metric: Metric = "accuracy"

    def __post_init__(self) -> None:
        for field, known in _KNOWN:
            if getattr(self, field) not in known:
                raise HistoryError(
                    f"{field} is one of {', '.join(known)}. Got {getattr(self, field)!r}."
                )
        if self.status == "stopped" and not self.curve:
            raise HistoryError("A stopped evaluation has a curve of at least one epoch.")
        if (self.valid_accuracy is None) == (self.status == "complete"):
            raise HistoryError(
                f"valid_accuracy is given exactly when status is 'complete'. Got "
                f"{self.valid_accuracy!r} with {self.status!r}."
            )
        values = (*self.curve, *([] if self.valid_accuracy is None else [self.valid_accuracy]))
        for value in values:
            if not math.isfinite(value):
                raise HistoryError(f"A value is a finite number. Got {value!r}.")
            if self.metric == "accuracy" and not 0.0 <= value <= 1.0:
                raise HistoryError(f"An accuracy is a fraction in [0, 1]. Got {value!r}.")
        for name, cost in self.costs:
            if not math.isfinite(cost) or cost < 0:
                raise HistoryError(f"Cost {name!r} is finite and not negative. Got {cost!r}.")
        if not math.isfinite(self.seconds) or self.seconds < 0 or self.num_params < 0:
            raise HistoryError(
                f"seconds and num_params are finite and not negative. Got {self.seconds!r} and "
                f"{self.num_params!r}."
            )
        if self.predicted is not None and not math.isfinite(self.predicted):
            raise HistoryError(f"predicted is finite or absent. Got {self.predicted!r}.")


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
    """

    name: str
    kind: Literal["search", "collect"]
    task: Task
    space: str
    recipe: str
    config: Mapping[str, Any]
