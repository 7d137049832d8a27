"""Optuna's ints and floats as values of a grid, and back."""

import bisect
import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from xfernas_jax.space.categorical import Assignment, CategoricalSpace, Value, is_value_set
from xfernas_jax.space.grid import GridSpace

Parameters = Mapping[str, BaseDistribution]
"""The distributions of parameters that can be learned, by name."""

NUM_LEVELS = 256
"""Values of a number that are told apart; others count as the nearest of them."""


@dataclasses.dataclass(frozen=True)
class Axis:
    """A number's range as the unit interval, on which its levels lie evenly.

    All its values are levels where there are few.

    Attributes:
      distribution: of the number; its range is not a single value.
      num_levels: that there are at most.
    """

    distribution: IntDistribution | FloatDistribution
    num_levels: int = NUM_LEVELS

    @functools.cached_property
    def levels(self) -> tuple[int | float, ...]:
        """The values that are told apart, rising; none where the range is too narrow."""
        last = self._num_steps
        if self._is_whole and last is not None:
            found = [self._on_step(step) for step in range(last + 1)]
        else:
            found = [self.value(i / (self.num_levels - 1)) for i in range(self.num_levels)]
        kept: list[int | float] = []
        for value in found:
            if not kept or (value > kept[-1] and self._place(value) > self._place(kept[-1])):
                kept.append(value)
        return tuple(kept) if len(kept) > 1 else ()

    @functools.cached_property
    def places(self) -> tuple[float, ...]:
        """The places of the levels in [0, 1]."""
        return tuple(map(self._place, self.levels))

    def level(self, value: Any) -> int | float | None:
        """Returns the level nearest to a value; None where that is no number of the range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not self.distribution.low <= value <= self.distribution.high:
            return None
        place, index = self._place(value), bisect.bisect_left(self.places, self._place(value))
        near = range(max(index - 1, 0), min(index + 1, len(self.levels)))
        return self.levels[min(near, key=lambda i: abs(self.places[i] - place))]

    def spread(self, level: int | float, rng: np.random.Generator) -> int | float:
        """Draws one of the values that count as a level; at the ends half of the draws are these.

        The level itself where all values are levels.
        """
        share = float(rng.uniform(-0.5, 0.5))
        if self._is_whole:
            return level
        places, index = self.places, self.levels.index(level)
        other = min(max(index + (1 if share > 0.0 else -1), 0), len(places) - 1)
        value = self.value(places[index] + abs(share) * (places[other] - places[index]))
        return value if self.level(value) == level else level  # rounding may leave the level

    def value(self, place: float) -> int | float:
        """Returns the value of the distribution nearest to a place in [0, 1]."""
        d = self.distribution
        if self._is_log:
            low, high = math.log(d.low), math.log(d.high)
            found = math.exp(low + place * (high - low))
        elif self._num_steps is not None:
            return self._on_step(round(place * self._num_steps))
        else:
            found = d.low * (1.0 - place) + d.high * place
        return self.snapped(min(max(found, d.low), d.high))

    def snapped(self, value: Any) -> int | float:
        """Returns the value of the distribution nearest to one within its range."""
        d = self.distribution
        if self._num_steps is not None:
            assert d.step is not None
            return self._on_step(round((value - d.low) / d.step))
        return min(max(float(value), d.low), d.high)

    @property
    def _is_log(self) -> bool:
        d = self.distribution
        return d.log and math.log(d.high) > math.log(d.low)

    @functools.cached_property
    def _num_steps(self) -> int | None:
        """The number of the last value, from 0; None where there are no steps."""
        d = self.distribution
        if isinstance(d, IntDistribution):
            return (d.high - d.low) // d.step
        return None if d.step is None else round((d.high - d.low) / d.step)

    @property
    def _is_whole(self) -> bool:
        return self._num_steps is not None and self._num_steps < self.num_levels

    def _on_step(self, step: int) -> int | float:
        d = self.distribution
        assert d.step is not None
        assert self._num_steps is not None
        return min(d.low + min(max(step, 0), self._num_steps) * d.step, d.high)

    def _place(self, value: int | float) -> float:
        d = self.distribution
        if self._is_log:
            low, high, at = math.log(d.low), math.log(d.high), math.log(value)
        else:
            low, high, at = d.low / 2.0, d.high / 2.0, value / 2.0  # their difference is finite
        return min(max((at - low) / (high - low), 0.0), 1.0) if high > low else 0.0


class OptunaSpace(GridSpace):
    """The parameters of a study, some of which are numbers.

    Attributes:
      axes: of the numbers.
    """

    def __init__(self, distributions: Parameters, num_levels: int = NUM_LEVELS) -> None:
        """Takes distributions that can be learned."""
        self.axes = {
            name: Axis(distribution, num_levels)
            for name, distribution in distributions.items()
            if isinstance(distribution, IntDistribution | FloatDistribution)
        }
        values = {
            name: distribution.choices
            if isinstance(distribution, CategoricalDistribution)
            else self.axes[name].levels
            for name, distribution in distributions.items()
        }
        places = {name: axis.places for name, axis in self.axes.items()}
        super().__init__("optuna", values, places)


def study_space(parameters: Parameters, num_levels: int = NUM_LEVELS) -> CategoricalSpace:
    """Returns the space of a study; a plain categorical one where no parameter is a number."""
    choices = {
        name: distribution.choices
        for name, distribution in parameters.items()
        if isinstance(distribution, CategoricalDistribution)
    }
    if len(choices) == len(parameters):
        return CategoricalSpace("optuna", choices)
    return OptunaSpace(parameters, num_levels)


def study_values(
    space: CategoricalSpace, genotype: Assignment, seed: Sequence[int]
) -> dict[str, Value]:
    """Returns the values of a genotype by name, those of numbers drawn within their levels."""
    named = space.named(genotype)
    if isinstance(space, OptunaSpace):
        rng = np.random.default_rng([*seed, 1])
        for name, axis in space.axes.items():
            level = named[name]
            assert isinstance(level, int | float)
            named[name] = axis.spread(level, rng)
    return named


def learnable(distributions: Mapping[str, BaseDistribution]) -> dict[str, BaseDistribution]:
    """Returns the numbers, and the categorical parameters of plain values, with at least two."""
    return {name: each for name, each in distributions.items() if _is_learnable(each)}


@functools.lru_cache(maxsize=1024)
def _has_levels(distribution: IntDistribution | FloatDistribution) -> bool:
    return not distribution.single() and len(Axis(distribution).levels) > 1


def _is_learnable(distribution: BaseDistribution) -> bool:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices) > 1 and is_value_set(distribution.choices)
    if isinstance(distribution, IntDistribution | FloatDistribution):
        return _has_levels(distribution)
    return False


def adapted(
    guess: Mapping[str, Value], name: str, distribution: BaseDistribution
) -> Mapping[str, Value] | None:
    """Returns a guess whose value of a parameter is of its distribution; None where none is."""
    if name not in guess:
        return None
    value = guess[name]
    if isinstance(distribution, IntDistribution | FloatDistribution):
        axis = Axis(distribution)
        return None if axis.level(value) is None else {**guess, name: axis.snapped(value)}
    assert isinstance(distribution, CategoricalDistribution)
    same = [each for each in distribution.choices if type(each) is type(value) and each == value]
    return {**guess, name: same[0]} if same else None
