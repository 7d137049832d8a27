"""Baselines that are samplers of Optuna: TPE and the Gaussian process."""

import abc
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna

from experiments.baselines.base import Baseline, imported
from xfernas_jax.history.database import quiet_optuna
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.registry import SearchConfig
from xfernas_jax.search.seen import NewBatch
from xfernas_jax.space.base import Space

_NUM_ENQUEUED = 10  # best source architectures that a sampler evaluates first
_TRIES_PER_GENOTYPE = 4  # of a sampler that repeats itself; then the architecture is random


class OptunaSearch(Baseline):
    """A sampler of Optuna over categorical tokens, with the sources' best enqueued.

    The ten are the best of the first source, of the second and so on, then the second best of
    each, without duplicates. A proposal that is no architecture is snapped to the nearest; one
    that is known is dropped, and the sampler is asked again.
    """

    @abc.abstractmethod
    def sampler(self, seed: int) -> Any:
        """Returns a new sampler of Optuna."""

    def propose(
        self, rng: np.random.Generator, batch: NewBatch, count: int, target: TaskHistory
    ) -> None:
        for tokens in self._enqueued:
            if len(batch) < count:
                batch.add_tokens(tokens)
        if len(batch) >= count:
            return
        with quiet_optuna():
            names = [f"position_{i}" for i in range(len(self.space.choices))]
            kinds = [optuna.distributions.CategoricalDistribution(c) for c in self.space.choices]
            distributions: dict[str, Any] = dict(zip(names, kinds, strict=True))
            sampler = self.sampler(int(rng.integers(2**31)))
            study = optuna.create_study(direction="maximize", sampler=sampler)
            for row, score in zip(target.tokens.tolist(), target.scores.tolist(), strict=True):
                params = dict(zip(names, row, strict=True))
                study.add_trial(
                    optuna.create_trial(params=params, distributions=distributions, value=score)
                )
            for _ in range(_TRIES_PER_GENOTYPE * count):
                if len(batch) >= count:
                    return
                params = study.ask(distributions).params  # it stays running: others keep off
                asked = np.array([[params[name] for name in names]], np.int32)
                batch.add_tokens(self.space.repair(asked, without=target.tokens)[0])

    @functools.cached_property
    def _enqueued(self) -> list[np.ndarray]:
        """Up to ten `[L]` tokens."""
        best = [source.tokens[np.argsort(-source.scores)] for source in self.sources]
        found: dict[bytes, np.ndarray] = {}
        for rank in range(max((len(tokens) for tokens in best), default=0)):
            for tokens in best:
                if rank < len(tokens) and len(found) < _NUM_ENQUEUED:
                    found.setdefault(tokens[rank].tobytes(), tokens[rank])
        return list(found.values())


class TpeSearch(OptunaSearch):
    """Optuna's tree-structured Parzen estimator."""

    def sampler(self, seed: int) -> Any:
        return optuna.samplers.TPESampler(seed=seed)


class GpSearch(OptunaSearch):
    """Optuna's Gaussian process."""

    def __init__(
        self, space: Space, sources: Sequence[TaskHistory], config: SearchConfig | None = None
    ) -> None:
        """See `Baseline`; `MissingExtraError` without PyTorch."""
        super().__init__(space, sources, config)
        imported("torch", "bench")

    def sampler(self, seed: int) -> Any:
        return optuna.samplers.GPSampler(seed=seed)
