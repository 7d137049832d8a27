"""A toy to search with: networks scored by a function, and whole searches in memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from xfernas_jax.evaluate.base import OnEpoch, Scored, Stop
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history.goal import Goal
from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.history.record import Evaluation, Job, Result, Task
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.base import Optimizer, suggest
from xfernas_jax.search.desk import Desk
from xfernas_jax.search.outcome import Outcome
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.registry import SearchConfig, make_optimizer
from xfernas_jax.search.search import Search
from xfernas_jax.search.seen import Seen
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
TASK = Task("synthetic", "none", 2)


def distinct_cells(count: int, seed: int = 0) -> list[Any]:
    rng, cells = np.random.default_rng(seed), {}
    while len(cells) < count:
        cell = SPACE.sample(rng)
        cells.setdefault(SPACE.key(cell), cell)
    return list(cells.values())


def share_of_convs(job: Job) -> float:
    return job.genotype.ops.count("nor_conv_3x3") / 6


def complete(value: float, **changes: Any) -> Result:
    return Result("complete", value, (value,), **changes)


def evaluated(
    genotype: Any, result: Result | float, number: int = 0, seed: int = 0, **job: Any
) -> Evaluation:
    result = result if isinstance(result, Result) else complete(result)
    return Evaluation(Job(number, genotype, SPACE.key(genotype), seed, **job), result, "r")


class Toy:
    """Evaluates by a function from a job to a value or a result; dies like a kill at `limit`."""

    task, space, recipe = TASK, SPACE, "r"

    def __init__(
        self, score: Callable[[Job], Result | float] = share_of_convs, limit: int = 10**6
    ) -> None:
        self.score, self.limit = score, limit
        self.calls = 0
        self.tested: list[Any] = []

    def evaluate(
        self, job: Job, on_epoch: OnEpoch | None = None, stop: Stop | None = None
    ) -> Scored:
        if self.calls >= self.limit:
            raise KeyboardInterrupt
        self.calls += 1
        found = self.score(job)
        result = found if isinstance(found, Result) else complete(found)
        return Scored(result, {"seed": job.seed} if result.status == "complete" else None)

    def test(self, genotype: Any, variables: Any) -> float:
        self.tested.append(variables)
        return variables["seed"] / 2**32


class Shuffled(InProcessExecutor):
    """Has four workers that finish in a random order; stops like a kill after `limit`."""

    num_workers = 4

    def __init__(self, evaluator: Any, seed: int, limit: int = 10**6) -> None:
        super().__init__(evaluator)
        self._rng, self._limit = np.random.default_rng(seed), limit
        self.num_finished = 0

    def next_finished(self, watcher: Any) -> Any:
        if self.num_finished >= self._limit:
            raise KeyboardInterrupt
        self.num_finished += 1
        self._waiting.rotate(int(self._rng.integers(4)))
        return super().next_finished(watcher)


class Keeper:
    """Keeps variables as long as the test lasts."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def save(self, name: str, variables: Any) -> None:
        self.kept[name] = variables

    def load(self, name: str) -> Any:
        return self.kept.get(name)

    def keep_only(self, names: Any) -> None:
        wanted = set(names)
        self.kept = {name: value for name, value in self.kept.items() if name in wanted}


def search(
    optimizer: str | Optimizer,
    evaluator: Any,
    record: Any,
    plan: SearchPlan,
    *,
    sources: Sequence[TaskHistory] = (),
    config: SearchConfig | None = None,
    goal: Goal | None = None,
    known_costs: Any = None,
    prior: Sequence[Evaluation] = (),
    early_stop: Any = None,
    **desk: Any,
) -> Outcome | None:
    """Runs a search; `evaluator` may be an executor, and `desk` holds more of a `Desk`."""
    if isinstance(optimizer, str):
        optimizer = make_optimizer(optimizer, SPACE, sources, config)
    is_executor = hasattr(evaluator, "next_finished")
    executor = evaluator if is_executor else InProcessExecutor(evaluator)
    start = Seen(SPACE, goal or Goal(), tuple(prior), known_costs=known_costs)
    return Search(optimizer, Desk(executor, record, "r", **desk), plan, start, early_stop).run()


def explored(record: MemoryRecord) -> list[Evaluation]:
    return [e for e in record.evaluations() if e.purpose == "search"]


def driven(
    optimizer: Optimizer,
    seen: Seen,
    score: Callable[[Any], Result],
    counts: Sequence[int],
    seed: int,
) -> Iterator[Evaluation]:
    """Asks for batches and tells the results, as every loop does."""
    for number, count in enumerate(counts):
        batch = suggest(optimizer, seen, seed, number, count)
        found = [evaluated(s.genotype, score(s.genotype)) for s in batch]
        seen = seen.then(found)
        yield from found
