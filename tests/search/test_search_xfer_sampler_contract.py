"""Optuna's own contract for samplers, `optuna.testing.pytest_samplers`, held by `XferSampler`."""

import warnings
from collections.abc import Callable

import optuna
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from optuna.testing import pytest_samplers

from xfernas_jax import XferSampler
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.registry import SearchConfig

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
QUICK = SearchConfig(
    predictor=PredictorConfig(
        num_members=1, source_steps=5, num_unlabelled=64, num_starts=2, ascent_steps=1
    ),
    num_initial=2,
)


@pytest.mark.slow
class TestXferSampler(
    pytest_samplers.BasicSamplerTestCase,
    pytest_samplers.RelativeSamplerTestCase,
    pytest_samplers.SingleOnlySamplerTestCase,
):
    @pytest.fixture
    def sampler(self) -> Callable[[], optuna.samplers.BaseSampler]:
        return lambda: XferSampler(seed=0, config=QUICK)
