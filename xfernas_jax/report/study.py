"""A recorded search as its report needs it: what was searched, what it cost, what was best."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xfernas_jax.evaluate.tested import Tested
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import Evaluation, StudySpec
from xfernas_jax.predictor.explain import TaskRelations
from xfernas_jax.space.base import Space

_UNSEEN = ("confirm", "test", "final")  # purposes of trainings that no optimizer suggested


@dataclasses.dataclass(frozen=True)
class SourceCost:
    """A study that was learned from.

    Attributes:
      study: its name.
      num_evaluations: that were learned from.
      num_epochs: of these; None where the study is not here any more, or holds fewer.
      seconds: wall time of these, or None.
    """

    study: str
    num_evaluations: int
    num_epochs: int | None
    seconds: float | None


@dataclasses.dataclass(frozen=True, eq=False)
class SearchStudy:
    """A search, finished or not, and what its report compares it with.

    Attributes:
      spec: what it is about.
      evaluations: all that are recorded, in order of recording.
      space: of the genotypes.
      result: what the search recorded at its end, checked; None while it has not ended.
      others: searches of the same task, space and recipe.
      sources: what it learned from.
      tested: what its network says of the test images, where that was kept.
    """

    spec: StudySpec
    evaluations: tuple[Evaluation, ...]
    space: Space
    result: Mapping[str, Any] | None = None
    others: tuple["SearchStudy", ...] = ()
    sources: tuple[SourceCost, ...] = ()
    tested: Tested | None = None

    @functools.cached_property
    def searched(self) -> tuple[Evaluation, ...]:
        """The evaluations of the search as suggested; one that was resumed stands for both parts.

        The record of a resumed evaluation has the whole curve and the seconds of both parts.
        """
        resumed = {e.number: e for e in self._of("resume") if e.status != "broken"}
        return tuple(resumed.get(e.number, e) for e in self._suggested)

    @property
    def confirmations(self) -> tuple[Evaluation, ...]:
        """The trainings of the finalists: repeated, or by the study's final recipe."""
        return self._of("confirm", "final")

    @property
    def has_final(self) -> bool:
        """Whether finalists were trained by a final recipe, which says more than the search's."""
        return bool(self._of("final"))

    @property
    def repeated(self) -> tuple[Evaluation, ...]:
        """Trainings that were repeated for the test, because their variables were lost."""
        return self._of("test")

    @property
    def devices(self) -> int:
        """Devices that trained one architecture; 1 where that is not recorded."""
        found = (self.result or {}).get("devices_per_evaluation", 1)
        return found if type(found) is int and found >= 1 else 1

    @property
    def member_values(self) -> list[float]:
        """Values of the trainings whose mean is handed over; none where it is a single one."""
        return (self.result or {}).get("member_values", [])

    @property
    def metric(self) -> Metric:
        """The metric of its values."""
        return self.spec.task.metric

    @property
    def value_name(self) -> str:
        """What a value of the search is, in words; a user's function has no parts of data."""
        is_trained = "objective" not in self.spec.config
        return f"validation {self.metric.label}" if is_trained else self.metric.label

    @property
    def value_label(self) -> str:
        """`value_name` with its unit: the text of an axis, or the head of a column."""
        unit = f" ({self.metric.unit})" if self.metric.unit else ""
        return f"{self.value_name}{unit}"

    def shown(self, value: float) -> float:
        """Returns a recorded value as axes and tables show it: fractions in percent."""
        return 100.0 * value if self.metric.unit == "%" else value

    @property
    def limits(self) -> dict[str, float]:
        """Largest admitted value by cost name."""
        return dict(self.goal.limits)

    @property
    def relations(self) -> TaskRelations | None:
        """What the predictor has learned of the tasks, where the search recorded it."""
        found = (self.result or {}).get("relations")
        return None if found is None else TaskRelations.from_json(found)

    @functools.cached_property
    def rounds(self) -> Mapping[int, int]:
        """Number from 1 of each round by `Job.after`: what was suggested knowing the same."""
        return {after: i for i, after in enumerate(sorted({e.job.after for e in self.searched}), 1)}

    def round_of(self, evaluation: Evaluation) -> int | None:
        """Returns the round in which an evaluation was suggested; None for a repeated training."""
        return None if evaluation.purpose in _UNSEEN else self.rounds.get(evaluation.job.after)

    def incumbent(self) -> tuple["Step", ...]:
        """Returns the best admitted value after each evaluation, and after each resumed part."""
        resumed = self._of("resume")
        trainings = (*self._suggested, *resumed)
        before = {e.number: e.seconds for e in self._suggested}
        seconds, steps = 0.0, []
        for count, (e, best) in enumerate(
            zip(trainings, self.goal.incumbents(trainings), strict=True), start=1
        ):
            seconds += e.seconds - (before.get(e.number, 0.0) if e.purpose == "resume" else 0.0)
            number = min(count, len(self._suggested))
            steps.append(Step(number, seconds * self.devices, best))
        return tuple(steps)

    def best(self, count: int) -> list[Evaluation]:
        """Returns up to `count` architectures: the result's first, then the search's best."""
        admitted = [e for e in self.searched if self.goal.may_win(e)]
        gains = {e.number: self.metric.gain(e.value) for e in admitted if e.value is not None}
        ranked = sorted(admitted, key=lambda e: -gains[e.number])
        if self.result is not None:
            winner = self.space.key(self.space.from_json(self.result["best_genotype"]))
            own = [e for e in (*self.searched, *self.confirmations) if e.key == winner]
            ranked = [*own[:1], *ranked]
        distinct: dict[str, Evaluation] = {}
        for evaluation in ranked:
            distinct.setdefault(evaluation.key, evaluation)
        return list(distinct.values())[:count]

    def confirmed(self, key: str) -> list[float]:
        """Returns the values of an architecture's complete trainings as a finalist."""
        return [e.value for e in self.confirmations if e.key == key and e.value is not None]

    @functools.cached_property
    def goal(self) -> Goal:
        """The search's goal; what a record says otherwise than a search writes it is left out."""
        found = self.spec.config.get("goal")
        found = found if isinstance(found, Mapping) else {}
        limits, pareto = found.get("limits"), found.get("pareto")
        pairs = limits.items() if isinstance(limits, Mapping) else ()
        numbers = tuple((str(k), float(x)) for k, x in pairs if type(x) in (int, float) and x > 0)
        return Goal(numbers, pareto if isinstance(pareto, str) else "", self.metric)

    @functools.cached_property
    def _suggested(self) -> tuple[Evaluation, ...]:
        """The evaluations of the search as they were recorded, in the order of suggestion."""
        return tuple(sorted(self._of("search"), key=lambda e: e.number))

    def _of(self, *purposes: str) -> tuple[Evaluation, ...]:
        return tuple(e for e in self.evaluations if e.purpose in purposes)


@dataclasses.dataclass(frozen=True)
class Step:
    """A point of the incumbent's curve.

    Attributes:
      evaluations: of the search so far, failed and stopped ones included.
      device_seconds: of them all: wall time times devices.
      value: the best so far, as recorded; None while nothing is admitted.
    """

    evaluations: int
    device_seconds: float
    value: float | None


def cost_names(evaluations: Iterable[Evaluation]) -> tuple[str, ...]:
    """Returns the costs that some evaluation has, parameters first, the others by name."""
    names = {name for e in evaluations for name in e.costs}
    return tuple(sorted(names, key=lambda name: (name != "params", name)))


def pareto_set(costs: Sequence[float], gains: Sequence[float]) -> list[bool]:
    """Tells of each point whether no other one costs at most as much and is better, or reverse.

    Equal points do not beat each other.

    Args:
      costs: `[N]`, smaller is better.
      gains: `[N]`, larger is better; see `Metric.gain`.
    """
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -gains[i]))
    inside = [False] * len(costs)
    best: tuple[float, float] | None = None  # cost and gain of the latest point of the set
    for i in order:
        point = (costs[i], gains[i])
        if best is None or gains[i] > best[1] or point == best:
            inside[i], best = True, point
    return inside
