"""Baselines that score the whole space with a model: pairwise ridge and LightGBM."""

import abc
import functools
import itertools
from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import RidgeCV

from experiments.baselines.base import Baseline, imported
from xfernas_jax.errors import FlagError
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.scaling import rank_to_normal, standardize_clipped
from xfernas_jax.search.registry import SearchConfig
from xfernas_jax.search.seen import NewBatch
from xfernas_jax.space.base import Space

_MAX_ROWS = 30_000  # a space has at most this many architectures to be scored as a whole
_ALPHAS = np.logspace(-3, 3, 13)  # ridge penalties to choose from; feature vectors have length 1


class ModelSearch(Baseline):
    """Takes the architectures of the whole space that a model expects to be the best."""

    def __init__(
        self, space: Space, sources: Sequence[TaskHistory], config: SearchConfig | None = None
    ) -> None:
        """See `Baseline`; `FlagError` where the space is too large to be scored as a whole."""
        super().__init__(space, sources, config)
        everything = space.all_tokens(_MAX_ROWS)
        if everything is None:
            raise FlagError(
                f"This baseline scores every architecture, and space {space.name!r} has over "
                f"{_MAX_ROWS:,}; choose another optimizer (--optimizers)."
            )
        self._everything = everything
        self._row_of = {row.tobytes(): i for i, row in enumerate(everything)}

    @abc.abstractmethod
    def predict(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Returns `[N]` expected scores of all architectures.

        Args:
          rows: `[n]` observed ones; fewer than two are given as none.
          scores: `[n]` standardised.
        """

    def propose(
        self, rng: np.random.Generator, batch: NewBatch, count: int, target: TaskHistory
    ) -> None:
        num_read = len(target.scores) if len(target.scores) > 1 else 0
        rows = self.rows_of(target.tokens[:num_read])
        scores = self.predict(rows, standardize_clipped(target.scores[:num_read]))
        shuffled = rng.permutation(len(scores))  # ties are broken at random
        for row in shuffled[np.argsort(-scores[shuffled], kind="stable")]:
            if len(batch) >= count:
                return
            batch.add_tokens(self._everything[row], float(scores[row]))

    def rows_of(self, tokens: np.ndarray) -> np.ndarray:
        """Returns the places `[n]` of `[n, L]` tokens among all architectures."""
        return np.array([self._row_of[row.tobytes()] for row in tokens], np.int64)

    def one_hot(self) -> list[np.ndarray]:
        """Returns for each position which of its choices stands there: bool `[N, choices]`."""
        choices = enumerate(self.space.choices)
        return [self._everything[:, [i]] == np.array(options) for i, options in choices]


class RidgeSearch(ModelSearch):
    """Ridge regression on single tokens, pairs of tokens, and what each source would predict.

    A source's prediction is that of the same regression on its history alone. The two blocks of
    features weigh the same, and cross-validation (leaving one out) chooses the one penalty. With no
    observation the mean of the sources' predictions decides.
    """

    def predict(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        if not len(rows):
            return self._source_predictions.mean(1)
        return _ridge(self._features, rows, scores)

    @functools.cached_property
    def _pairs(self) -> np.ndarray:
        """Features `[N, F]` of length 1: every token and every pair of tokens."""
        single = self.one_hot()
        pairs = [
            (a[:, :, None] & b[:, None, :]).reshape(len(a), -1)
            for a, b in itertools.combinations(single, 2)
        ]
        return np.concatenate(single + pairs, axis=1) / np.sqrt(len(single) + len(pairs))

    @functools.cached_property
    def _source_predictions(self) -> np.ndarray:
        """Standardised predictions `[N, S]`."""
        columns = []
        for source in self.sources:
            rows = self.rows_of(source.tokens)
            found = _ridge(self._pairs, rows, rank_to_normal(source.scores))
            columns.append((found - found.mean()) / max(found.std(), 1e-12))
        return np.stack(columns, axis=1)

    @functools.cached_property
    def _features(self) -> np.ndarray:
        if not self.sources:
            return self._pairs
        scaled = self._source_predictions / np.sqrt(len(self.sources))
        return np.concatenate([self._pairs, scaled], axis=1)


def _ridge(features: np.ndarray, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Fits some rows `[n]` of `[N, F]` features and returns the predictions `[N]` of all."""
    model = RidgeCV(_ALPHAS).fit(features[rows], scores)
    return model.predict(features)


class LightGbmSearch(ModelSearch):
    """Boosted trees on the rows of all tasks together, with the task as a feature.

    With no observation the mean of the predictions for the sources decides.
    """

    def __init__(
        self, space: Space, sources: Sequence[TaskHistory], config: SearchConfig | None = None
    ) -> None:
        """See `ModelSearch`; `MissingExtraError` without LightGBM."""
        super().__init__(space, sources, config)
        self._lightgbm = imported("lightgbm", "baselines")
        self._tokens = np.concatenate(self.one_hot(), axis=1).astype(np.float32)
        self._source_rows = [self.rows_of(source.tokens) for source in self.sources]
        self._source_scores = [rank_to_normal(source.scores) for source in self.sources]

    def predict(self, rows: np.ndarray, scores: np.ndarray) -> np.ndarray:
        tasks = [*self._source_rows, rows]
        features = [self._of_task(task, task_rows) for task, task_rows in enumerate(tasks)]
        parameters = {
            "objective": "regression",
            "min_data_in_leaf": 5,  # with the default of 20 no leaf could be the target's for long
            "num_threads": 1,
            "deterministic": True,
            "verbosity": -1,
        }
        labels = np.concatenate([*self._source_scores, scores])
        data = self._lightgbm.Dataset(np.concatenate(features), labels)
        model = self._lightgbm.train(parameters, data, num_boost_round=100)
        everything = np.arange(len(self._tokens))
        asked = [len(self.sources)] if len(rows) else range(len(self.sources))
        return np.mean([model.predict(self._of_task(t, everything)) for t in asked], axis=0)

    def _of_task(self, task: int, rows: np.ndarray) -> np.ndarray:
        """Returns features `[n, F]`: one-hot task, the target being the last, and tokens."""
        hot = np.zeros((len(rows), len(self.sources) + 1), np.float32)
        hot[:, task] = 1.0
        return np.concatenate([hot, self._tokens[rows]], axis=1)
