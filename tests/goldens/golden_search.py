"""Runs a golden search with today's code: the one place to adapt where an interface changes."""

import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import stub

from xfernas_jax.evaluate.base import Scored
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history import Storage, StudySpec, default_storage_url
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.record import Evaluation, Purpose, Task
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.early_stop import make_early_stop
from xfernas_jax.search.loop import LoopConfig, run_search
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.space import CategoricalSpace, Genotype, Space, get_space

TASK = Task("golden", "none", 2)


def run_golden(setting: stub.GoldenSearch) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Returns the evaluations, in the order of their recording, and the outcome, as goldens do."""
    space = _space(setting.space)
    goal = Goal(tuple(setting.limits.items()), setting.pareto)
    histories, curves = _sources(space, setting, goal.costs)
    optimizer = make_optimizer(
        setting.optimizer,
        space,
        histories,
        SearchConfig(
            surrogate=setting.surrogate,
            predictor=PredictorConfig(**stub.PREDICTOR),
            num_initial=stub.NUM_INITIAL,
            population_size=stub.POPULATION_SIZE,
            tournament_size=stub.TOURNAMENT_SIZE,
            goal=goal,
            known_costs=lambda genotype: {"params": _costs(space, genotype)["params"]},
        ),
    )
    spec = StudySpec("golden", "search", TASK, space.name, "golden", {})
    loop = LoopConfig(
        stub.BUDGET, stub.BATCH_SIZE, stub.SEED, stub.CONFIRM_SEEDS, stub.NUM_FINALISTS
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Storage(default_storage_url(folder), get_space=lambda _: space) as storage,
    ):
        storage.create_or_open(spec)
        outcome = run_search(
            optimizer,
            InProcessExecutor(_StubEvaluator(space)),
            storage,
            spec.name,
            loop,
            _Quiet(),
            early_stop=make_early_stop(setting.early_stop, stub.NUM_EPOCHS, curves),
            goal=goal,
        )
        evaluations = storage.evaluations(spec.name)
    assert outcome is not None
    return [_row(space, e) for e in evaluations], {
        "genotype": space.to_json(outcome.genotype),
        "valid_accuracy": outcome.valid_accuracy,
        "test_accuracy": outcome.test_accuracy,
        "num_params": outcome.num_params,
        "costs": dict(outcome.costs),
        "incumbent_curve": list(outcome.incumbent_curve),
        "num_evaluations": outcome.num_evaluations,
        "num_confirmations": outcome.num_confirmations,
        "epochs_trained": outcome.epochs_trained,
        "epochs_saved": outcome.epochs_saved,
        "front": [e.number for e in outcome.front],
    }


class _Quiet:
    def started(self, job: Any) -> None: ...

    def epoch(self, job: Any, epoch: int, valid_accuracy: float) -> None: ...

    def finished(self, job: Any, evaluation: Evaluation) -> None: ...


class _StubEvaluator:
    """Scores as the stub does, and asks after each epoch but the last whether to stop."""

    task, recipe = TASK, "golden"

    def __init__(self, space: Space) -> None:
        self.space = space

    def evaluate(
        self,
        genotype: Genotype,
        seed: int,
        purpose: Purpose = "search",
        on_epoch: Callable[[int, float], None] | None = None,
        stop: Callable[[Sequence[float]], bool] | None = None,
    ) -> Scored:
        tokens = self.space.encode(genotype)
        value, curve = stub.score(tokens, seed), stub.curve(tokens, seed)
        status = "failed" if value is None else "complete"
        for epoch in range(1, len(curve)):
            if stop is not None and stop(curve[:epoch]):
                status, value, curve = "stopped", None, curve[:epoch]
                break
        costs = stub.costs(tokens)
        evaluation = Evaluation(
            genotype=genotype,
            recipe=self.recipe,
            seed=seed,
            status=status,
            valid_accuracy=value,
            curve=curve,
            num_params=int(costs["params"]),
            seconds=0.0,
            purpose=purpose,
            failure="the stub fails" if status == "failed" else "",
            costs=(("latency_ms", costs["latency_ms"]),),
        )
        return Scored(evaluation, None if value is None else seed)

    def test_accuracy(self, genotype: Genotype, variables: Any) -> float:
        return stub.score_on_test(self.space.encode(genotype), variables)


def _space(name: str) -> Space:
    if name == "golden_categorical":
        return CategoricalSpace(name, stub.CATEGORICAL)
    return get_space(name)


def _costs(space: Space, genotype: Genotype) -> dict[str, float]:
    return stub.costs(space.encode(genotype))


def _sources(
    space: Space, setting: stub.GoldenSearch, names: Sequence[str]
) -> tuple[list[TaskHistory], list[list[tuple[float, ...]]]]:
    """Returns the sources and their learning curves; none for a search without sources."""
    histories, curves = [], []
    for task in stub.SOURCES if setting.with_sources else ():
        rows, scores = stub.source_tokens_and_scores(task, space.choices)
        known = [[stub.costs(row)[name] for name in names] for row in rows]
        costs = np.array(known) if setting.source_costs else None
        tokens = np.array(rows, np.int32)
        histories.append(TaskHistory(f"source {task}", tokens, np.array(scores), (), costs))
        curves.append([stub.curve(row, 0, task) for row in rows])
    return histories, curves


def _row(space: Space, evaluation: Evaluation) -> dict[str, Any]:
    return {
        "number": evaluation.number,
        "round_index": evaluation.round_index,
        "purpose": evaluation.purpose,
        "status": evaluation.status,
        "genotype": space.to_json(evaluation.genotype),
        "tokens": list(space.encode(evaluation.genotype)),
        "seed": evaluation.seed,
        "valid_accuracy": evaluation.valid_accuracy,
        "predicted": evaluation.predicted,
        "curve": list(evaluation.curve),
        "num_params": evaluation.num_params,
        "costs": dict(evaluation.costs),
    }
