# pyright: reportAttributeAccessIssue=false, reportCallIssue=false
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.errors import FlagError, HistoryError
from xfernas_jax.predictor import cache
from xfernas_jax.predictor.ascent import ascend, decode
from xfernas_jax.predictor.base import Posterior, Surrogate, TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.predictor.encoder import ENCODERS
from xfernas_jax.predictor.ensemble import encode, task_features
from xfernas_jax.predictor.fit import fit_ensemble
from xfernas_jax.predictor.joint import JointSurrogate
from xfernas_jax.predictor.network import build_network, draw_params
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
QUICK = PredictorConfig(num_members=2, source_steps=30, target_steps=15)
EMPTY = TaskHistory("target", np.zeros((0, 6), np.int32), np.zeros(0))


def history(name: str, num_rows: int, seed: int, weight: float = 1.0) -> TaskHistory:
    """Scores convolutions by their kernel; `weight` of the 1x1 kernel tells tasks apart."""
    rng = np.random.default_rng(seed)
    cells = [SPACE.sample(rng) for _ in range(num_rows)]
    scores = [c.ops.count("nor_conv_3x3") + weight * c.ops.count("nor_conv_1x1") for c in cells]
    return TaskHistory(name, np.array([SPACE.encode(c) for c in cells]), np.array(scores))


SOURCES = (history("a", 50, 0), history("b", 40, 1, 0.5), history("c", 30, 2, 0.2))
TARGET = history("target", 9, 3, 0.4)
QUERY = history("query", 100, 4).tokens


@pytest.fixture(autouse=True)
def _forget_fits() -> None:
    cache.clear_memory()


@pytest.mark.slow
@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_the_residual_of_a_zero_task_embedding_is_exactly_zero(encoder: str) -> None:
    config = dataclasses.replace(QUICK, encoder=encoder)
    network = build_network(SPACE.mask(), config, num_tasks=4)
    params = jax.tree.map(lambda x: x[0], draw_params(network, 2, seed=0))
    params = jax.tree.map(lambda x: x + 0.3, params)  # every bias is non-zero too
    latent = network.apply({"params": params}, jnp.asarray(QUERY), method="encode")
    zero = jnp.zeros((len(QUERY), config.task_embedding_size))
    _, residual = network.apply({"params": params}, latent, zero, method="score")
    np.testing.assert_array_equal(residual, 0.0)
    _, other = network.apply({"params": params}, latent, zero + 0.1, method="score")
    assert np.abs(other).min() > 0.0


def test_the_surrogate_fits_its_protocols() -> None:
    surrogate = JointSurrogate(SPACE, SOURCES, QUICK)
    assert isinstance(surrogate, Surrogate)
    assert isinstance(surrogate.condition(TARGET), Posterior)


def test_equal_inputs_give_equal_bits_whatever_came_before() -> None:
    first = JointSurrogate(SPACE, SOURCES, QUICK).condition(TARGET).member_scores(QUERY)
    cache.clear_memory()
    surrogate = JointSurrogate(SPACE, SOURCES, QUICK)
    surrogate.condition(history("target", 5, 9))
    np.testing.assert_array_equal(surrogate.condition(TARGET).member_scores(QUERY), first)


def test_neither_order_nor_names_matter() -> None:
    first = JointSurrogate(SPACE, SOURCES, QUICK).condition(TARGET).member_scores(QUERY)
    cache.clear_memory()
    renamed = [dataclasses.replace(s, name="x") for s in reversed(SOURCES)]
    order = np.random.default_rng(0).permutation(len(TARGET.scores))
    shuffled = TaskHistory("t", TARGET.tokens[order], TARGET.scores[order])
    second = JointSurrogate(SPACE, renamed, QUICK).condition(shuffled).member_scores(QUERY)
    np.testing.assert_array_equal(first, second)


def test_the_scale_of_a_task_does_not_matter() -> None:
    first = JointSurrogate(SPACE, SOURCES, QUICK).condition(TARGET).member_scores(QUERY)
    scaled = [TaskHistory(s.name, s.tokens, 0.25 * s.scores) for s in SOURCES]
    target = TaskHistory("t", TARGET.tokens, 8.0 * TARGET.scores)
    second = JointSurrogate(SPACE, scaled, QUICK).condition(target).member_scores(QUERY)
    np.testing.assert_allclose(first, second, atol=2e-3)


def test_without_observations_the_universal_score_answers() -> None:
    surrogate = JointSurrogate(SPACE, SOURCES, QUICK)
    np.testing.assert_array_equal(
        surrogate.condition(EMPTY).member_scores(QUERY),
        surrogate.source_posterior.member_scores(QUERY),
    )


def test_growing_histories_compile_nothing_new_within_a_size() -> None:
    surrogate = JointSurrogate(SPACE, SOURCES, QUICK)

    def run(num_rows: int) -> None:
        posterior = surrogate.condition(history("target", num_rows, num_rows))
        posterior.mean(QUERY[:num_rows])
        posterior.ascend(np.random.default_rng(0), QUERY[: min(num_rows, 20)])

    run(1)
    programs = (fit_ensemble, task_features, ascend)
    before = [program._cache_size() for program in programs]
    for num_rows in range(2, 33):
        run(num_rows)
    assert [program._cache_size() for program in programs] == before


@pytest.mark.slow
@pytest.mark.parametrize("encoder", sorted(ENCODERS))
def test_a_fit_ranks_unseen_architectures_and_reconstructs_them(encoder: str) -> None:
    config = PredictorConfig(encoder=encoder, num_members=2, source_steps=400)
    posterior = JointSurrogate(SPACE, SOURCES, config).condition(TARGET)
    fresh = history("target", 300, 77, 0.4)
    predicted = posterior.mean(fresh.tokens)
    ranks = [np.argsort(np.argsort(x)) for x in (predicted, fresh.scores)]
    assert np.corrcoef(ranks)[0, 1] > 0.7
    fit = (posterior.ensemble.network, posterior.ensemble.params)
    decoded = decode(*fit, encode(*fit, jnp.asarray(fresh.tokens)), 0.0, jax.random.key(0))
    exact = (np.asarray(decoded) == fresh.tokens).all(1).mean()
    assert exact > 0.9
    starts = fresh.tokens[np.argsort(fresh.scores)[:20]]  # the worst
    reached = posterior.ascend(np.random.default_rng(0), starts)
    allowed = SPACE.mask()[np.arange(6), reached]
    assert allowed.all()
    assert posterior.mean(reached).mean() > posterior.mean(starts).mean() + 0.5


def test_fits_on_disk_are_used_and_damaged_ones_made_again(tmp_path) -> None:
    config = dataclasses.replace(QUICK, cache_dir=str(tmp_path))
    first = JointSurrogate(SPACE, SOURCES, config).source_posterior.member_scores(QUERY)
    (file,) = tmp_path.glob("*.npz")
    written = file.read_bytes()
    for content in (written, written[: len(written) // 2], b""):
        file.write_bytes(content)
        cache.clear_memory()
        again = JointSurrogate(SPACE, SOURCES, config).source_posterior.member_scores(QUERY)
        np.testing.assert_array_equal(first, again)
        assert file.read_bytes() == written


def test_tokens_of_another_space_and_bad_scores_are_refused() -> None:
    bad = TaskHistory("s", np.full((3, 6), 9), np.zeros(3))
    with pytest.raises(HistoryError, match="row 0: token 9"):
        JointSurrogate(SPACE, [bad], QUICK)
    with pytest.raises(HistoryError, match="has 5 tokens a row"):
        JointSurrogate(SPACE, [TaskHistory("s", np.ones((3, 5)), np.zeros(3))], QUICK)
    with pytest.raises(HistoryError, match=r"Row 1 holds .*nan"):
        TaskHistory("s", np.ones((2, 6)), np.array([0.0, np.nan]))
    with pytest.raises(FlagError, match="Known: mlp, lstm"):
        JointSurrogate(SPACE, (), dataclasses.replace(QUICK, encoder="gru"))
