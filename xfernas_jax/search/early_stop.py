"""Early stopping: candidates whose learning curve says that they will not be among the best.

Curves of short trainings jump: a network's accuracy may halve from one epoch to the next. So
both rules compare the best accuracy so far, and rank it among everything that was evaluated: who
was stopped or failed before counts as worse, otherwise only the survivors of a rule would be its
measure, and it would become stricter from round to round.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from xfernas_jax.errors import FlagError
from xfernas_jax.history.metric import ACCURACY, Metric
from xfernas_jax.history.record import Evaluation

EARLY_STOPS = ("none", "median", "asha")
_MIN_COMPLETE = 4  # evaluations, before anything is stopped
_ETA = 2  # of successive halving
_TOP_SHARE = 0.2  # of a source's architectures, that the rule must not lose
_KEPT = 0.95  # of these, at each epoch


@dataclasses.dataclass(frozen=True)
class Stopper:
    """Decides from a learning curve; a value, so its answer depends on nothing that comes later.

    Attributes:
      references: learning curves, shorter ones where a training was stopped or failed.
      kept_shares: share of the references that may lie above a candidate, for each epoch but
        the last; 1 at epochs where nobody is stopped.
      maximize: whether larger values are better.
    """

    references: tuple[tuple[float, ...], ...]
    kept_shares: tuple[float, ...]
    maximize: bool = True

    def __call__(self, curve: Sequence[float]) -> bool:
        """Tells whether a training with this curve (one value for each epoch) stops now."""
        epoch = len(curve)
        if not 1 <= epoch <= len(self.kept_shares):
            return False
        best = self._best(curve)
        above = sum(self._best(c[:epoch]) > best for c in self.references if len(c) >= epoch)
        return above > self.kept_shares[epoch - 1] * len(self.references)

    def _best(self, curve: Sequence[float]) -> float:
        """Returns the best value of a curve, as a number of which more is better."""
        return max(curve) if self.maximize else -min(curve)


@dataclasses.dataclass(frozen=True)
class EarlyStop:
    """A rule for a whole search, from which each round gets a `Stopper`.

    Attributes:
      epochs: of a whole training.
      kept_shares: see `Stopper`.
      metric: of the curves.
    """

    epochs: int
    kept_shares: tuple[float, ...]
    metric: Metric = ACCURACY

    def stopper(self, evaluations: Sequence[Evaluation], num_needed: int = 0) -> Stopper | None:
        """Returns the stopper of a round.

        Args:
          evaluations: of this task and recipe, recorded before the round.
          num_needed: complete ones that the search cannot do without.

        Returns:
          None while fewer than four, or than `num_needed`, are complete.
        """
        num_complete = sum(e.status == "complete" for e in evaluations)
        if num_complete < max(_MIN_COMPLETE, num_needed):
            return None
        curves = tuple(e.curve for e in evaluations)
        return Stopper(curves, self.kept_shares, self.metric.maximize)

    def saved(self, evaluations: Iterable[Evaluation]) -> int:
        """Returns the epochs that stopped evaluations did not train."""
        return sum(self.epochs - len(e.curve) for e in evaluations if e.status == "stopped")


def make_early_stop(
    rule: str,
    epochs: int,
    source_curves: Sequence[Sequence[tuple[float, ...]]] = (),
    metric: Metric = ACCURACY,
) -> EarlyStop | None:
    """Returns a rule by its name, None for `none`.

    `median` asks after every epoch beyond the first quarter and stops below the median. `asha`
    asks at the epochs r, 2r, 4r, ... with r the first epoch beyond the first quarter, and stops
    what is not in the upper half: successive halving in its form that never waits.

    With curves of sources, the share that goes on is learned for each of these epochs: 95 % of
    the architectures that ended in their source's best fifth had at most this share above them.
    Ranks carry over from task to task, values do not.

    Args:
      rule: one of `EARLY_STOPS`.
      epochs: of a whole training.
      source_curves: of each source, the gains after each epoch of its complete evaluations.
        Those of another number of epochs tell nothing here and are left out.
      metric: of the target.

    Raises:
      FlagError: there is no such rule.

    Source: Golovin et al. (2017), Vizier, and Li et al. (2020), ASHA, our reading: the median
    rule and the stopping variant of asynchronous successive halving. Deviates: see the module.
    """
    if rule not in EARLY_STOPS:
        raise FlagError(f"--early_stop={rule}: unknown. Known: {', '.join(EARLY_STOPS)}.")
    if rule == "none":
        return None
    first = epochs // 4 + 1
    asked = set(range(first, epochs))
    if rule == "asha":
        asked &= {first * _ETA**i for i in range(epochs.bit_length())}
    learned = _learned_shares(epochs, source_curves)
    shares = np.full(epochs, 1.0 / _ETA) if learned is None else learned
    kept = tuple(float(shares[e - 1]) if e in asked else 1.0 for e in range(1, epochs))
    return EarlyStop(epochs, kept, metric)


def _learned_shares(
    epochs: int, source_curves: Sequence[Sequence[tuple[float, ...]]]
) -> np.ndarray | None:
    """Returns for each epoch the share that keeps most of the sources' best; None without any."""
    shares = []
    for curves in source_curves:
        whole = np.array([c for c in curves if len(c) == epochs]).reshape(-1, epochs)
        if len(whole) < _MIN_COMPLETE:
            continue
        best = np.maximum.accumulate(whole, axis=1)
        above = (best[None] > best[:, None]).mean(1)  # [N, epochs]
        num_top = max(1, round(_TOP_SHARE * len(whole)))
        shares.append(above[np.argsort(-whole[:, -1], kind="stable")[:num_top]])
    if not shares:
        return None
    return np.quantile(np.concatenate(shares), _KEPT, axis=0, method="higher")
