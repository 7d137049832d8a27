"""The `head` surrogate: a network learns the sources once, a Bayesian head learns the target.

The head is refitted in closed form at each round, on the network's source scores and latent space.
"No transfer" and "the sources are wrong" are among its hypotheses, so bad sources cost little.

The `graph` surrogate also has what the space reads off architectures (`Space.features`): its source
scores are those of processes over that (`predictor.processes`), and "no transfer" looks at nothing
else, since the latent space was learned from the sources' scores.
"""

import abc
import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xfernas_jax.errors import FlagError
from xfernas_jax.predictor.ascent import KernelTerms, ascend, plan
from xfernas_jax.predictor.base import ArchitectureNumbers, TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.costs import CostPredictor
from xfernas_jax.predictor.explain import TaskRelations, relate
from xfernas_jax.predictor.gp import GaussianProcess, draw
from xfernas_jax.predictor.graph_blocks import GraphBlocks
from xfernas_jax.predictor.hypotheses import NONE, Hypotheses, consensus_weights, draw_hypotheses
from xfernas_jax.predictor.kernels import (
    KERNELS_OF_A_BLOCK,
    Scales,
    kernel_matrices,
    measure_scales,
)
from xfernas_jax.predictor.padding import capacity, in_chunks, pad_rows
from xfernas_jax.predictor.processes import SourceProcesses
from xfernas_jax.predictor.relatedness import relatedness, similarity
from xfernas_jax.predictor.scaling import clipped_spread, standardize_clipped
from xfernas_jax.predictor.source_model import SourceModel
from xfernas_jax.space.base import Space

_NUM_LATENT = 2  # blocks of features that are functions of the latent: z and hidden layers
_MAX_NONE = 0.6  # prior weight of "no transfer" above which a search starts as without sources
_NUM_OBJECTIVES = 4  # of an ascent: the mean, and the means of single hypotheses
_MIN_ROWS = 128
_MAX_OBSERVED = 256


class HeadFeatures(NamedTuple):
    """Architectures as the head sees them: source scores `[N, J]` and blocks `[N, P]`."""

    scores: np.ndarray
    blocks: tuple[np.ndarray, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Prior(abc.ABC):
    """The head before the target: what the sources' fit gives.

    Attributes:
      hypotheses: H of them.
      weights: `[H]` of these.
      consensus: `[J]` weights of the sources in the universal score.
    """

    hypotheses: Hypotheses
    weights: np.ndarray
    consensus: np.ndarray

    @abc.abstractmethod
    def features(self, tokens: np.ndarray) -> HeadFeatures:
        """Returns what the head works on."""

    @abc.abstractmethod
    def kernels(self, first: HeadFeatures, second: HeadFeatures) -> np.ndarray:
        """Returns `[K, N, M]`."""

    def parts(self, first: HeadFeatures, second: HeadFeatures) -> np.ndarray:
        """Returns `[3 + K, N, M]` of the process: 1, u u', m·m' and the kernels."""
        linear = [
            np.ones((len(first.scores), len(second.scores))),
            np.outer(first.scores @ self.consensus, second.scores @ self.consensus),
            first.scores @ second.scores.T,
        ]
        return np.concatenate([linear, self.kernels(first, second)])


@dataclasses.dataclass(frozen=True, eq=False)
class _NetworkPrior(Prior):
    """What the network gives: its source scores, and blocks of its latent space."""

    model: SourceModel
    scales: Scales
    numbers: ArchitectureNumbers | None
    processes: SourceProcesses | None

    def features(self, tokens: np.ndarray) -> HeadFeatures:
        """Returns two blocks of the network, one of given numbers, and those of the graph."""
        found, processes = self.model.features(tokens), self.processes
        blocks = [found.z, found.hidden]
        if self.numbers is not None:
            blocks.append(self.numbers(tokens))
        if processes is None:
            scores = self.model.ensemble.source_scores(found)
        else:
            graph = processes.graph.blocks(tokens)
            blocks, scores = [*blocks, *graph], processes.scores(tokens, graph)
        scores, *blocks = (np.asarray(x, np.float64) for x in (scores, *blocks))
        return HeadFeatures(scores, tuple(blocks))

    def kernels(self, first: HeadFeatures, second: HeadFeatures) -> np.ndarray:
        """Returns those of `kernel_matrices`, of the network first and of the graph last."""
        own = len(self.scales.center)
        found = kernel_matrices(first.blocks[:own], second.blocks[:own], self.scales)
        if self.processes is None:
            return found
        of_graph = self.processes.graph.kernels(first.blocks[own:], second.blocks[own:])
        return np.concatenate([found, of_graph])


class HeadSurrogate:
    """See the module, and `Surrogate`."""

    def __init__(
        self,
        space: Space,
        sources: Sequence[TaskHistory],
        config: PredictorConfig,
        numbers: ArchitectureNumbers | None = None,
        *,
        reads_graphs: bool = False,
    ) -> None:
        """Prepares the data; nothing is fitted yet.

        Args:
          space: see `SourceModel`, for errors too.
          sources: see there.
          config: see there.
          numbers: of architectures, used by the head beside what the network has learned. An
            ascent in the latent space does not see them. They are asked for at every round, for
            every candidate; a function that takes long should remember.
          reads_graphs: whether it is the surrogate `graph`.

        Raises:
          FlagError: it is, and the space reads nothing off its architectures.
        """
        self._model = SourceModel(space, sources, config)
        self._numbers, self._graph = numbers, None
        if reads_graphs:
            self._graph = GraphBlocks.measured(space.features, self._model.reference)
            if self._graph is None:
                raise FlagError(
                    "--surrogate=graph is for spaces that read features off their architectures, "
                    f"such as nasbench201. Space {space.name!r} does not; take --surrogate=head."
                )

    @property
    def trusts_sources(self) -> bool:
        """Whether "no transfer" has at most .6 of the prior weight; see `Surrogate`."""
        hypotheses, weights = self._hypotheses
        return bool(weights[hypotheses.group == NONE].sum() <= _MAX_NONE)

    @functools.cached_property
    def _hypotheses(self) -> tuple[Hypotheses, np.ndarray]:
        num_blocks = _NUM_LATENT + (self._numbers is not None)
        num_blind = 0 if self._graph is None else self._graph.num_kernels
        num_kernels = KERNELS_OF_A_BLOCK * num_blocks + num_blind
        histories = self._model.sources
        hypotheses = draw_hypotheses(num_kernels, bool(histories), num_blind)
        found = self._processes
        related = relatedness(histories) if found is None else found.relatedness
        return hypotheses, hypotheses.prior(related)

    @functools.cached_property
    def _processes(self) -> SourceProcesses | None:
        return None if self._graph is None else SourceProcesses(self._graph, self._model.sources)

    def condition(self, target: TaskHistory) -> "HeadPosterior":
        """Fits the head to the target's observations; see `Surrogate`."""
        self._model.check(target)
        order = np.lexsort((*target.tokens.T, target.scores))
        scores = standardize_clipped(target.scores[order])
        kept = _thin(len(order))
        consensus = self._prior.consensus * similarity(target, self._model.sources)
        consensus = consensus / max(np.abs(consensus).sum(), 1e-12)
        prior = dataclasses.replace(self._prior, consensus=consensus)
        costs = self._model.cost_predictor(target)
        assert target.noise is not None
        unit = clipped_spread(target.scores) or 1.0
        noise = target.noise[order][kept] / unit**2
        return HeadPosterior(prior, target.tokens[order][kept], scores[kept], costs, noise)

    def relations(self, target: TaskHistory) -> TaskRelations | None:
        """Returns how the tasks relate; see `ExplainingSurrogate`."""
        if not self._model.sources:
            return None
        posterior, tokens = self.condition(target), self._model.reference
        return relate(
            target.name,
            [source.name for source in self._model.sources],
            posterior.mean(tokens),
            self._prior.features(tokens).scores,
            posterior.source_coefficients(),
            posterior.no_transfer_probability,
        )

    @functools.cached_property
    def _prior(self) -> _NetworkPrior:
        tokens, processes = self._model.reference, self._processes
        reference = self._model.features(tokens)
        blocks = [reference.z, reference.hidden]
        numbers = None
        if self._numbers is not None:
            numbers, block = _standardized(self._numbers, tokens)
            blocks.append(block)
        if processes is None:
            scores = self._model.ensemble.source_scores(reference)
        else:
            scores = processes.scores(tokens, processes.graph.blocks(tokens))
        consensus, scales = consensus_weights(scores), measure_scales(tuple(blocks))
        return _NetworkPrior(*self._hypotheses, consensus, self._model, scales, numbers, processes)


def _standardized(
    numbers: ArchitectureNumbers, reference: np.ndarray
) -> tuple[ArchitectureNumbers, np.ndarray]:
    """Returns the same numbers in units of their spread over references, and those of these."""
    raw = _checked(numbers, reference)
    mean, scale = raw.mean(0), np.maximum(raw.std(0), 1e-12)
    return lambda tokens: (_checked(numbers, tokens) - mean) / scale, (raw - mean) / scale


def _checked(numbers: ArchitectureNumbers, tokens: np.ndarray) -> np.ndarray:
    """Returns `[N, F]`, or says what is wrong with the user's function."""
    found = np.asarray(numbers(tokens), np.float64)
    if found.ndim != 2 or len(found) != len(tokens) or not np.isfinite(found).all():
        raise FlagError(
            "Architecture numbers are a function from tokens [N, L] to finite numbers [N, F] "
            f"(--architecture_numbers). For {tokens.shape} it gave {found.shape}, "
            f"{np.size(found) - int(np.isfinite(found).sum())} of them not finite."
        )
    return found


def _thin(count: int) -> np.ndarray:
    """Returns which of `count` observations, in rising order of score, the head is fitted to.

    The fit is cubic in their number, so of more than 256 the best 128 stay and 128 evenly spaced
    ones of the rest: what matters late in a search is where the best differ.
    """
    if count <= _MAX_OBSERVED:
        return np.arange(count)
    half = _MAX_OBSERVED // 2
    rest = np.linspace(0, count - half - 1, half).round().astype(int)
    return np.concatenate([rest, np.arange(count - half, count)])


class MixturePosterior:
    """The hypotheses after the target's observations; see `Posterior`."""

    def __init__(
        self,
        prior: Prior,
        tokens: np.ndarray,
        targets: np.ndarray,
        cost_predictor: CostPredictor | None = None,
        noise: np.ndarray | float = 0.0,
    ) -> None:
        """Fits all hypotheses.

        Args:
          prior: see there.
          tokens: `[N, L]` observed; N may be 0.
          targets: `[N]` standardised scores.
          cost_predictor: None where there are no costs.
          noise: `[N]` known variances of these.
        """
        self._prior, self._cost_predictor = prior, cost_predictor
        self._seen = seen = prior.features(tokens)
        self._process = GaussianProcess(
            prior.hypotheses.settings(),
            prior.parts(seen, seen),
            seen.scores @ prior.consensus,
            np.asarray(targets, np.float64),
            noise,
        )
        self._weights = self._process.weights(prior.weights)

    @property
    def no_transfer_probability(self) -> float:
        """Posterior weight of the hypotheses under which the sources tell nothing."""
        return float(self._weights[self._prior.hypotheses.group == NONE].sum())

    def source_coefficients(self) -> np.ndarray:
        """Returns `[J]` coefficients of the sources' scores in the mean."""
        return self._coefficients(self._weights)[1]

    def mean(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N]`; see `Posterior.mean`."""

        def score(rows: np.ndarray) -> np.ndarray:
            features = self._prior.features(rows)
            return self._mean(features, self._prior.kernels(features, self._seen), self._weights)

        return in_chunks(score, tokens)

    def costs(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N, C]`; see `Posterior.costs`."""
        if self._cost_predictor is None:
            return np.zeros((len(tokens), 0))
        return self._cost_predictor.predict(tokens)

    def sample(self, rng: np.random.Generator, count: int, tokens: np.ndarray) -> np.ndarray:
        """Draws jointly over `tokens` under hypotheses drawn by weight; see `Posterior.sample`."""
        features = self._prior.features(tokens)
        cross = self._prior.parts(features, self._seen)
        own = self._prior.parts(features, features)
        kernels = cross[-self._prior.hypotheses.mixture.shape[1] :]
        rows = []
        for which in self._systematic(rng, count).tolist():
            mean = self._mean(features, kernels, self._only(which))
            rows.append(draw(rng, mean, self._process.covariance(which, cross, own)))
        return np.reshape(rows, (count, len(tokens)))

    def _systematic(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draws hypotheses by weight, evenly over the cumulative weights."""
        points = (np.arange(count) + rng.random()) / max(count, 1)
        found = np.searchsorted(np.cumsum(self._weights), points)
        return rng.permutation(np.minimum(found, len(self._weights) - 1))

    def _only(self, which: int) -> np.ndarray:
        """Returns weights `[H]` of one hypothesis alone."""
        return np.eye(len(self._weights))[which]

    def _coefficients(self, weights: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Writes a mixture of posterior means as one function of an architecture.

        Args:
          weights: `[H]` of the hypotheses.

        Returns:
          Constant, `[J]` coefficients a of the sources' scores m and `[K, N]` coefficients b of the
          kernels: mean(x) = constant + m(x)·a + Σ_k kernel_k(x, observed)·b_k.
        """
        slope, (offset, universal, own, *kernels) = self._process.coefficients(weights)
        scores, consensus = self._seen.scores, self._prior.consensus
        on_scores = (slope + universal @ (scores @ consensus)) * consensus + own @ scores
        return float(offset.sum()), on_scores, np.array(kernels)

    def _mean(self, features: HeadFeatures, kernels: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Returns `[M]`; `kernels` are `[K, M, N]` to the observed."""
        constant, on_scores, on_kernels = self._coefficients(weights)
        return constant + features.scores @ on_scores + np.einsum("kmn,kn->m", kernels, on_kernels)


class HeadPosterior(MixturePosterior):
    """The head after the target's observations; see `Posterior`."""

    def __init__(
        self,
        prior: _NetworkPrior,
        tokens: np.ndarray,
        targets: np.ndarray,
        cost_predictor: CostPredictor | None = None,
        noise: np.ndarray | float = 0.0,
    ) -> None:
        """Fits all hypotheses; see `MixturePosterior`."""
        self._network = prior
        super().__init__(prior, tokens, targets, cost_predictor, noise)

    def ascend(self, rng: np.random.Generator, starts: np.ndarray) -> np.ndarray:
        """Ascends the mean and the means of three hypotheses; see `Posterior.ascend`."""
        config, ensemble = self._network.model.config, self._network.model.ensemble
        trajectories = plan(rng, starts, config)
        args = (ensemble.params, ensemble.is_source, *self._functions(rng), trajectories)
        return np.asarray(ascend(ensemble.network, config.ascent_steps, *args))

    def _functions(self, rng: np.random.Generator) -> tuple[np.ndarray, KernelTerms]:
        """Returns the mean, and the means of hypotheses drawn by weight, as far as z knows them."""
        count, num_sources = self._seen.scores.shape
        is_source = self._network.model.ensemble.is_source > 0.0
        draws = self._systematic(rng, _NUM_OBJECTIVES - 1).tolist()
        found = [self._coefficients(self._weights)]
        found += [self._coefficients(self._only(which)) for which in draws]
        on_scores = np.zeros((_NUM_OBJECTIVES, len(is_source)), np.float32)
        on_scores[:, is_source] = [scores for _, scores, _ in found]
        if not count and num_sources:  # nothing observed: mixtures of sources
            on_scores[1:, is_source] = rng.dirichlet(np.ones(num_sources), len(draws))
        known = KERNELS_OF_A_BLOCK * _NUM_LATENT
        on_kernels = np.asarray([kernels[:known] for *_, kernels in found], np.float32)
        rows, scales = capacity(count, _MIN_ROWS), self._network.scales
        blocks = [np.asarray(block, np.float32) for block in self._seen.blocks[:_NUM_LATENT]]
        return on_scores, KernelTerms(
            np.pad(on_kernels, ((0, 0), (0, 0), (0, rows - count))),
            tuple(pad_rows(block, rows, 0.0) for block in blocks),
            tuple(np.asarray(center, np.float32) for center in scales.center[:_NUM_LATENT]),
            np.asarray(scales.square[:_NUM_LATENT], np.float32),
        )
