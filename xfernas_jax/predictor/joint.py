"""The `joint` surrogate: one network, fitted on the sources and the target's observations."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from xfernas_jax.predictor.ascent import ascend_target, plan
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.costs import CostPredictor
from xfernas_jax.predictor.ensemble import Ensemble
from xfernas_jax.predictor.explain import TaskRelations, mix_of_sources, relate
from xfernas_jax.predictor.fit_data import TARGET, add_target
from xfernas_jax.predictor.network import Params
from xfernas_jax.predictor.scaling import standardize_clipped
from xfernas_jax.predictor.source_model import SourceModel
from xfernas_jax.space.base import Space


@dataclasses.dataclass(frozen=True, eq=False)
class JointPosterior:
    """An ensemble fitted on sources and target; see `Posterior`.

    Attributes:
      ensemble: the fit.
      config: resolved.
      use_embedding: 1.0, or 0.0 without target observations: then u alone predicts.
      cost_predictor: None where there are no costs.
    """

    ensemble: Ensemble
    config: PredictorConfig
    use_embedding: np.float32
    cost_predictor: CostPredictor | None = None

    def mean(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the members' mean; see `Posterior.mean`."""
        return self.member_scores(tokens).mean(0)

    def sample(self, rng: np.random.Generator, count: int, tokens: np.ndarray) -> np.ndarray:
        """Returns the scores of random members, none twice before all had their turn."""
        members = np.resize(rng.permutation(self.ensemble.num_members), count)
        return self.member_scores(tokens)[members]

    def member_scores(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the standardised score `[E, N]` by each member."""
        return self.ensemble.target_scores(tokens, self.use_embedding)

    def costs(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N, C]`; see `Posterior.costs`."""
        if self.cost_predictor is None:
            return np.zeros((len(tokens), 0))
        return self.cost_predictor.predict(tokens)

    def ascend(self, rng: np.random.Generator, starts: np.ndarray) -> np.ndarray:
        """Ascends the mean; see `Posterior.ascend`."""
        e, trajectories = self.ensemble, plan(rng, starts, self.config)
        args = (e.params, e.is_source, self.use_embedding, trajectories)
        return np.asarray(ascend_target(e.network, self.config.ascent_steps, *args))


class JointSurrogate:
    """Score = u(z) + r(z, e_task), learned with a decoder of z; see `Surrogate`.

    Every `condition` starts from the fit on the sources and continues on sources and target
    together, so its result depends on what it is given and not on earlier rounds. Neither the order
    of the sources, nor their names, nor the order of the target's observations matters. Without
    sources the first fit only learns to reconstruct random architectures; this is then NAO.
    """

    def __init__(
        self, space: Space, sources: Sequence[TaskHistory], config: PredictorConfig
    ) -> None:
        """Prepares the data; nothing is fitted yet. See `SourceModel`, for errors too."""
        self._model = SourceModel(space, sources, config)

    @property
    def trusts_sources(self) -> bool:
        """Whether there are any; see `Surrogate`."""
        return bool(self._model.sources)

    @functools.cached_property
    def source_posterior(self) -> JointPosterior:
        """The fit on the sources alone: u of the sources' network, e = 0."""
        return JointPosterior(self._model.ensemble, self._model.config, np.float32(0.0))

    def condition(self, target: TaskHistory) -> JointPosterior:
        """Fits sources and target jointly, from the sources' fit; see `Surrogate`."""
        model, start = self._model, self.source_posterior
        model.check(target)
        costs = model.cost_predictor(target)
        if not len(target.scores):
            return dataclasses.replace(start, cost_predictor=costs)
        order = np.lexsort((target.scores, *target.tokens.T))
        tokens, scores = target.tokens[order], standardize_clipped(target.scores[order])
        if model.sources:
            # The target's observations are better than random ones as the search goes on; the
            # sources' network says by how much, which puts them on the sources' scale.
            scores = scores + start.member_scores(tokens).mean()
        data = add_target(model.data, tokens, scores.astype(np.float32), model.config.target_share)
        params = _center_target(start.ensemble.params, data.is_source)
        params = model.fit(params, data, with_target=True)
        ensemble = dataclasses.replace(start.ensemble, params=params)
        return JointPosterior(ensemble, model.config, np.float32(1.0), costs)

    def relations(self, target: TaskHistory) -> TaskRelations | None:
        """Returns how the tasks relate; see `ExplainingSurrogate`."""
        if not self._model.sources:
            return None
        posterior, tokens = self.condition(target), self._model.reference
        names = [source.name for source in self._model.sources]
        mix = np.full(len(names), 1.0 / len(names))
        ensemble = posterior.ensemble
        if posterior.use_embedding:
            mix = mix_of_sources(ensemble.params["task_embedding"], TARGET, ensemble.is_source)
        scores = ensemble.features(tokens).scores
        return relate(target.name, names, posterior.mean(tokens), scores, mix)


def _center_target(params: Params, is_source: np.ndarray) -> Params:
    """Puts the target's task embedding at the sources' mean, so that its e is 0."""
    embeddings = np.array(params["task_embedding"])  # [E, T, K]
    weights = is_source / max(is_source.sum(), 1.0)
    embeddings[:, TARGET] = np.einsum("etk,t->ek", embeddings, weights)
    return {**params, "task_embedding": embeddings}
