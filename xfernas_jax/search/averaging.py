"""How many trainings of a network may be handed over as one."""

import dataclasses
from collections.abc import Callable, Mapping

from xfernas_jax.space.base import Genotype


@dataclasses.dataclass(frozen=True)
class Averaging:
    """What may be handed over as one network.

    Attributes:
      most: trainings of it, at most; at least 2.
      count: for how many there is time, from an architecture and the seconds that there are.
      admits: whether it may have these costs, which are those of all its trainings together.
    """

    most: int
    count: Callable[[Genotype, float], int]
    admits: Callable[[Mapping[str, float]], bool]
