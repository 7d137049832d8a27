"""What an evaluator is built from, and options that never change a score."""

import dataclasses
import json
import pickle
import subprocess
import sys
from typing import Any

import jax
import pytest

from xfernas_jax.evaluate.base import Evaluator
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.evaluate.spec import EvaluatorSpec, ObjectiveSpec, TrainedSpec
from xfernas_jax.history.metric import ACCURACY
from xfernas_jax.history.record import Job
from xfernas_jax.space import get_space
from xfernas_jax.space.nasbench201 import TopologyCell
from xfernas_jax.train.scores import METRICS

SPACE = get_space("nasbench201")
LIGHT = TopologyCell(("nor_conv_1x1", "none", "none", "none", "identity", "none"))
JOB = Job(0, LIGHT, SPACE.key(LIGHT), 1)
RECIPE = get_recipe(
    "cpu",
    ["train.epochs=2", "data.train_examples=128", "network.filters=4", "network.num_cells=1"],
)
TRAINED = TrainedSpec("nasbench201", "digits", None, RECIPE)


def test_specs_can_be_pickled_and_build_evaluators() -> None:
    for spec in (TRAINED, ObjectiveSpec("nasbench201", "operator:length_hint")):
        again: Any = pickle.loads(pickle.dumps(spec))
        assert again == spec
        assert isinstance(again, EvaluatorSpec)
        evaluator = again.build(Runtime(), jax.devices()[:1])
        assert isinstance(evaluator, Evaluator)
        assert evaluator.space.name == again.find_space().name


def test_the_task_holds_the_metric_and_accuracy_is_the_default() -> None:
    dataset = TRAINED.load()
    assert TRAINED.build(Runtime(), dataset=dataset).task == dataset.task
    assert dataset.task.metric == ACCURACY
    other = dataclasses.replace(TRAINED, metric="log_loss").build(Runtime(), dataset=dataset)
    assert other.task.metric == METRICS["log_loss"].plain()
    assert other.recipe == TRAINED.build(Runtime(), dataset=dataset).recipe


@pytest.mark.slow
def test_a_metric_changes_what_is_measured_and_not_what_is_trained() -> None:
    dataset, results, identities = TRAINED.load(), {}, set()
    for name in METRICS:
        spec = dataclasses.replace(TRAINED, metric=name)
        evaluator = spec.build_one(Runtime(programs="own"), jax.devices()[:2], dataset)
        results[name] = evaluator.evaluate(JOB)
        identities.add(json.dumps(evaluator.identity(LIGHT, 1)))
        tested = evaluator.test(LIGHT, results[name].variables)
        assert tested is not None
        METRICS[name].check(tested)
        METRICS[name].check(results[name].result.value or 0.0)
    variables = [jax.tree.leaves(scored.variables) for scored in results.values()]
    for others in variables[1:]:
        assert all((a == b).all() for a, b in zip(variables[0], others, strict=True))
    assert len({scored.result.curve for scored in results.values()}) == len(METRICS)
    assert len(identities) == len(METRICS)


@pytest.mark.slow
def test_a_result_has_its_parameters_first_and_then_the_costs_that_were_asked_for() -> None:
    spec = dataclasses.replace(TRAINED, costs=("flops", "params"))
    result = spec.build(Runtime(programs="own"), jax.devices()[:1]).evaluate(JOB).result
    assert [name for name, _ in result.costs] == ["params", "flops"]


def test_the_runtime_changes_neither_fingerprint_nor_what_is_decisive() -> None:
    runtime = Runtime(depthwise="lax", remat=True, scan_cells=True, programs="own")
    dataset = TRAINED.load()
    assert TRAINED.build(runtime, dataset=dataset).recipe == RECIPE.fingerprint()


def test_what_may_decide_whether_an_evaluation_breaks_is_said_once_in_words() -> None:
    assert TRAINED.runtime_text(Runtime()) == ""
    unimportant = Runtime(compile_cache="x", unfinished_dir="y", evaluation_checkpoint_seconds=1.0)
    assert TRAINED.runtime_text(unimportant) == ""
    by_flag = TRAINED.runtime_text(Runtime(remat=True, programs="own"))
    assert by_flag == "programs=own remat=true"
    recipe = get_recipe("cpu", ["network.remat=true", "train.eval_batch_size=64"])
    by_recipe = dataclasses.replace(TRAINED, recipe=recipe).runtime_text(Runtime(programs="own"))
    assert by_recipe == "programs=own remat=true eval_batch_size=64"


def test_costs_that_have_to_be_measured_are_not_known_before() -> None:
    dataset = TRAINED.load()
    assert TRAINED.known_costs(dataset, ["latency_ms"]) is None
    known = TRAINED.known_costs(dataset, ["latency_ms", "params"])
    assert known is not None
    assert list(known(LIGHT)) == ["params"]


def test_the_options_load_nothing_heavy() -> None:
    code = "import sys, xfernas_jax.evaluate.runtime; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
