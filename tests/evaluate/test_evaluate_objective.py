import sys
import types
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.base import Evaluator
from xfernas_jax.evaluate.objective import ObjectiveEvaluator
from xfernas_jax.history.record import Evaluation
from xfernas_jax.history.serialize import evaluation_from_json, evaluation_to_json
from xfernas_jax.space import CategoricalSpace

SPACE = CategoricalSpace("letters", {"x": ("a", "b"), "y": (1, 2)})
GENOTYPE = SPACE.genotype({"x": "b", "y": 1})


@pytest.fixture
def benchmark_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ObjectiveEvaluator]:
    def build(function: Any) -> ObjectiveEvaluator:
        module = types.ModuleType("users_objective")
        module.f = function  # pyright: ignore[reportAttributeAccessIssue]
        monkeypatch.setitem(sys.modules, "users_objective", module)
        return ObjectiveEvaluator(SPACE, "users_objective:f")

    return build


def evaluate(benchmark: ObjectiveEvaluator, seed: int = 5) -> Evaluation:
    evaluation = benchmark.evaluate(GENOTYPE, seed).evaluation
    assert evaluation_from_json(SPACE, evaluation_to_json(SPACE, evaluation), "here") == evaluation
    return evaluation


@pytest.mark.parametrize(
    "value", [-3, 2.5, True, np.float32(2.5), np.int64(7), np.array(-1.5), jnp.array(4.0)]
)
def test_any_finite_number_is_a_score(benchmark_of: Callable, value: Any) -> None:
    evaluation = evaluate(benchmark_of(lambda genotype: value))
    assert evaluation.status == "complete"
    assert evaluation.valid_accuracy == float(value)
    assert evaluation.curve == (float(value),)
    assert evaluation.metric == "score"


@pytest.mark.parametrize(
    "value",
    [None, "1.0", b"1", float("nan"), float("-inf"), 1e301, 1j, [1.0], np.ones(1), np.ones(2), {}],
)
def test_any_other_value_is_a_failure(benchmark_of: Callable, value: Any) -> None:
    evaluation = evaluate(benchmark_of(lambda genotype: value))
    assert evaluation.status == "failed"
    assert evaluation.failure.startswith("users_objective:f returns a finite number. Got ")


def test_an_exception_is_a_failure_with_its_place(benchmark_of: Callable) -> None:
    def raises(genotype: dict) -> float:
        raise LookupError("one\ntwo\x1b[31m")

    failure = evaluate(benchmark_of(raises)).failure
    line = raises.__code__.co_firstlineno + 1
    assert failure == f"LookupError at test_evaluate_objective.py:{line}: one two\\x1b[31m"


def test_an_interrupt_passes(benchmark_of: Callable) -> None:
    def interrupted(genotype: dict) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(benchmark_of(interrupted))


def test_the_function_gets_the_json_object_and_may_ask_for_a_seed(benchmark_of: Callable) -> None:
    seen = []
    assert not benchmark_of(lambda genotype: seen.append(genotype) or 1).takes_seed
    seeded = benchmark_of(lambda genotype, *, seed: seen.append((genotype, seed)) or seed)
    assert seeded.takes_seed
    assert isinstance(seeded, Evaluator)
    evaluate(benchmark_of(lambda genotype, scale=2: seen.append(genotype) or scale))
    seeded = benchmark_of(lambda genotype, *, seed: seen.append((genotype, seed)) or 0)
    evaluate(seeded, 9)
    assert seen == [SPACE.to_json(GENOTYPE), (SPACE.to_json(GENOTYPE), 9)]


def test_what_the_function_does_to_its_argument_stays_there(benchmark_of: Callable) -> None:
    def takes_apart(genotype: dict) -> float:
        return float(genotype.pop("values").pop("y"))

    benchmark = benchmark_of(takes_apart)
    assert [evaluate(benchmark).valid_accuracy for _ in range(2)] == [1.0, 1.0]


@pytest.mark.parametrize("function", [3, lambda genotype, budget: 1.0])
def test_what_cannot_be_called_is_refused(benchmark_of: Callable, function: Any) -> None:
    with pytest.raises(FlagError, match="--objective=users_objective:f"):
        benchmark_of(function)
