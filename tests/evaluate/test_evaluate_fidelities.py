"""Two fidelities: which recipe trains and tests what, on which images."""

import dataclasses
import pickle
from typing import Any

import jax
import numpy as np
import pytest

from xfernas_jax.data.base import ImageDataset
from xfernas_jax.evaluate.base import Scored
from xfernas_jax.evaluate.fidelities import Fidelities
from xfernas_jax.evaluate.recipes import get_recipe
from xfernas_jax.evaluate.runtime import Runtime
from xfernas_jax.evaluate.spec import EvaluatorSpec, TrainedSpec
from xfernas_jax.evaluate.trained import TrainedEvaluator
from xfernas_jax.history.record import Job, Result
from xfernas_jax.space import PUBLISHED, get_space

SPACE = get_space("convnet")
GENOTYPE = PUBLISHED["vgg_tiny"][1]
JOB = Job(0, GENOTYPE, SPACE.key(GENOTYPE), 1)
FINAL_JOB = dataclasses.replace(JOB, purpose="final")
SEARCH = get_recipe("cpu", ["train.epochs=1", "data.train_examples=64", "data.image_size=8"])
FINAL = get_recipe("cpu", ["train.epochs=2", "data.image_size=8", "data.train_examples=100000"])
SPEC = TrainedSpec("convnet", "digits", None, SEARCH, final=FINAL)
SHRUNK = dataclasses.replace(
    SPEC, recipe=get_recipe("cpu", ["data.image_size=6", "data.train_examples=64"])
)


class Recorded(TrainedEvaluator):
    """Stands for a `TrainedEvaluator`; says what it was built from and asked."""

    def __init__(self, space: Any, dataset: ImageDataset, recipe: Any, *_: Any) -> None:
        self.space, self.dataset, self.task = space, dataset, dataset.task
        self.whole_recipe, self.recipe = recipe, recipe.fingerprint()
        self.asked: list[str] = []

    def evaluate(self, job: Job, on_epoch: Any = None, stop: Any = None) -> Scored:
        self.asked.append(job.purpose)
        return Scored(Result("failed"), None)

    def prepare(self, genotype: Any) -> None:
        self.asked.append("prepare")

    def test(self, genotype: Any, variables: Any) -> float:
        self.asked.append("test")
        return 0.5


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """What is built from specs: the evaluator of the search first, then the final one."""
    found: list[Recorded] = []

    def build(*arguments: Any) -> Recorded:
        found.append(Recorded(*arguments))
        return found[-1]

    monkeypatch.setattr("xfernas_jax.evaluate.spec.TrainedEvaluator", build)
    return found


def equal(first: ImageDataset, second: ImageDataset) -> bool:
    pairs = zip(first.parts().values(), second.parts().values(), strict=True)
    return first.task == second.task and all(
        np.array_equal(a.images[:], b.images[:]) and np.array_equal(a.labels, b.labels)
        for a, b in pairs
    )


def test_final_jobs_and_the_test_part_go_to_the_final_recipe_and_all_else_not(
    built: list[Recorded],
) -> None:
    evaluator = SPEC.build(Runtime())
    for purpose in ("search", "confirm", "final"):
        evaluator.evaluate(dataclasses.replace(JOB, purpose=purpose))
    evaluator.prepare(GENOTYPE)
    evaluator.test(GENOTYPE, None)
    search, final = built
    assert (search.whole_recipe, search.asked) == (SEARCH, ["search", "confirm", "prepare"])
    assert (final.whole_recipe, final.asked) == (FINAL, ["final", "test"])


def test_the_final_evaluator_is_built_once_and_only_when_it_is_needed(
    built: list[Recorded],
) -> None:
    evaluator = SPEC.build(Runtime())
    evaluator.evaluate(JOB)
    assert len(built) == 1
    evaluator.evaluate(FINAL_JOB)
    evaluator.evaluate(FINAL_JOB)
    assert len(built) == 2


def test_studies_name_the_recipe_of_the_search(built: list[Recorded]) -> None:
    assert SPEC.build(Runtime()).recipe == SEARCH.fingerprint() != FINAL.fingerprint()


@pytest.mark.parametrize("spec", [SPEC, SHRUNK], ids=["equal sides", "smaller in the search"])
@pytest.mark.parametrize("is_given", [False, True], ids=["in a worker", "with loaded data"])
def test_both_recipes_see_the_data_that_each_alone_would_load(
    spec: TrainedSpec, is_given: bool, built: list[Recorded]
) -> None:
    dataset = spec.load() if is_given else None
    evaluator = spec.build(Runtime(), dataset=dataset)
    evaluator.evaluate(FINAL_JOB)
    for found, recipe in zip(built, (spec.recipe, spec.final), strict=True):
        assert recipe is not None
        alone = dataclasses.replace(spec, recipe=recipe, final=None)
        assert equal(found.dataset, alone.load())


def test_a_spec_with_a_final_recipe_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(SPEC))
    assert again == SPEC
    assert isinstance(again, EvaluatorSpec)


def test_without_a_final_recipe_nothing_changes(built: list[Recorded]) -> None:
    evaluator: Any = dataclasses.replace(SPEC, final=None).build(Runtime())
    assert evaluator is built[0]


@pytest.mark.slow
def test_a_final_job_is_trained_for_the_epochs_of_its_recipe_or_what_its_limit_leaves() -> None:
    evaluator = SPEC.build(Runtime(), jax.devices()[:1])
    assert isinstance(evaluator, Fidelities)
    assert len(evaluator.evaluate(JOB).result.curve) == 1
    whole = evaluator.evaluate(FINAL_JOB)
    assert len(whole.result.curve) == 2
    tested = evaluator.test(GENOTYPE, whole.variables)
    assert tested is not None
    assert 0.0 <= tested <= 1.0
    cut = evaluator.evaluate(dataclasses.replace(FINAL_JOB, limit_seconds=0.0))
    assert (cut.result.status, len(cut.result.curve)) == ("complete", 1)
    assert cut.variables is not None
