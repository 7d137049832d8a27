"""The surrogate: one network fitted jointly on all sources and the target's observations."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from xfernas_jax.errors import HistoryError
from xfernas_jax.predictor import cache
from xfernas_jax.predictor.ascent import (
    ascend_and_decode,
    predict_costs,
    predict_scores,
    reconstruct_tokens,
    task_features,
)
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.costs import CostFeatures, CostPredictor, standardized_log_costs
from xfernas_jax.predictor.explain import NUM_REFERENCE, TaskRelations, mix_of_sources, relate
from xfernas_jax.predictor.fit import TARGET, FitData, fit_ensemble
from xfernas_jax.predictor.kernels import Scales, measure_scales
from xfernas_jax.predictor.network import JointNetwork, Params, build_network, draw_params
from xfernas_jax.predictor.padding import capacity, pad_rows
from xfernas_jax.predictor.scaling import rank_to_normal, standardize_clipped
from xfernas_jax.space.base import Space

_MIN_SOURCE_ROWS, _MIN_TARGET_ROWS, _MIN_TASKS, _MIN_QUERY = 64, 128, 4, 64
_MAX_QUERY = 8192
_NUM_REFERENCE = 512  # random architectures on which the scales of features are measured


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Architectures as the fit on the sources sees them.

    Attributes:
      scores: `[N, J]` score for each source, mean over the members, not re-standardised: a
        source that teaches little has scores near 0.
      z: `[N, E D]` embeddings of all members.
      hidden: `[N, E H]` hidden layers of their heads.
    """

    scores: np.ndarray
    z: np.ndarray
    hidden: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class JointPosterior:
    """An ensemble fitted on sources and target; see `Posterior`.

    Attributes:
      network: shared by all members.
      params: `[E, ...]`.
      is_source: `[T]` 1.0 for sources.
      use_embedding: 1.0, or 0.0 without target observations: then u alone predicts.
      cost_predictor: None where there are no costs.
    """

    network: JointNetwork
    params: Params
    is_source: np.ndarray
    use_embedding: np.float32
    cost_predictor: CostPredictor | None = None

    def mean(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the members' mean; see `Posterior.mean`."""
        return self.member_scores(tokens).mean(0)

    def spread(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the members' standard deviation; see `Posterior.spread`."""
        return self.member_scores(tokens).std(0)

    def sample(self, rng: np.random.Generator, count: int, tokens: np.ndarray) -> np.ndarray:
        """Returns the scores of random members, none twice before all had their turn."""
        members = np.resize(rng.permutation(self.network.config.num_members), count)
        return self.member_scores(tokens)[members]

    def member_scores(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the standardised score `[E, N]` by each member."""
        parts = [
            self._predict_part(tokens[i : i + _MAX_QUERY])
            for i in range(0, len(tokens), _MAX_QUERY)
        ]
        empty = np.zeros((self.network.config.num_members, 0), np.float32)
        return np.concatenate([empty, *parts], axis=1)

    def costs(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N, C]`; see `Posterior.costs`."""
        if self.cost_predictor is None:
            return np.zeros((len(tokens), 0))
        return self.cost_predictor.predict(tokens)

    def cost_features(self, tokens: np.ndarray) -> CostFeatures:
        """Returns what the cost model works on: features as below, and which token stands where."""
        found = self.features(tokens)
        padded = pad_rows(tokens, capacity(len(tokens), _MIN_QUERY))
        outputs = np.asarray(predict_costs(self.network, self.params, padded), np.float64)
        length, vocabulary = np.shape(self.network.mask)
        one_hot = np.eye(vocabulary)[tokens].reshape(len(tokens), length * vocabulary)
        blocks = (found.z.astype(np.float64), found.hidden.astype(np.float64), one_hot)
        return CostFeatures(outputs[: len(tokens)], blocks)

    def features(self, tokens: np.ndarray) -> Features:
        """Returns what a head on top of this fit works on."""
        padded = pad_rows(tokens, capacity(len(tokens), _MIN_QUERY))
        args = (self.network, self.params, self.is_source, padded)
        scores, z, hidden = (np.asarray(x)[: len(tokens)] for x in task_features(*args))
        return Features(scores[:, self.is_source > 0.0], z, hidden)

    def ascend(self, rng: np.random.Generator, starts: np.ndarray) -> np.ndarray:
        """Returns decoded tokens; see `Posterior.ascend`.

        The starts are repeated until they fill a fixed number of rows, so that any number of
        them uses one program; the repeats are decoded with noise of their own.
        """
        size = capacity(len(starts), 2 * self.network.config.num_starts)
        key = jax.random.key(int(rng.integers(2**31)))
        padded = np.resize(starts, (size, starts.shape[1])).astype(np.int32)
        args = (self.network, self.params, self.is_source, self.use_embedding, padded, key)
        return np.asarray(ascend_and_decode(*args))

    def reconstruct(self, tokens: np.ndarray) -> np.ndarray:
        """Encodes and decodes `[N, L]` without noise."""
        padded = pad_rows(tokens, capacity(len(tokens), _MIN_QUERY))
        return np.asarray(reconstruct_tokens(self.network, self.params, padded))[: len(tokens)]

    def _predict_part(self, tokens: np.ndarray) -> np.ndarray:
        padded = pad_rows(tokens, capacity(len(tokens), _MIN_QUERY))
        args = (self.network, self.params, self.is_source, self.use_embedding, padded)
        return np.asarray(predict_scores(*args))[:, : len(tokens)]


class JointSurrogate:
    """Score = u(z) + r(z, e_task), learned with a decoder of z; see `Surrogate`.

    The sources are fitted once, lazily, and cached by content. Every `condition` starts from
    that fit and continues on sources and target together, so its result depends on what it is
    given and not on earlier rounds. Neither the order of the sources, nor their names, nor the
    order of the target's observations matters. Without sources the first fit only learns to
    reconstruct random architectures; this is then NAO.
    """

    def __init__(
        self,
        space: Space,
        sources: Sequence[TaskHistory],
        config: PredictorConfig,
    ) -> None:
        """Prepares the data; nothing is fitted yet.

        Args:
          space: of the architectures; it also draws those that are only reconstructed.
          sources: histories of other tasks in the same space; empty ones are left out.
          config: see there.

        Raises:
          HistoryError: a source's tokens are not of the space.
          FlagError: the encoder's name is unknown.
        """
        mask = space.mask()
        for source in sources:
            _check_tokens(source, mask)
        num_costs = {source.costs.shape[1] for source in sources if source.costs is not None}
        if len(num_costs) > 1:
            raise HistoryError(f"Sources have the same costs. Got {sorted(num_costs)} of them.")
        used = [source for source in sources if len(source.scores)]
        self.sources = sorted(used, key=_history_digest)
        self._mask = mask
        self._config = config
        self._space = space
        self._num_tasks = capacity(len(used) + 1, _MIN_TASKS)
        self._num_costs = max(num_costs, default=0)
        self._network = build_network(mask, config, self._num_tasks, self._num_costs)

    def check(self, target: TaskHistory) -> None:
        """Raises `HistoryError` where the target's tokens break the mask, or costs are others."""
        _check_tokens(target, self._mask)
        assert target.costs is not None
        if self.sources and target.costs.shape[1] != self._num_costs:
            raise HistoryError(
                f"History {target.name!r} has {target.costs.shape[1]} costs, the sources have "
                f"{self._num_costs}; all tasks name the same ones."
            )

    def cost_predictor(self, target: TaskHistory) -> CostPredictor | None:
        """Returns what predicts the target's costs; None where it has none."""
        assert target.costs is not None
        num_costs = target.costs.shape[1]
        if not num_costs:
            return None

        def featurize(tokens: np.ndarray) -> CostFeatures:
            found = self.source_posterior.cost_features(tokens)
            if self._num_costs:
                return found
            return CostFeatures(np.zeros((len(tokens), num_costs)), found.blocks)

        return CostPredictor(featurize, self._cost_scales, self.sources, target)

    @functools.cached_property
    def _cost_scales(self) -> Scales:
        reference = self.source_posterior.cost_features(self.unlabelled[:_NUM_REFERENCE])
        return measure_scales(reference.blocks)

    @property
    def trusts_sources(self) -> bool:
        """Whether there are any; see `Surrogate`."""
        return bool(self.sources)

    @functools.cached_property
    def source_posterior(self) -> JointPosterior:
        """The fit on the sources alone: u of the sources' network, e = 0."""
        return self._posterior(self._source_params, np.float32(0.0))

    def condition(self, target: TaskHistory) -> JointPosterior:
        """Fits sources and target jointly, from the sources' fit; see `Surrogate`."""
        self.check(target)
        costs = self.cost_predictor(target)
        if not len(target.scores):
            return dataclasses.replace(self.source_posterior, cost_predictor=costs)
        order = np.lexsort((target.scores, *target.tokens.T))
        tokens, raw = target.tokens[order], target.scores[order]
        scores = standardize_clipped(raw)
        if self.sources:
            # The target's observations are better than random ones as the search goes on; the
            # sources' network says by how much, which puts them on the sources' scale.
            scores = scores + self.source_posterior.member_scores(tokens).mean()
        params = _center_target(self._source_params, self._is_source)
        params = self._fit(params, (tokens, scores.astype(np.float32)))
        posterior = self._posterior(params, np.float32(1.0))
        return dataclasses.replace(posterior, cost_predictor=costs)

    def relations(self, target: TaskHistory) -> TaskRelations | None:
        """Returns how the tasks relate; see `ExplainingSurrogate`."""
        if not self.sources:
            return None
        posterior, tokens = self.condition(target), self.unlabelled[:NUM_REFERENCE]
        names = [source.name for source in self.sources]
        mix = np.full(len(names), 1.0 / len(names))
        if posterior.use_embedding:
            mix = mix_of_sources(posterior.params["task_embedding"], TARGET, self._is_source)
        scores = posterior.features(tokens).scores
        return relate(target.name, names, posterior.mean(tokens), scores, mix)

    @functools.cached_property
    def _source_params(self) -> Params:
        digest = cache.content_digest(
            self._mask.tobytes(),
            self.unlabelled.tobytes(),
            repr(dataclasses.replace(self._config, cache_dir=None)).encode(),
            f"{jax.__version__} {jax.default_backend()} {self._num_tasks}".encode(),
            *(_history_digest(source).encode() for source in self.sources),
        )
        start = draw_params(self._network, self._config.seed)
        params = cache.load(digest, self._config.cache_dir, start)
        if params is None:
            params = self._fit(start, None)
            cache.save(digest, self._config.cache_dir, params)
        return params

    @functools.cached_property
    def _is_source(self) -> np.ndarray:
        slots = np.arange(self._num_tasks)
        return ((slots > TARGET) & (slots <= len(self.sources))).astype(np.float32)

    @functools.cached_property
    def unlabelled(self) -> np.ndarray:
        """Random architectures `[U, L]`, for reconstruction only."""
        rng = np.random.default_rng([self._config.seed, 1])
        return self._space.sample_tokens(rng, self._config.num_unlabelled)

    def _fit(self, params: Params, target: tuple[np.ndarray, np.ndarray] | None) -> Params:
        c = self._network.config
        steps, rate = (
            (c.source_steps, c.source_learning_rate)
            if target is None
            else (c.target_steps, c.target_learning_rate)
        )
        key = jax.random.key(self._config.seed)
        fitted = fit_ensemble(
            self._network,
            params,
            self._data(target),
            jnp.asarray(steps, jnp.int32),
            jnp.asarray(rate, jnp.float32),
            jax.random.fold_in(key, 0 if target is None else 1),
        )
        return jax.tree.map(np.asarray, fitted)

    def _data(self, target: tuple[np.ndarray, np.ndarray] | None) -> FitData:
        """Joins all rows: sources first, then the target's, each part padded."""
        counts = [len(source.scores) for source in self.sources]
        source_capacity = capacity(sum(counts), _MIN_SOURCE_ROWS)
        num_target = 0 if target is None else len(target[1])
        size = source_capacity + capacity(num_target, _MIN_TARGET_ROWS)
        tokens = np.tile(self.unlabelled[:1], (size, 1))
        scores = np.zeros(size, np.float32)
        first_row = np.zeros(self._num_tasks, np.int32)
        num_rows = np.zeros(self._num_tasks, np.int32)
        costs = np.full((size, self._num_costs), np.nan)
        share = np.zeros(self._num_tasks)
        row = 0
        for slot, source in enumerate(self.sources, start=1):
            first_row[slot], num_rows[slot] = row, len(source.scores)
            tokens[row : row + num_rows[slot]] = source.tokens
            scores[row : row + num_rows[slot]] = rank_to_normal(source.scores)
            costs[row : row + num_rows[slot]] = standardized_log_costs(source)
            share[slot] = 1.0 / len(self.sources)
            row += num_rows[slot]
        if target is not None:
            first_row[TARGET], num_rows[TARGET] = source_capacity, num_target
            tokens[source_capacity : source_capacity + num_target] = target[0]
            scores[source_capacity : source_capacity + num_target] = target[1]
            share *= 1.0 - self._config.target_share
            share[TARGET] = self._config.target_share if self.sources else 1.0
        return FitData(
            tokens,
            scores,
            first_row,
            num_rows,
            np.cumsum(share).astype(np.float32),
            self._is_source,
            self.unlabelled,
            np.nan_to_num(costs).astype(np.float32),
            np.isfinite(costs).astype(np.float32),
        )

    def _posterior(self, params: Params, use_embedding: np.float32) -> JointPosterior:
        return JointPosterior(self._network, params, self._is_source, use_embedding)


def _center_target(params: Params, is_source: np.ndarray) -> Params:
    """Puts the target's task embedding at the sources' mean, so that its e is 0."""
    embeddings = np.array(params["task_embedding"])  # [E, T, K]
    weights = is_source / max(is_source.sum(), 1.0)
    embeddings[:, TARGET] = np.einsum("etk,t->ek", embeddings, weights)
    return {**params, "task_embedding": embeddings}


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


def _history_digest(history: TaskHistory) -> str:
    parts = [np.ascontiguousarray(history.tokens), np.ascontiguousarray(history.scores)]
    if history.costs is not None and history.costs.size:
        parts.append(np.ascontiguousarray(history.costs))
    return cache.content_digest(*(part.tobytes() for part in parts))
