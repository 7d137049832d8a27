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
from xfernas_jax.history.metric import SCORE
from xfernas_jax.history.record import Job, Result
from xfernas_jax.space import CategoricalSpace

SPACE = CategoricalSpace("letters", {"x": ("a", "b"), "y": (1, 2)})
GENOTYPE = SPACE.genotype({"x": "b", "y": 1})


@pytest.fixture
def evaluator_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ObjectiveEvaluator]:
    def build(function: Any) -> ObjectiveEvaluator:
        module = types.ModuleType("users_objective")
        module.f = function  # pyright: ignore[reportAttributeAccessIssue]
        monkeypatch.setitem(sys.modules, "users_objective", module)
        return ObjectiveEvaluator(SPACE, "users_objective:f")

    return build


def evaluate(evaluator: ObjectiveEvaluator, seed: int = 5) -> Result:
    return evaluator.evaluate(Job(0, GENOTYPE, SPACE.key(GENOTYPE), seed)).result


@pytest.mark.parametrize(
    "value", [-3, 2.5, True, np.float32(2.5), np.int64(7), np.array(-1.5), jnp.array(4.0)]
)
def test_any_finite_number_is_a_score(evaluator_of: Callable, value: Any) -> None:
    result = evaluate(evaluator_of(lambda genotype: value))
    assert result.status == "complete"
    assert result.value == float(value)
    assert result.curve == (float(value),)
    assert result.costs == ()


@pytest.mark.parametrize(
    "value",
    [None, "1.0", b"1", float("nan"), float("-inf"), 1e301, 1j, [1.0], np.ones(1), np.ones(2), {}],
)
def test_any_other_value_is_a_failure(evaluator_of: Callable, value: Any) -> None:
    result = evaluate(evaluator_of(lambda genotype: value))
    assert result.status == "failed"
    assert result.failure.startswith("users_objective:f returns a finite number. Got ")


def test_an_exception_is_a_failure_with_its_place(evaluator_of: Callable) -> None:
    def raises(genotype: dict) -> float:
        raise LookupError("one\ntwo\x1b[31m")

    failure = evaluate(evaluator_of(raises)).failure
    line = raises.__code__.co_firstlineno + 1
    assert failure == f"LookupError at test_evaluate_objective.py:{line}: one two\\x1b[31m"


def test_an_interrupt_passes(evaluator_of: Callable) -> None:
    def interrupted(genotype: dict) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(evaluator_of(interrupted))


def test_the_function_gets_the_json_object_and_may_ask_for_a_seed(evaluator_of: Callable) -> None:
    seen = []
    assert not evaluator_of(lambda genotype: seen.append(genotype) or 1).takes_seed
    seeded = evaluator_of(lambda genotype, *, seed: seen.append((genotype, seed)) or seed)
    assert seeded.takes_seed
    assert isinstance(seeded, Evaluator)
    evaluate(evaluator_of(lambda genotype, scale=2: seen.append(genotype) or scale))
    seeded = evaluator_of(lambda genotype, *, seed: seen.append((genotype, seed)) or 0)
    evaluate(seeded, 9)
    assert seen == [SPACE.to_json(GENOTYPE), (SPACE.to_json(GENOTYPE), 9)]


def test_what_the_function_does_to_its_argument_stays_there(evaluator_of: Callable) -> None:
    def takes_apart(genotype: dict) -> float:
        return float(genotype.pop("values").pop("y"))

    evaluator = evaluator_of(takes_apart)
    assert [evaluate(evaluator).value for _ in range(2)] == [1.0, 1.0]


@pytest.mark.parametrize("function", [3, lambda genotype, budget: 1.0])
def test_what_cannot_be_called_is_refused(evaluator_of: Callable, function: Any) -> None:
    with pytest.raises(FlagError, match="--objective=users_objective:f"):
        evaluator_of(function)


def test_its_task_has_no_classes_and_measures_a_score(evaluator_of: Callable) -> None:
    task = evaluator_of(lambda genotype: 1.0).task
    assert task.num_classes is None
    assert task.metric == SCORE
