"""A recorded search as its report needs it: what was searched, what it cost, what was best."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xfernas_jax.history.goal import Goal, costs_of
from xfernas_jax.history.record import Evaluation, StudySpec
from xfernas_jax.predictor.explain import TaskRelations
from xfernas_jax.space.base import Space


@dataclasses.dataclass(frozen=True)
class Unit:
    """How values of `Evaluation.valid_accuracy` are shown.

    Attributes:
      name: what the value is.
      symbol: behind a value, with its blank; may be empty.
      factor: by which a recorded value is multiplied.
    """

    name: str
    symbol: str
    factor: float

    @property
    def label(self) -> str:
        """Returns the text of an axis."""
        return f"{self.name} (%)" if self.symbol else self.name

    def shown(self, value: float) -> float:
        """Returns a recorded value in this unit."""
        return self.factor * value

    def text(self, value: float) -> str:
        """Returns a recorded value as text with its unit."""
        return f"{self.shown(value):.2f}{self.symbol}" if self.symbol else f"{value:.5g}"


PERCENT = Unit("validation accuracy", " %", 100.0)
SCORE = Unit("score", "", 1.0)


@dataclasses.dataclass(frozen=True, eq=False)
class StudyRecord:
    """A search study, finished or not.

    Attributes:
      spec: what it is about.
      evaluations: all that are recorded, in order of recording.
      result: what the search recorded at its end, checked; None while it has not ended.
    """

    spec: StudySpec
    evaluations: tuple[Evaluation, ...]
    result: Mapping[str, Any] | None = None

    @functools.cached_property
    def searched(self) -> tuple[Evaluation, ...]:
        """The evaluations of the search as suggested; one that was resumed stands for both parts.

        The record of a resumed evaluation has the whole curve and the seconds of both parts.
        """
        resumed = {e.number: e for e in self.evaluations if e.purpose == "resume"}
        return tuple(resumed.get(e.number, e) for e in self._suggested)

    @functools.cached_property
    def confirmations(self) -> tuple[Evaluation, ...]:
        """The repeated trainings of the finalists."""
        return tuple(e for e in self.evaluations if e.purpose == "confirm")

    @property
    def devices(self) -> int:
        """Devices that trained one architecture; 1 where that is not recorded."""
        found = (self.result or {}).get("devices_per_evaluation", 1)
        return found if type(found) is int and found >= 1 else 1

    @property
    def unit(self) -> Unit:
        """Accuracies are shown in percent, scores of a user's own as they are."""
        return SCORE if any(e.metric == "score" for e in self.evaluations) else PERCENT

    @property
    def limits(self) -> dict[str, float]:
        """Largest admitted value by cost name."""
        return dict(self._goal.limits)

    @property
    def traded(self) -> str:
        """The cost that the search trades against accuracy; empty where there is none."""
        return self._goal.pareto

    @property
    def relations(self) -> TaskRelations | None:
        """What the predictor has learned of the tasks, where the search recorded it."""
        found = (self.result or {}).get("relations")
        return None if found is None else TaskRelations.from_json(found)

    def admits(self, evaluation: Evaluation) -> bool:
        """Tells whether an evaluation may win; see `Goal`."""
        return self._goal.may_win(evaluation)

    def incumbent(self) -> tuple["Step", ...]:
        """Returns the best admitted value after each evaluation, and after each resumed part."""
        steps: list[Step] = []
        before = {e.number: e.seconds for e in self._suggested}
        seconds, best = 0.0, None
        resumed = [e for e in self.evaluations if e.purpose == "resume"]
        for count, evaluation in enumerate((*self._suggested, *resumed), start=1):
            is_resumed = evaluation.purpose == "resume"
            seconds += evaluation.seconds - (before[evaluation.number] if is_resumed else 0.0)
            value = evaluation.valid_accuracy
            if value is not None and self.admits(evaluation):
                best = value if best is None else max(best, value)
            number = min(count, len(self._suggested))
            steps.append(Step(number, seconds * self.devices, best))
        return tuple(steps)

    def best(self, space: Space, count: int) -> list[Evaluation]:
        """Returns up to `count` architectures: the result's first, then the search's best."""
        ranked = sorted(filter(self.admits, self.searched), key=lambda e: -(e.valid_accuracy or 0))
        if self.result is not None:
            winner = space.key(space.from_json(self.result["best_genotype"]))
            own = [e for e in (*self.searched, *self.confirmations) if _key(space, e) == winner]
            ranked = [*own[:1], *ranked]
        distinct = {_key(space, e): e for e in reversed(ranked)}
        order = dict.fromkeys(_key(space, e) for e in ranked)
        return [distinct[key] for key in order][:count]

    def confirmed(self, space: Space, evaluation: Evaluation) -> list[float]:
        """Returns the values of an architecture's complete confirming trainings."""
        key = _key(space, evaluation)
        same = [e for e in self.confirmations if _key(space, e) == key]
        return [e.valid_accuracy for e in same if e.valid_accuracy is not None]

    @functools.cached_property
    def _goal(self) -> Goal:
        """The search's goal; what a record says otherwise than a search writes it is left out."""
        found = self.spec.config.get("goal")
        found = found if isinstance(found, Mapping) else {}
        limits, pareto = found.get("limits"), found.get("pareto")
        pairs = limits.items() if isinstance(limits, Mapping) else ()
        numbers = tuple((str(k), float(x)) for k, x in pairs if type(x) in (int, float) and x > 0)
        return Goal(numbers, pareto if isinstance(pareto, str) else "")

    @functools.cached_property
    def _suggested(self) -> tuple[Evaluation, ...]:
        """The evaluations of the search as they were recorded, in the order of suggestion."""
        own = [e for e in self.evaluations if e.purpose == "search"]
        return tuple(sorted(own, key=lambda e: (e.round_index, e.number)))


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
    names = {name for e in evaluations for name in costs_of(e)}
    return tuple(sorted(names, key=lambda name: (name != "params", name)))


def pareto_set(costs: Sequence[float], values: Sequence[float]) -> list[bool]:
    """Tells of each point whether no other one costs at most as much and is better, or reverse.

    Equal points do not beat each other.

    Args:
      costs: `[N]`, smaller is better.
      values: `[N]`, larger is better.
    """
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -values[i]))
    inside = [False] * len(costs)
    best: tuple[float, float] | None = None  # cost and value of the latest point of the set
    for i in order:
        point = (costs[i], values[i])
        if best is None or values[i] > best[1] or point == best:
            inside[i], best = True, point
    return inside


def _key(space: Space, evaluation: Evaluation) -> str:
    return space.key(evaluation.genotype)
