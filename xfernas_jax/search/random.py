"""Random search: the baseline that every other optimizer has to beat."""

from collections.abc import Sequence

import numpy as np

from xfernas_jax.search.seen import Seen, Suggestion


class RandomSearch:
    """Proposes random architectures that are new; see `Optimizer`."""

    def suggest(self, seen: Seen, rng: np.random.Generator, count: int) -> Sequence[Suggestion]:
        return seen.batch().fill(rng, count)
