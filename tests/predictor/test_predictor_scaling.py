"""What stands in for functions of `scipy.stats`, whose import every command would wait for."""

import numpy as np
import pytest
from scipy.stats import qmc, rankdata

from xfernas_jax.predictor.hypotheses import _latin_hypercube
from xfernas_jax.predictor.scaling import average_ranks


@pytest.mark.parametrize("size", [1, 2, 9, 300])
def test_ranks_are_scipys_with_ties_and_without(size: int) -> None:
    values = np.random.default_rng(size).normal(size=size)
    for scores in (values, values.round(1), np.zeros(size)):
        assert np.array_equal(average_ranks(scores), rankdata(scores))


@pytest.mark.parametrize("size", [1, 2, 9, 300])
def test_latin_hypercubes_are_scipys_to_the_bit(size: int) -> None:
    drawn = _latin_hypercube(size, 6, np.random.default_rng([20, size]))
    scipys = qmc.LatinHypercube(d=6, rng=np.random.default_rng([20, size])).random(size)
    assert np.array_equal(drawn, scipys)
