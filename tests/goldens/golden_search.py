"""Runs a golden search with today's code: the one place to adapt where an interface changes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import stub

from xfernas_jax.evaluate.base import OnEpoch, Scored, Stop
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.history.record import Evaluation, Job, Result, Status, Task
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.predictor.config import PredictorConfig
from xfernas_jax.search.desk import Desk
from xfernas_jax.search.early_stop import make_early_stop
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.search import Search
from xfernas_jax.search.seen import Seen
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
        ),
    )
    plan = SearchPlan(
        stub.BUDGET, stub.BATCH_SIZE, stub.SEED, stub.CONFIRM_SEEDS, stub.NUM_FINALISTS
    )
    record = MemoryRecord()
    start = Seen(
        space,
        goal,
        known_costs=lambda genotype: {"params": _costs(space, genotype)["params"]},
    )
    desk = Desk(InProcessExecutor(_StubEvaluator(space)), record, "golden")
    early_stop = make_early_stop(setting.early_stop, stub.NUM_EPOCHS, curves)
    outcome = Search(optimizer, desk, plan, start, early_stop).run()
    assert outcome is not None
    evaluations = [e for e in record.evaluations() if e.purpose != "test"]
    costs = {name: value for name, value in outcome.costs.items() if name != "params"}
    return [_row(space, e) for e in evaluations], {
        "genotype": space.to_json(outcome.genotype),
        "valid_accuracy": outcome.value,
        "test_accuracy": outcome.test,
        "num_params": int(outcome.costs["params"]),
        "costs": {**costs, "params": outcome.costs["params"]},
        "incumbent_curve": [value or 0.0 for value in outcome.incumbent_curve],  # as 0.1.0 wrote it
        "num_evaluations": outcome.num_evaluations,
        "num_confirmations": outcome.num_confirmations,
        "epochs_trained": outcome.epochs_trained,
        "epochs_saved": outcome.epochs_saved,
        "front": [e.number for e in outcome.front],
    }


class _StubEvaluator:
    """Scores as the stub does, and asks after each epoch but the last whether to stop."""

    task, recipe = TASK, "golden"

    def __init__(self, space: Space) -> None:
        self.space = space

    def evaluate(
        self, job: Job, on_epoch: OnEpoch | None = None, stop: Stop | None = None
    ) -> Scored:
        tokens = self.space.encode(job.genotype)
        value, curve = stub.score(tokens, job.seed), stub.curve(tokens, job.seed)
        status: Status = "failed" if value is None else "complete"
        for epoch in range(1, len(curve)):
            if stop is not None and stop(curve[:epoch]):
                status, value, curve = "stopped", None, curve[:epoch]
                break
        failure = "the stub fails" if status == "failed" else ""
        costs = tuple(stub.costs(tokens).items())
        result = Result(status, value, curve, costs, failure=failure)
        return Scored(result, None if value is None else job.seed)

    def test(self, genotype: Genotype, variables: Any) -> float:
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
    costs = evaluation.costs
    return {
        "number": evaluation.number,
        "round_index": evaluation.job.after // stub.BATCH_SIZE,
        "purpose": evaluation.purpose,
        "status": evaluation.status,
        "genotype": space.to_json(evaluation.genotype),
        "tokens": list(space.encode(evaluation.genotype)),
        "seed": evaluation.seed,
        "valid_accuracy": evaluation.value,
        "predicted": evaluation.job.predicted,
        "curve": list(evaluation.curve),
        "num_params": int(costs.pop("params")),
        "costs": costs,
    }
