"""All optimizers search the space of whole networks, which has idle choices."""

import numpy as np
import pytest

from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.registry import OPTIMIZERS, SearchConfig, make_optimizer
from xfernas_jax.space import get_space
from xfernas_jax.testing import OptimizerContract

SPACE = get_space("convnet")
CONFIG = SearchConfig(
    predictor=PredictorConfig(
        num_members=2, source_steps=40, target_steps=20, num_unlabelled=512, ascent_steps=2
    ),
    num_initial=6,
    population_size=6,
)


def source(name: str) -> TaskHistory:
    tokens = SPACE.sample_tokens(np.random.default_rng(len(name)), 40)
    return TaskHistory(name, tokens, np.sin(tokens).sum(1))


class Asked(OptimizerContract):
    space = SPACE


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_an_optimizer_suggests_no_network_twice(name: str) -> None:
    asked = Asked()
    optimizer = make_optimizer(name, SPACE, (source("a"), source("bb")), CONFIG)
    found = asked.search(optimizer, asked.start())
    plans = {SPACE.plan(evaluation.genotype) for evaluation in found}
    assert len(plans) == len(found) == sum(asked.counts)
