"""Spaces of categorical parameters: any set of names, each with a few values."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.space.base import Space
from xfernas_jax.space.checks import check_fields, checked_tokens
from xfernas_jax.space.graph import Plan

Value = None | bool | int | float | str
"""What a parameter may be: a scalar that JSON can write."""

_KINDS = (type(None), bool, int, float, str)


@dataclasses.dataclass(frozen=True)
class Assignment:
    """A genotype: the value of each parameter, in the order of the space."""

    values: tuple[Value, ...]


class CategoricalSpace(Space):
    """Every combination of the values of some parameters.

    Each pair of a parameter and a value is a token of its own, so a predictor is told nothing of
    the order of values. Different combinations are different architectures.

    Attributes:
      parameters: the values of each parameter, by name.
    """

    def __init__(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Takes the parameters.

        Args:
          name: of the space.
          parameters: for each name at least one value; the values are different texts, numbers,
            booleans or None, in an order: a list, a tuple, a range or an array of one axis. At
            least one parameter has two.

        Raises:
          SpaceError: the values break these rules.
        """
        parameters = {
            each: plain_values(f"Space {name!r}", each, values)
            for each, values in parameters.items()
        }
        if not any(len(values) > 1 for values in parameters.values()):
            raise SpaceError(f"Space {name!r} needs a parameter with at least two values.")
        self.name = name
        self.parameters: Mapping[str, tuple[Value, ...]] = MappingProxyType(dict(parameters))
        sizes = [len(values) for values in self.parameters.values()]
        firsts = itertools.accumulate(sizes, initial=1)
        self._firsts = tuple(firsts)[:-1]  # token of each parameter's first value
        pairs = [(p, value) for p, values in self.parameters.items() for value in values]
        self.vocabulary = ("<start>", *(f"{parameter}={value!r}" for parameter, value in pairs))
        self.choices = tuple(
            tuple(range(first, first + size))
            for first, size in zip(self._firsts, sizes, strict=True)
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "parameters": dict(self.parameters)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, MappingProxyType(value) if name == "parameters" else value)

    def genotype(self, values: Mapping[str, Any]) -> Assignment:
        """Returns the genotype of named values; `GenotypeError` where a name or value is wrong."""
        check_fields(dict(values), tuple(self.parameters), f"An assignment of {self.name!r}")
        indices = [self._index(name, values[name]) for name in self.parameters]
        known = zip(self.parameters.values(), indices, strict=True)
        return Assignment(tuple(choices[index] for choices, index in known))

    def named(self, genotype: Assignment) -> dict[str, Value]:
        """Returns the values of a genotype by name; inverts `genotype`."""
        return dict(zip(self.parameters, self._checked(genotype).values, strict=True))

    def encode(self, genotype: Assignment) -> tuple[int, ...]:
        if not isinstance(genotype, Assignment) or len(genotype.values) != len(self.parameters):
            raise GenotypeError(
                f"A genotype of space {self.name!r} is an Assignment of {len(self.parameters)} "
                f"values. Got {genotype!r:.80}."
            )
        return tuple(
            first + self._index(parameter, value)
            for first, parameter, value in zip(
                self._firsts, self.parameters, genotype.values, strict=True
            )
        )

    def decode(self, tokens: Sequence[int]) -> Assignment:
        places = zip(
            self._firsts, self.parameters.values(), checked_tokens(self, tokens), strict=True
        )
        return Assignment(tuple(values[token - first] for first, values, token in places))

    def plan(self, genotype: Assignment) -> Plan:
        """Raises `SpaceError`: values of parameters are no network until a subclass says which."""
        raise SpaceError(
            f"Space {self.name!r} has parameters and no networks of ours; search it with "
            "--objective=module:FUNCTION or from Python, or override plan()."
        )

    def canonical(self, genotype: Assignment) -> Assignment:
        return self._checked(genotype)

    def to_json(self, genotype: Assignment) -> dict[str, Any]:
        """Returns `{"space", "values"}`, the values by name."""
        return {"space": self.name, "values": self.named(genotype)}

    def from_json(self, value: Any) -> Assignment:
        self.check_json_space(value, "genotype")
        check_fields(value, ("space", "values"), f"A genotype of space {self.name!r}")
        if not isinstance(value["values"], dict):
            raise GenotypeError(
                f"values of a genotype are an object by name. Got {value['values']!r:.80}."
            )
        return self.genotype(value["values"])

    def _checked(self, genotype: Assignment) -> Assignment:
        self.encode(genotype)
        return genotype

    def _index(self, parameter: str, value: Any) -> int:
        for index, known in enumerate(self.parameters[parameter]):
            if type(known) is type(value) and known == value:
                return index
        raise GenotypeError(
            f"Parameter {parameter!r} of space {self.name!r} has the value {value!r:.40}; it may "
            f"be one of {', '.join(map(repr, self.parameters[parameter]))}."
        )


def plain_values(owner: str, parameter: str, values: Any) -> tuple[Value, ...]:
    """Returns the values of a parameter as Python's own, in their order.

    Args:
      owner: of the parameter, for messages.
      parameter: its name.
      values: what `CategoricalSpace` takes.

    Raises:
      SpaceError: they are nothing of that.
    """
    where = f"{owner}: the values of {parameter!r}"
    if isinstance(values, set | frozenset):
        raise SpaceError(
            f"{where} are a set, which has no order, so a seed would not mean the same twice; give "
            f"a list. Got {values!r:.80}."
        )
    if isinstance(values, Mapping):
        raise SpaceError(f"{where} are a list; a dict in it is no value. Got {values!r:.80}.")
    shape = getattr(values, "shape", None)
    found: Any = values.tolist() if shape is not None and len(shape) == 1 else values
    if isinstance(found, str | bytes) or not isinstance(found, Sequence):
        raise SpaceError(f"{where} are a list. Got {values!r:.80}.")
    found = [value.item() if getattr(value, "shape", None) == () else value for value in found]
    if not is_value_set(found):
        raise SpaceError(
            f"{where} are different texts, finite numbers, booleans or None (1 and True are "
            f"equal). Got {values!r:.80}."
        )
    return tuple(found)


def is_value_set(values: Any) -> bool:
    """Tells whether these can be the values of a parameter."""
    kinds_fit = all(
        type(value) in _KINDS and (type(value) is not float or math.isfinite(value))
        for value in values
    )
    return kinds_fit and 0 < len(values) == len(set(values))
