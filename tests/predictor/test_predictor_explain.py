# pyright: reportAttributeAccessIssue=false
import json

import numpy as np
import pytest
from scipy.stats import spearmanr

from xfernas_jax.errors import HistoryError
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.explain import (
    ExplainingSurrogate,
    TaskRelations,
    mix_of_sources,
    relate,
)
from xfernas_jax.predictor.head import HeadSurrogate
from xfernas_jax.predictor.joint import JointSurrogate
from xfernas_jax.search.nao import Nao
from xfernas_jax.search.seen import Seen
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
QUICK = PredictorConfig(num_members=2, source_steps=150, target_steps=40)
EMPTY = TaskHistory("target", np.zeros((0, 6), np.int32), np.zeros(0))
SURROGATES = (HeadSurrogate, JointSurrogate)


def history(name: str, num_rows: int, seed: int, weights: np.ndarray) -> TaskHistory:
    tokens = SPACE.sample_tokens(np.random.default_rng(seed), num_rows)
    return TaskHistory(name, tokens, weights[np.arange(6), tokens].sum(1))


EDGES = np.random.default_rng(0).normal(size=(2, 6, 6))
SOURCES = (
    history("like", 120, 1, EDGES[0]),
    history("other", 120, 2, EDGES[1]),
)
TARGET = history("target", 30, 3, EDGES[0])


@pytest.mark.parametrize("kind", SURROGATES)
def test_the_source_that_is_like_the_target_shows(kind: type) -> None:
    surrogate = kind(SPACE, SOURCES, QUICK)
    assert isinstance(surrogate, ExplainingSurrogate)
    found = surrogate.relations(TARGET)
    assert found is not None
    assert found.names == ("target", "like", "other")
    similarity = np.array(found.similarity)
    np.testing.assert_array_equal(similarity, similarity.T)
    np.testing.assert_array_equal(np.diag(similarity), 1.0)
    assert similarity[0, 1] > similarity[0, 2] + 0.2, similarity
    assert found.source_weights[0] > found.source_weights[1] + 0.1, found


@pytest.mark.parametrize("kind", SURROGATES)
def test_relations_are_repeatable_and_survive_json(kind: type) -> None:
    found = kind(SPACE, SOURCES, QUICK).relations(TARGET)
    assert kind(SPACE, SOURCES[::-1], QUICK).relations(TARGET) == found
    assert TaskRelations.from_json(json.loads(json.dumps(found.to_json()))) == found
    before = kind(SPACE, SOURCES, QUICK).relations(EMPTY)
    assert before is not None
    assert before != found


@pytest.mark.parametrize("kind", SURROGATES)
def test_without_sources_there_are_no_relations(kind: type) -> None:
    assert kind(SPACE, (), QUICK).relations(TARGET) is None
    assert Nao(SPACE, kind(SPACE, (), QUICK)).relations(Seen(SPACE)) is None


def test_a_search_tells_what_its_surrogate_tells() -> None:
    surrogate = HeadSurrogate(SPACE, SOURCES, QUICK)
    assert Nao(SPACE, surrogate, SOURCES).relations(Seen(SPACE)) == surrogate.relations(EMPTY)


def test_similarity_is_spearmans_and_weights_are_in_spreads() -> None:
    rng = np.random.default_rng(4)
    target, sources = rng.normal(size=50), rng.normal(size=(50, 2))
    found = relate("t", ["b", "a"], target, sources, np.array([2.0, -1.0]), 0.25)
    assert found.names == ("t", "a", "b")
    assert found.similarity[0][2] == pytest.approx(spearmanr(target, sources[:, 0]).statistic)
    assert found.similarity[1][2] == pytest.approx(
        spearmanr(sources[:, 1], sources[:, 0]).statistic
    )
    assert found.source_weights == pytest.approx((-sources[:, 1].std(), 2 * sources[:, 0].std()))
    constant = relate("t", ["a"], np.zeros(50), sources[:, :1], np.ones(1))
    assert constant.similarity == ((1.0, 0.0), (0.0, 1.0))


def test_the_mix_of_embeddings_gives_the_targets() -> None:
    rng = np.random.default_rng(5)
    embeddings = rng.normal(size=(2, 5, 8))
    is_source = np.array([0.0, 1.0, 1.0, 1.0, 0.0])  # the last row is padding
    wanted = np.array([0.5, 0.8, -0.3])
    embeddings[:, 0] = np.einsum("etk,t->ek", embeddings[:, 1:4], wanted)
    np.testing.assert_allclose(mix_of_sources(embeddings, 0, is_source), wanted, atol=1e-12)
    embeddings[:, 0] = embeddings[:, 1:4].mean(1)
    np.testing.assert_allclose(mix_of_sources(embeddings, 0, is_source), 1 / 3, atol=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["t"]},
        {"names": "tab"},
        {"names": ["t", 1, "b"]},
        {"similarity": [[1.0]]},
        {"similarity": [[1.0, 0.5, 0.5]] * 2},
        {"similarity": [[2.0, 0.5, 0.5]] * 3},
        {"similarity": [[True, 0.5, 0.5]] * 3},
        {"similarity": [["1", 0.5, 0.5]] * 3},
        {"similarity": [[float("nan"), 0.5, 0.5]] * 3},
        {"similarity": 3},
        {"source_weights": [1.0]},
        {"source_weights": [1.0, float("inf")]},
        {"source_weights": None},
        {"no_transfer_probability": 1.5},
        {"no_transfer_probability": "0"},
        {"extra": 1},
    ],
)
def test_damaged_relations_are_refused(change: dict) -> None:
    good = {
        "names": ["t", "a", "b"],
        "similarity": [[1, 0.5, 0.5]] * 3,
        "source_weights": [1.0, -2],
        "no_transfer_probability": 0,
    }
    assert TaskRelations.from_json(good).source_weights == (1.0, -2.0)
    with pytest.raises(HistoryError):
        TaskRelations.from_json({**good, **change})
    for value in ([], None, "x", 3):
        with pytest.raises(HistoryError):
            TaskRelations.from_json(value)
