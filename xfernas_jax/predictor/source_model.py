"""What the sources teach: the network fitted on them alone, once, and cached."""

import functools
from collections.abc import Sequence

import jax
import numpy as np

from xfernas_jax.errors import HistoryError
from xfernas_jax.predictor import cache
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.costs import CostFeatures, CostPredictor
from xfernas_jax.predictor.ensemble import Ensemble, Features
from xfernas_jax.predictor.fit import FitSettings, fit_ensemble
from xfernas_jax.predictor.fit_data import FitData, join_sources
from xfernas_jax.predictor.kernels import Scales, measure_scales
from xfernas_jax.predictor.network import Params, build_network, draw_params
from xfernas_jax.predictor.padding import capacity
from xfernas_jax.space.base import Space

_MIN_TASKS = 4
_NUM_REFERENCE = 512


class SourceModel:
    """The network after the sources; nothing is fitted before it is asked for.

    Neither the order of the sources nor their names matter. Without sources the network only learns
    to reconstruct random architectures.

    Attributes:
      sources: J of them that are not empty, in an order that follows from their content.
      config: resolved.
      network: of all members.
    """

    def __init__(
        self, space: Space, sources: Sequence[TaskHistory], config: PredictorConfig
    ) -> None:
        """Checks and orders the sources.

        Args:
          space: of the architectures; it also draws those that are only reconstructed.
          sources: histories of other tasks in the same space; empty ones are left out.
          config: see there.

        Raises:
          HistoryError: a source's tokens are not of the space, or sources have other costs.
          FlagError: the encoder's name is unknown.
        """
        self._space, self._mask = space, space.mask()
        for source in sources:
            _check_tokens(source, self._mask)
        num_costs = {source.costs.shape[1] for source in sources if source.costs is not None}
        if len(num_costs) > 1:
            raise HistoryError(f"Sources have the same costs. Got {sorted(num_costs)} of them.")
        self.sources = sorted((s for s in sources if len(s.scores)), key=_digest)
        self.config = config.resolve(len(self._mask))
        self._num_costs = max(num_costs, default=0)
        num_tasks = capacity(len(self.sources) + 1, _MIN_TASKS)
        self.network = build_network(self._mask, config, num_tasks, self._num_costs)

    def check(self, target: TaskHistory) -> None:
        """Raises `HistoryError` where the target's tokens break the mask, or costs are others."""
        _check_tokens(target, self._mask)
        assert target.costs is not None
        if self.sources and target.costs.shape[1] != self._num_costs:
            raise HistoryError(
                f"History {target.name!r} has {target.costs.shape[1]} costs, the sources have "
                f"{self._num_costs}; all tasks name the same ones."
            )

    @functools.cached_property
    def unlabelled(self) -> np.ndarray:
        """Random architectures `[U, L]`, for reconstruction only."""
        rng = np.random.default_rng([self.config.seed, 1])
        return self._space.sample_tokens(rng, self.config.num_unlabelled)

    @property
    def reference(self) -> np.ndarray:
        """Random architectures on which scales and relations are measured."""
        return self.unlabelled[:_NUM_REFERENCE]

    @functools.cached_property
    def data(self) -> FitData:
        """All rows that the network is fitted to."""
        sizes = (self.network.num_tasks, self._num_costs)
        return join_sources(self.sources, self.unlabelled, *sizes)

    @functools.cached_property
    def digest(self) -> str:
        """Names the fit by everything that decides it: code, backend, settings and data."""
        c = self.config
        settings = FitSettings.of(c, with_target=False)
        numbers = (c.seed, c.num_members, c.batch_size, c.unlabelled_size, *settings)
        return cache.content_digest(
            cache.code_digest().encode(),
            jax.default_backend().encode(),
            repr(self.network).encode(),
            repr([float(number) for number in numbers]).encode(),
            *self.data.to_bytes(),
        )

    @functools.cached_property
    def ensemble(self) -> Ensemble:
        """The fit."""
        start = draw_params(self.network, self.config.num_members, self.config.seed)
        params = cache.load(self.digest, self.config.cache_dir, start)
        if params is None:
            params = self.fit(start, self.data, with_target=False)
            cache.save(self.digest, self.config.cache_dir, params)
        return Ensemble(self.network, params, self.data.is_source)

    def fit(self, params: Params, data: FitData, with_target: bool) -> Params:
        """Trains parameters `[E, ...]` on the sources, or on them and a target."""
        c = self.config
        key = jax.random.fold_in(jax.random.key(c.seed), int(with_target))
        sizes, settings = (c.batch_size, c.unlabelled_size), FitSettings.of(c, with_target)
        fitted = fit_ensemble(self.network, sizes, settings, params, data, key)
        return jax.tree.map(np.asarray, fitted)

    def features(self, tokens: np.ndarray) -> Features:
        """Returns scores `[N, J]` and the features that they are computed from."""
        return self.ensemble.features(tokens)

    def cost_predictor(self, target: TaskHistory) -> CostPredictor | None:
        """Returns what predicts the target's costs; None where it has none."""
        assert target.costs is not None
        num_costs = target.costs.shape[1]
        if not num_costs:
            return None

        def featurize(tokens: np.ndarray) -> CostFeatures:
            found = self._cost_features(tokens)
            if self._num_costs:
                return found
            return CostFeatures(np.zeros((len(tokens), num_costs)), found.blocks)

        return CostPredictor(featurize, self._cost_scales, self.sources, target)

    @functools.cached_property
    def _cost_scales(self) -> Scales:
        return measure_scales(self._cost_features(self.reference).blocks)

    def _cost_features(self, tokens: np.ndarray) -> CostFeatures:
        """Returns the features in float64, and which token stands where."""
        found, (length, vocabulary) = self.features(tokens), self._mask.shape
        one_hot = np.eye(vocabulary)[tokens].reshape(len(tokens), length * vocabulary)
        blocks = (found.z.astype(np.float64), found.hidden.astype(np.float64), one_hot)
        return CostFeatures(self.ensemble.costs(tokens).astype(np.float64), blocks)


def _check_tokens(history: TaskHistory, mask: np.ndarray) -> None:
    tokens = history.tokens
    if not len(tokens):
        return
    if tokens.shape[1] != mask.shape[0]:
        raise HistoryError(
            f"History {history.name!r} has {tokens.shape[1]} tokens a row, its space "
            f"{mask.shape[0]}; was it recorded in another space?"
        )
    inside = (tokens >= 0) & (tokens < mask.shape[1])
    allowed = inside & mask[np.arange(mask.shape[0]), np.where(inside, tokens, 0)]
    if not allowed.all():
        row, position = (int(i) for i in np.argwhere(~allowed)[0])
        raise HistoryError(
            f"History {history.name!r}, row {row}: token {tokens[row, position]} may not stand "
            f"at position {position}; was it recorded in another space?"
        )


def _digest(history: TaskHistory) -> str:
    parts = [history.tokens, history.scores]
    if history.costs is not None and history.costs.size:
        parts.append(history.costs)
    return cache.content_digest(*(np.ascontiguousarray(part).tobytes() for part in parts))
