"""Other ways to search a table, to compare with: ridge, LightGBM, TPE and a Gaussian process.

    python -m experiments.tabular_search --benchmark_dir=DIR --output=runs/baselines
        --optimizers=experiments.baselines:ridge,experiments.baselines:xfer_ridge  (one line)

`xfer_lightgbm` needs the extra `baselines`, `xfer_gp` the extra `bench` (PyTorch).
"""

import abc
import functools
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import optuna

from xfernas_jax.errors import MissingExtraError, SpaceError
from xfernas_jax.history.database import quiet_optuna
from xfernas_jax.history.record import Evaluation
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.scaling import rank_to_normal, standardize_clipped
from xfernas_jax.search.base import Observations, Suggestion
from xfernas_jax.search.registry import SearchConfig
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.table import TableSpace

_STRENGTHS = np.logspace(-4.0, 4.0, 33)  # of the ridge, in units of the mean eigenvalue
_CHUNK = 4096  # rows scored at once
_MIN_ROWS_FOR_TREES = 20  # with fewer target rows the second stage is a ridge
_NUM_STARTS = 10  # architectures of the sources that TPE and GP begin with
_TREES = {
    "objective": "regression",
    "learning_rate": 0.05,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "seed": 0,
    "verbosity": -1,
    "min_data_in_bin": 1,
    "feature_pre_filter": False,
}
_SOURCE_TREES = {**_TREES, "num_leaves": 15, "min_data_in_leaf": 5}
_TARGET_TREES = {**_TREES, "num_leaves": 7, "min_data_in_leaf": 3}

Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]


class TableOptimizer(abc.ABC):
    """What the baselines share: the rows that were observed; see `SearchOptimizer`."""

    def __init__(self, space: TableSpace) -> None:
        self._space = space
        self._observations = Observations(space)

    @abc.abstractmethod
    def suggest(
        self, rng: np.random.Generator, count: int, pending: Sequence[Genotype] = ()
    ) -> Sequence[Suggestion]: ...

    def observe(self, evaluations: Sequence[Evaluation]) -> None:
        self._observations.add(evaluations)

    def _observed(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns rows `[n]` and accuracies `[n]`; a failed one has the worst accuracy seen."""
        complete = [e.valid_accuracy for e in self._observations.complete()]
        worst = min((a for a in complete if a is not None), default=0.0)
        evaluations = self._observations.evaluations if complete else []
        rows = [self._space.row_of(e.genotype) for e in evaluations]
        scores = [worst if e.valid_accuracy is None else e.valid_accuracy for e in evaluations]
        return np.array(rows, np.int64), np.array(scores, np.float64)


class GreedyTableSearch(TableOptimizer):
    """Scores all rows of the table and takes the best that are new."""

    def __init__(self, space: TableSpace, score: Scorer) -> None:
        """Builds an optimizer without observations.

        Args:
          space: of the search.
          score: maps observed rows `[n]` and their standardised scores `[n]` to `[N, K]` for all
            rows of the table. The first column decides, the next ones where it is equal, then
            chance.
        """
        super().__init__(space)
        self._score = score

    def suggest(
        self, rng: np.random.Generator, count: int, pending: Sequence[Genotype] = ()
    ) -> Sequence[Suggestion]:
        batch = self._observations.batch(pending)
        rows, scores = self._observed()
        predicted = self._score(rows, standardize_clipped(scores).astype(np.float64))
        chance = rng.permutation(len(predicted))
        for row in np.lexsort((chance, *(-predicted.T[::-1]))):
            if len(batch) >= count:
                break
            batch.add_tokens(self._space.rows[row], float(predicted[row, 0]))
        return batch.suggestions


class OptunaTableSearch(TableOptimizer):
    """Asks an Optuna sampler; a study is built anew from the observations at each call.

    What the sampler proposes is replaced by the nearest row that is new (fewest differing tokens;
    chance decides among equals), and the study is told the row that was taken. Rows without a
    result, those of the same batch among them, are running trials.
    """

    def __init__(
        self,
        space: TableSpace,
        starts: Sequence[np.ndarray],
        sampler: Callable[[int], optuna.samplers.BaseSampler],
    ) -> None:
        """Builds an optimizer without observations.

        Args:
          space: of the search.
          starts: tokens `[L]` of what is evaluated first.
          sampler: makes a sampler from a seed.
        """
        super().__init__(space)
        self._starts = starts
        self._sampler = sampler
        self._positions = _free_positions(space)
        self._distributions: dict[str, optuna.distributions.BaseDistribution] = {
            str(i): optuna.distributions.CategoricalDistribution(space.choices[i])
            for i in self._positions
        }

    def suggest(
        self, rng: np.random.Generator, count: int, pending: Sequence[Genotype] = ()
    ) -> Sequence[Suggestion]:
        batch = self._observations.batch(pending)
        for tokens in self._starts:
            if len(batch) < count:
                batch.add_tokens(tokens)
        is_new = np.ones(len(self._space.rows), bool)
        is_new[[self._space.row_of(e.genotype) for e in self._observations.evaluations]] = False
        waiting = [*pending, *(s.genotype for s in batch.suggestions)]
        is_new[[self._space.row_of(genotype) for genotype in waiting]] = False
        if len(batch) >= count or not is_new.any():
            return batch.suggestions
        with quiet_optuna():
            study = self._study(int(rng.integers(2**31)), waiting)
            while len(batch) < count and is_new.any():
                trial = study.ask(self._distributions)
                study.tell(trial, state=optuna.trial.TrialState.FAIL)  # it is not evaluated
                row = self._nearest(rng, trial.params, is_new)
                is_new[row] = False
                batch.add_tokens(self._space.rows[row])
                study.add_trial(self._trial(row, None))
        return batch.suggestions

    def _study(self, seed: int, waiting: Sequence[Genotype]) -> optuna.Study:
        study = optuna.create_study(direction="maximize", sampler=self._sampler(seed))
        rows, scores = self._observed()
        study.add_trials([self._trial(r, float(s)) for r, s in zip(rows, scores, strict=True)])
        study.add_trials([self._trial(self._space.row_of(g), None) for g in waiting])
        return study

    def _trial(self, row: int, score: float | None) -> optuna.trial.FrozenTrial:
        """Returns a finished trial of a row, or one that runs where it has no score."""
        state = optuna.trial.TrialState
        return optuna.create_trial(
            state=state.RUNNING if score is None else state.COMPLETE,
            value=score,
            params={str(i): int(self._space.rows[row, i]) for i in self._positions},
            distributions=self._distributions,
        )

    def _nearest(
        self, rng: np.random.Generator, params: dict[str, Any], is_new: np.ndarray
    ) -> int:
        tokens = np.array([params[str(i)] for i in self._positions])
        num_equal = (self._space.rows[:, self._positions] == tokens).sum(1)
        num_equal[~is_new] = -1
        return int(rng.choice(np.flatnonzero(num_equal == num_equal.max())))


class _PairwiseRidge:
    """Ridge regression on tokens and pairs of tokens, of sources and target together.

    Sources and target have an intercept each. A source row weighs 1, a target row as much as
    there are sources.
    """

    def __init__(self, space: TableSpace, sources: Sequence[TaskHistory]) -> None:
        self._one_hot = functools.partial(_one_hot, space)
        self._table = self._one_hot(space.rows)
        self._sources = [source for source in sources if len(source.scores)]

    def __call__(self, rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
        hot = [self._one_hot(s.tokens) for s in self._sources] + [self._table[rows]]
        y = [rank_to_normal(s.scores) for s in self._sources] + [targets]
        sizes = [len(part) for part in y]
        is_target = np.repeat([False] * len(self._sources) + [True], sizes)
        train = np.concatenate(hot)
        dual, intercepts = ridge(
            _pairwise_kernel(train @ train.T),
            np.concatenate(y),
            np.where(is_target, max(len(self._sources), 1), 1.0),
            is_target.astype(np.int64),
        )
        parts = np.array_split(self._table, -(-len(self._table) // _CHUNK))
        scores = np.concatenate([_pairwise_kernel(part @ train.T) @ dual for part in parts])
        return (scores + intercepts[int(len(rows) > 0)])[:, None]
