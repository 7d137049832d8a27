"""Size and order of a search."""

import dataclasses
from collections.abc import Callable

from xfernas_jax.search.averaging import Averaging
from xfernas_jax.search.clock import Clock
from xfernas_jax.space.base import Genotype


@dataclasses.dataclass(frozen=True)
class SearchPlan:
    """Size and order of a search.

    Attributes:
      budget_evaluations: architectures in all.
      batch_size: architectures that the optimizer suggests at once, in rounds.
      seed: of everything random.
      confirm_seeds: trainings of each finalist at the end, under other seeds than the search's;
        with 0 the best evaluation wins as it is, and nothing is tested.
      num_finalists: best architectures that are trained again.
      schedule: see `make_schedule`.
      reads_test: whether the winner is tested; a function of the user's has no test part.
      finishes: whether finalists are trained by the study's final recipe, see `phases/finish.py`,
        instead of confirmed by the one of the search.
      first: architectures that are evaluated before the optimizer is asked.
      standing: of them those one of which is handed over unless another network is better with some
        probability, see `choose_finalists`; all of them where none is named.
      suggests_first: whether the optimizer's first suggestion comes even before these.
      clock: of the time that it may take; None for no limit.
      grow: what a finalist becomes for its final training, from it and the seconds that there are.
      averaging: how many trainings of it may be handed over as one, where a clock leaves time.
    """

    budget_evaluations: int = 24
    batch_size: int = 4
    seed: int = 0
    confirm_seeds: int = 3
    num_finalists: int = 3
    schedule: str = "rounds"
    reads_test: bool = True
    finishes: bool = False
    first: tuple[Genotype, ...] = ()
    standing: tuple[Genotype, ...] = ()
    suggests_first: bool = False
    clock: Clock | None = None
    grow: Callable[[Genotype, float], Genotype] | None = None
    averaging: Averaging | None = None
