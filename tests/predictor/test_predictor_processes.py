"""Source scores by processes over a space's features, and hypotheses that know no source."""
# pyright: reportAttributeAccessIssue=false

import dataclasses

import numpy as np
import pytest

from xfernas_jax.errors import FlagError
from xfernas_jax.predictor import cache, processes
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.graph_blocks import GraphBlocks
from xfernas_jax.predictor.head import HeadSurrogate
from xfernas_jax.predictor.hypotheses import NONE, draw_hypotheses
from xfernas_jax.predictor.processes import SourceProcesses
from xfernas_jax.predictor.registry import make_surrogate
from xfernas_jax.predictor.relatedness import rank_correlation
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
GRAPH = GraphBlocks.measured(SPACE.features, SPACE.sample_tokens(np.random.default_rng(9), 300))
QUICK = PredictorConfig(num_members=2, source_steps=20)
assert GRAPH is not None


@pytest.fixture(autouse=True)
def _forget_fits() -> None:
    cache.clear_memory()


def convolutions(tokens: np.ndarray) -> np.ndarray:
    """What no single token tells: the 3x3 convolutions on edges that some path takes."""
    return SPACE.features(tokens)[1][0][:, 3].astype(np.float64)


def said(sources: list[TaskHistory], tokens: np.ndarray) -> np.ndarray:
    return SourceProcesses(GRAPH, sources).scores(tokens, GRAPH.blocks(tokens))


def history(count: int, seed: int, shuffled: bool = False) -> TaskHistory:
    rng = np.random.default_rng(seed)
    tokens = SPACE.sample_tokens(rng, count)
    scores = convolutions(tokens) + 0.2 * rng.normal(size=count)
    return TaskHistory("t", tokens, rng.permutation(scores) if shuffled else scores)


def test_a_space_without_features_has_no_blocks() -> None:
    other = get_space("nao5")
    tokens = other.sample_tokens(np.random.default_rng(0), 4)
    assert GraphBlocks.measured(other.features, tokens) is None


def test_groups_of_a_block_are_equally_large() -> None:
    tokens = SPACE.sample_tokens(np.random.default_rng(1), 2_000)
    for block, groups in zip(GRAPH.blocks(tokens), SPACE.features(tokens), strict=True):
        ends = np.cumsum([group.shape[1] for group in groups])[:-1]
        for part in np.split(block, ends, axis=1):
            assert np.square(part).sum(axis=1).mean() == pytest.approx(1.0, abs=0.1)


def test_a_process_predicts_what_its_source_scores() -> None:
    source, others = history(120, 0), SPACE.sample_tokens(np.random.default_rng(7), 300)
    found = said([source], others)
    assert found.shape == (300, 1)
    assert rank_correlation(found[:, 0], convolutions(others)) > 0.9


def test_scores_do_not_depend_on_the_order_of_rows() -> None:
    source, query = history(60, 0), history(20, 5).tokens
    order = np.random.default_rng(0).permutation(60)
    other = TaskHistory("t", source.tokens[order], source.scores[order])
    first, second = (said([each], query) for each in (source, other))
    np.testing.assert_array_equal(first, second)


def test_many_rows_are_thinned_and_a_constant_source_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_MAX_ROWS", 60)
    many, query = history(300, 0), history(50, 5).tokens
    flat = dataclasses.replace(many, scores=np.zeros(300), costs=None, noise=None)
    found = said([many, flat], query)
    assert rank_correlation(found[:, 0], convolutions(query)) > 0.8
    np.testing.assert_array_equal(found[:, 1], 0.0)
    assert not said([flat], query).any()
    np.testing.assert_array_equal(found[:, 0], said([flat, many], query)[:, 1])


def test_what_a_source_has_measured_beyond_its_process_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_MAX_ROWS", 40)
    rng = np.random.default_rng(3)
    tokens = np.unique(SPACE.sample_tokens(rng, 200), axis=0)
    own = rng.normal(size=len(tokens))  # of each architecture, which no feature tells
    sources = [
        TaskHistory("t", tokens, convolutions(tokens) + own + 0.1 * rng.normal(size=len(tokens)))
        for _ in range(2)
    ]
    target = convolutions(tokens) + own
    smooth = [
        dataclasses.replace(s, tokens=s.tokens[:40], scores=s.scores[:40], costs=None, noise=None)
        for s in sources
    ]
    assert rank_correlation(said(sources, tokens)[:, 0], target) > 0.9
    assert rank_correlation(said(smooth, tokens)[:, 0], target) < 0.8


@pytest.mark.slow
def test_noise_is_rarely_taken_for_relatedness() -> None:
    def related(seed: int, count: int, rows: int, shuffled: bool) -> float:
        sources = [history(rows, 100 * seed + j, shuffled) for j in range(count)]
        return SourceProcesses(GRAPH, sources).relatedness

    trusted = 0.2  # at which a search follows its sources from the first evaluation
    for count, rows in ((4, 10), (2, 10), (1, 20)):
        noise = [related(seed, count, rows, True) > trusted for seed in range(20)]
        assert np.mean(noise) <= 0.1, (count, rows)
    assert related(0, 3, 30, False) > 0.4
    assert 0.2 < related(0, 1, 60, False) <= 0.5


def test_without_sources_there_are_no_scores() -> None:
    found = said([], history(5, 5).tokens)
    assert found.shape == (5, 0)


def test_no_transfer_uses_blind_kernels_alone() -> None:
    mixed, blind = draw_hypotheses(6, True), draw_hypotheses(6, True, 2)
    none = blind.group == NONE
    assert not blind.mixture[none, :4].any()
    np.testing.assert_allclose(blind.mixture.sum(axis=1), 1.0)
    np.testing.assert_array_equal(blind.mixture[~none], mixed.mixture[~none])
    assert draw_hypotheses(6, False, 2).mixture[:, :4].all()


@pytest.mark.slow
def test_what_no_transfer_predicts_does_not_depend_on_the_sources() -> None:
    query, target = history(40, 3).tokens, history(15, 4)
    means = []
    for sources in ([history(80, s) for s in (0, 1)], [history(80, s, True) for s in (0, 1)]):
        posterior = HeadSurrogate(SPACE, sources, QUICK, reads_graphs=True).condition(target)
        weights = posterior._prior.weights * (posterior._prior.hypotheses.group == NONE)
        features = posterior._prior.features(query)
        kernels = posterior._prior.kernels(features, posterior._seen)
        means.append(posterior._mean(features, kernels, weights / weights.sum()))
    np.testing.assert_allclose(means[0], means[1], rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_graph_is_a_surrogate_by_name_for_spaces_with_features() -> None:
    target = history(15, 4)
    plain = make_surrogate("head", SPACE, [history(80, 0)], QUICK).condition(target)
    graph = make_surrogate("graph", SPACE, [history(80, 0)], QUICK).condition(target)
    query = history(200, 5)
    assert not np.allclose(plain.mean(query.tokens), graph.mean(query.tokens))
    assert rank_correlation(graph.mean(query.tokens), convolutions(query.tokens)) > 0.8
    with pytest.raises(FlagError, match="Space 'nao5' does not; take --surrogate=head"):
        make_surrogate("graph", get_space("nao5"), [], QUICK)
