"""Spaces some of whose parameters are numbers: their values have places in the unit interval."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from xfernas_jax.errors import SpaceError
from xfernas_jax.space.categorical import CategoricalSpace


class GridSpace(CategoricalSpace):
    """A categorical space that knows where the values of some parameters lie.

    Attributes:
      places: for each parameter that is a number the places of its values in [0, 1], rising.
    """

    def __init__(
        self, name: str, parameters: Mapping[str, Any], places: Mapping[str, Sequence[float]]
    ) -> None:
        """Takes the parameters as `CategoricalSpace` does, and the places of some.

        Raises:
          SpaceError: places are not one for each value, rising in [0, 1].
        """
        super().__init__(name, parameters)
        for each, found in places.items():
            size, row = len(self.parameters.get(each, ())), np.asarray(found, np.float64)
            rises = row.shape == (size,) and size > 0 and bool((np.diff(row) > 0.0).all())
            if not rises or not (row[0] >= 0.0 and row[-1] <= 1.0):
                raise SpaceError(
                    f"Space {name!r}: the places of {each!r} are one for each of its {size} "
                    f"values, rising from 0 to 1. Got {row.tolist()!r:.80}."
                )
        self.places: Mapping[str, tuple[float, ...]] = MappingProxyType(
            {each: tuple(map(float, found)) for each, found in places.items()}
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "places": dict(self.places)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        super().__setstate__({name: value for name, value in state.items() if name != "places"})
        self.places = MappingProxyType(state["places"])

    @property
    def columns(self) -> np.ndarray:
        """Returns `[D]`: the position of each column of `coordinates`."""
        widths = [
            1 if each in self.places else len(values) for each, values in self.parameters.items()
        ]
        return np.repeat(np.arange(len(widths)), widths)

    def coordinates(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N, D]` of tokens `[N, L]`.

        A number has its place; of any other parameter each value has a column of its own, and two
        values are as far apart as the two ends of a number.
        """
        blocks = []
        for position, (each, values) in enumerate(self.parameters.items()):
            index = np.asarray(tokens, np.int64)[:, position] - self._firsts[position]
            if each in self.places:
                blocks.append(np.array(self.places[each])[index][:, None])
            else:
                blocks.append(np.eye(len(values))[index] / np.sqrt(2.0))
        return np.concatenate(blocks, axis=1)

    def nearby(self, rng: np.random.Generator, tokens: np.ndarray, widths: Any) -> np.ndarray:
        """Returns `[N, L]` tokens near those of `[N, L]`; at least one position is drawn anew.

        Args:
          rng: consumed.
          tokens: from which to go.
          widths: `[N]` standard deviations by which a number's place moves. Other parameters take
            any of their values.
        """
        count, length = tokens.shape
        moved = rng.random((count, length)) < max(1.0 / length, 0.25)
        moved[np.arange(count), rng.integers(length, size=count)] = True
        found = tokens.copy()
        for position, (each, values) in enumerate(self.parameters.items()):
            first = self._firsts[position]
            index = tokens[:, position] - first
            if each in self.places:
                places = np.array(self.places[each])
                wanted = places[index] + widths * rng.standard_normal(count)
                drawn = nearest(places, wanted)
                # A step that is shorter than the way to a neighbour is a step to it.
                step = np.where(rng.random(count) < 0.5, 1, -1)
                neighbour = np.clip(index + step, 0, len(values) - 1)
                drawn = np.where(drawn == index, neighbour, drawn)
            else:
                drawn = rng.integers(len(values), size=count)
            found[:, position] = np.where(moved[:, position], first + drawn, tokens[:, position])
        return found


def nearest(places: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Returns for each of `wanted`, `[N]`, the index of the nearest of the rising `places`."""
    middles = (places[1:] + places[:-1]) / 2.0
    return np.searchsorted(middles, wanted)
