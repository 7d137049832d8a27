"""What a surrogate takes and what it answers: `TaskHistory`, `Surrogate` and `Posterior`."""

import dataclasses
import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np

from xfernas_jax.errors import HistoryError

ArchitectureNumbers = Callable[[np.ndarray], np.ndarray]
"""Turns tokens `[N, L]` into finite numbers `[N, F]` that are known before any training, such as
parameters, FLOPs or a zero-cost score at initialisation; F is fixed, units are free."""


@dataclasses.dataclass(frozen=True, eq=False)
class TaskHistory:
    """Architectures that one task has scored.

    Attributes:
      name: of the task, for messages only; no result depends on it.
      tokens: `[N, L]` int32 as `Space.encode` gives them; N may be 0.
      scores: `[N]` float64; larger is better, in any unit (surrogates standardise by task).
      costs: `[N, C]` float64, what each architecture costs (parameters, milliseconds, ...), of the
        same meaning and order in all tasks; NaN where it is not known. None means C = 0.
      numbers: what is known of the task itself, such as the logarithm of its classes or of its
        examples; of the same meaning and order in all tasks, in any unit. Used where all tasks
        have them.
      noise: `[N]` float64, the part of each score's variance that is known beforehand, such as that
        of a share of few images; None means none. Only of a target, and `head` alone heeds it.
    """

    name: str
    tokens: np.ndarray
    scores: np.ndarray
    numbers: tuple[float, ...] = ()
    costs: np.ndarray | None = None
    noise: np.ndarray | None = None

    def __post_init__(self) -> None:
        tokens = np.asarray(self.tokens, dtype=np.int32)
        scores = np.asarray(self.scores, dtype=np.float64)
        if tokens.ndim != 2 or scores.shape != tokens.shape[:1]:
            raise HistoryError(
                f"History {self.name!r} needs tokens [N, L] and scores [N]. Got shapes "
                f"{tokens.shape} and {scores.shape}."
            )
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise HistoryError(
                f"History {self.name!r}: scores are finite numbers. Row {row} holds "
                f"{scores[row]!r}; leave failed evaluations out."
            )
        if not all(math.isfinite(number) for number in self.numbers):
            raise HistoryError(
                f"History {self.name!r}: a task's numbers are finite. Got {self.numbers}."
            )
        costs = np.zeros((len(scores), 0)) if self.costs is None else self.costs
        costs = np.asarray(costs, dtype=np.float64)
        if costs.ndim != 2 or len(costs) != len(scores) or np.isinf(costs).any():
            raise HistoryError(
                f"History {self.name!r} needs costs [N, C] without infinities. Got shape "
                f"{costs.shape} for {len(scores)} scores."
            )
        noise = np.asarray(np.zeros(len(scores)) if self.noise is None else self.noise, np.float64)
        if noise.shape != scores.shape or not (noise >= 0.0).all() or np.isinf(noise).any():
            raise HistoryError(
                f"History {self.name!r} needs noise [N], finite and not negative. Got shape "
                f"{noise.shape} for {len(scores)} scores."
            )
        object.__setattr__(self, "costs", costs)
        object.__setattr__(self, "noise", noise)
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "scores", scores)


@runtime_checkable
class Posterior(Protocol):
    """A surrogate that has seen the target's observations."""

    def mean(self, tokens: np.ndarray) -> np.ndarray:
        """Predicts the target's standardised score `[N]` of tokens `[N, L]`."""
        ...

    def sample(self, rng: np.random.Generator, count: int, tokens: np.ndarray) -> np.ndarray:
        """Draws plausible score functions and evaluates each (for Thompson sampling).

        Args:
          rng: consumed.
          count: functions to draw.
          tokens: `[N, L]`; a few hundred at most, where the draws are joint.

        Returns:
          `[count, N]`.
        """
        ...

    def costs(self, tokens: np.ndarray) -> np.ndarray:
        """Predicts what architectures cost the target, `[N, C]`, in the costs' own units.

        NaN in a column of which neither the sources nor the target know anything.
        """
        ...

    def ascend(self, rng: np.random.Generator, starts: np.ndarray) -> np.ndarray:
        """Moves architectures uphill in the latent space and decodes what it passes.

        Args:
          rng: consumed for the decoder's noise.
          starts: `[C, L]` tokens, C at least 1.

        Returns:
          `[M, L]` tokens, possibly with duplicates and with the starts among them.
        """
        ...


@runtime_checkable
class Surrogate(Protocol):
    """Learns the sources once and is then conditioned on the target as often as needed."""

    @property
    def trusts_sources(self) -> bool:
        """Whether the sources are worth following before the target is known.

        False without sources, and where they look unrelated even to one another.
        """
        ...

    def condition(self, target: TaskHistory) -> Posterior:
        """Returns the posterior given the target's observations (none is allowed).

        It depends on sources, configuration and `target` alone, never on earlier calls.
        """
        ...
