# pyright: reportAttributeAccessIssue=false
"""The network fitted on sources: what decides it, when it is fitted again, what it compiles."""

import dataclasses
import pathlib

import numpy as np
import pytest

from xfernas_jax.predictor import cache
from xfernas_jax.predictor.ascent import ascend
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.ensemble import task_features
from xfernas_jax.predictor.fit import fit_ensemble
from xfernas_jax.predictor.head import HeadSurrogate
from xfernas_jax.predictor.joint import JointSurrogate
from xfernas_jax.predictor.source_model import SourceModel
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
QUICK = PredictorConfig(num_members=2, source_steps=20, target_steps=5)
EDGES = np.random.default_rng(0).normal(size=(6, 6))
KINDS = (HeadSurrogate, JointSurrogate)


def history(num_rows: int, seed: int, noise: float = 0.0, num_costs: int = 0) -> TaskHistory:
    rng = np.random.default_rng(seed)
    tokens = SPACE.sample_tokens(rng, num_rows)
    scores = EDGES[np.arange(6), tokens].sum(1) + noise * rng.normal(size=num_rows)
    costs = np.tile(1.0 + tokens.sum(1, keepdims=True), num_costs)
    return TaskHistory("t", tokens, scores, costs=costs.astype(np.float64))


SOURCES = (history(30, 1), history(34, 2))  # one size of arrays for all tests: 64 rows
EMPTY = TaskHistory("empty", np.zeros((0, 6), np.int32), np.zeros(0))
QUERY = history(30, 3).tokens


@pytest.fixture(autouse=True)
def _forget_fits() -> None:
    cache.clear_memory()


def test_features_know_each_source_and_leave_out_empty_ones() -> None:
    model = SourceModel(SPACE, [EMPTY, *SOURCES], QUICK)
    assert len(model.sources) == 2
    assert model.scores(QUERY).shape == (30, 2)
    assert len(model.features(QUERY).z) == 30


@pytest.mark.parametrize(
    "change",
    [
        {"source_steps": 21},
        {"source_learning_rate": 1e-3},
        {"weight_decay": 0.5},
        {"score_weight": 0.7},
        {"residual_penalty": 0.1},
        {"embedding_dropout": 0.5},
        {"latent_noise": 0.3},
        {"seed": 1},
        {"num_members": 3},
        {"batch_size": 32},
        {"unlabelled_size": 32},
        {"num_unlabelled": 64},
        {"hidden_size": 32},
        {"encoder": "lstm"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_decides_a_fit_names_it(change: dict) -> None:
    changed = dataclasses.replace(QUICK, **change)
    digests = [SourceModel(SPACE, SOURCES, config).digest for config in (QUICK, changed)]
    assert digests[0] != digests[1]


def test_what_decides_no_fit_does_not_name_it(tmp_path: pathlib.Path) -> None:
    other = dataclasses.replace(
        QUICK, target_steps=9, ascent_steps=2, num_starts=3, cache_dir=str(tmp_path)
    )
    renamed = [dataclasses.replace(source, name="x") for source in reversed(SOURCES)]
    model = SourceModel(SPACE, renamed, other)
    assert model.digest == SourceModel(SPACE, SOURCES, QUICK).digest
    scores = SOURCES[0].scores.copy()
    scores[:2] = scores[1::-1]
    swapped = dataclasses.replace(SOURCES[0], scores=scores)
    assert SourceModel(SPACE, [swapped, SOURCES[1]], QUICK).digest != model.digest


def test_a_fit_of_other_code_is_not_used(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(QUICK, cache_dir=str(tmp_path))
    for code, num_fits in (("old", 1), ("old", 1), ("new", 2)):
        monkeypatch.setattr(cache, "code_digest", lambda code=code: code)
        cache.clear_memory()
        assert SourceModel(SPACE, SOURCES, config).scores(QUERY).shape == (30, 2)
        assert len(list(tmp_path.glob("*.npz"))) == num_fits


def test_the_codes_digest_covers_every_module(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = sorted(pathlib.Path(cache.__file__).parent.glob("*.py"))
    for module in modules:
        (tmp_path / module.name).write_bytes(module.read_bytes())
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    digest = cache.code_digest.__wrapped__
    before = digest()
    assert before == cache.code_digest()
    for module in modules:
        copy = tmp_path / module.name
        copy.write_bytes(module.read_bytes() + b"\n")
        assert digest() != before, module.name
        copy.write_bytes(module.read_bytes())
    assert digest() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_that_is_no_shape_compiles_nothing(kind: type) -> None:
    sources = [history(30, seed, num_costs=1) for seed in (1, 2)]
    target = history(6, 4, num_costs=1)
    programs = (fit_ensemble, task_features, ascend)

    def run(config: PredictorConfig) -> list[int]:
        posterior = kind(SPACE, sources, config).condition(target)
        posterior.mean(QUERY)
        posterior.costs(QUERY)
        posterior.ascend(np.random.default_rng(0), QUERY[:3])
        return [program._cache_size() for program in programs]

    before = run(QUICK)
    changed = dataclasses.replace(
        QUICK,
        source_steps=6,
        target_steps=7,
        source_learning_rate=1e-3,
        target_learning_rate=1e-4,
        weight_decay=0.5,
        target_share=0.5,
        score_weight=0.7,
        residual_penalty=0.1,
        embedding_dropout=0.5,
        latent_noise=0.3,
        ascent_rates=(0.1, 0.2),
        decode_temperature=0.5,
        seed=1,
    )
    assert run(changed) == before


@pytest.mark.parametrize(
    ("kind", "sources", "share"),
    [
        (HeadSurrogate, (), 0.9),
        (HeadSurrogate, SOURCES, 0.9),
        (JointSurrogate, (), 1.0),  # learns most of the noise by heart
        (JointSurrogate, SOURCES, 0.95),
    ],
)
def test_the_mean_of_what_was_observed_is_nearer_to_the_truth_than_the_observations(
    kind: type, sources: tuple[TaskHistory, ...], share: float
) -> None:
    surrogate = kind(SPACE, sources, dataclasses.replace(QUICK, source_steps=150, target_steps=150))
    errors = []
    for seed in range(10, 15):
        target = history(60, seed, noise=2.0)
        truth = EDGES[np.arange(6), target.tokens].sum(1)
        mean = surrogate.condition(target).mean(target.tokens)
        errors.append([1.0 - np.corrcoef(x, truth)[0, 1] for x in (mean, target.scores)])
    of_mean, of_observations = np.mean(errors, axis=0)
    assert of_mean < share * of_observations, errors
