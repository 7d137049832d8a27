"""What `reload.py` computes is the metric that the search measured."""

import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.export.measure import MEASURES
from xfernas_jax.train.scores import METRICS


@pytest.mark.parametrize("name", sorted(METRICS))
def test_the_script_computes_what_the_search_measured(name: str) -> None:
    rng, metric, measure = np.random.default_rng(0), METRICS[name], MEASURES[name]
    logits = rng.normal(size=(200, 5)).astype(np.float32)
    labels = rng.integers(0, 4, 200).astype(np.int32)  # class 4 is predicted and never right
    counted = jnp.ones(200, bool)
    sums = metric.batch(jnp.asarray(logits), jnp.asarray(labels), counted)
    wanted = metric.finish(_as_numpy(sums), 200)
    names = {"np": np, "logits": logits.astype(float), "labels": labels}
    found = eval(measure.code, names)
    assert found == pytest.approx(wanted, abs=max(measure.tolerance, 1e-15))


def _as_numpy(sums: object) -> object:
    return (
        {name: np.asarray(value) for name, value in sums.items()}
        if isinstance(sums, dict)
        else np.asarray(sums)
    )


def test_every_metric_of_ours_has_a_script() -> None:
    assert set(MEASURES) == set(METRICS)
