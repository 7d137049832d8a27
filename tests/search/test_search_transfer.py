"""Transfer pays on a problem with related tasks; each claim is a comparison over seeds."""

import numpy as np
import pytest

from xfernas_jax.history.record import Evaluation
from xfernas_jax.predictor.base import TaskHistory
from xfernas_jax.search.registry import make_optimizer
from xfernas_jax.space import get_space

SPACE = get_space("nasbench201")
NUM_SEEDS = 10
BUDGET = 12


class Problem:
    """Related tasks: additive scores of (edge, operation) pairs plus pairwise terms."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([seed, 5])
        shared, own = rng.normal(size=(2, 4, 6, 6))  # task, edge, token
        self.first = shared[:1] + 0.5 * own
        pairs = rng.normal(size=(4, 6, 6, 6, 6))
        self.second = 0.2 * (pairs[:1] + 0.5 * pairs)
        grid = np.stack(np.meshgrid(*[c for c in SPACE.choices], indexing="ij"), -1).reshape(-1, 6)
        self.all_target = np.sort(self.score(0, grid))

    def score(self, task: int, tokens: np.ndarray) -> np.ndarray:
        i = np.arange(6)
        total = self.first[task][i, tokens].sum(-1)
        for a in range(6):
            for b in range(a):
                total = total + self.second[task][a, tokens[:, a], b, tokens[:, b]]
        return total

    def sources(self, seed: int) -> list[TaskHistory]:
        result = []
        for task in (1, 2, 3):
            rng = np.random.default_rng([seed, task])
            tokens = np.array([SPACE.encode(SPACE.sample(rng)) for _ in range(80)])
            result.append(TaskHistory(str(task), tokens, self.score(task, tokens)))
        return result

    def percentile(self, score: float) -> float:
        return 100.0 * float(np.mean(self.all_target > score + 1e-12))


def run(name: str, seed: int) -> float:
    problem = Problem(seed)
    optimizer = make_optimizer(name, SPACE, problem.sources(seed))
    best = -np.inf
    low, high = problem.all_target[[0, -1]]
    for round_index in range(BUDGET // 4):
        batch = []
        for suggestion in optimizer.suggest(np.random.default_rng([seed, round_index]), 4):
            score = problem.score(0, np.array([SPACE.encode(suggestion.genotype)]))[0]
            best = max(best, score)
            value = float((score - low) / (high - low))
            batch.append(
                Evaluation(suggestion.genotype, "r", 0, "complete", value, (value,), 1, 0.0)
            )
        optimizer.observe(batch)
    return problem.percentile(best)


@pytest.mark.slow
def test_transfer_beats_random_search_and_its_twin_over_seeds() -> None:
    found = {
        name: np.array([run(name, seed) for seed in range(NUM_SEEDS)])
        for name in ("random", "nao", "xfer_nao")
    }
    for other in ("random", "nao"):
        # Under no difference, 9 of 10 paired wins have a chance of 1.1 %.
        wins = int(np.sum(found["xfer_nao"] < found[other]))
        assert wins >= 9, found
    assert found["xfer_nao"].mean() < 0.5 * found["random"].mean(), found


@pytest.mark.parametrize("optimizer", ["nao", "bananas"])
def test_sources_that_are_unrelated_to_one_another_start_a_search_as_none_do(
    optimizer: str,
) -> None:
    problem = Problem(0)
    rng = np.random.default_rng(0)
    shuffled = [
        TaskHistory(s.name, s.tokens, rng.permutation(s.scores)) for s in problem.sources(0)
    ]
    alone = make_optimizer(optimizer, SPACE)
    with_sources = make_optimizer(f"xfer_{optimizer}", SPACE, shuffled)
    trusting = make_optimizer(f"xfer_{optimizer}", SPACE, problem.sources(0))
    first = [
        [s.genotype for s in one.suggest(np.random.default_rng(1), 5)]
        for one in (alone, with_sources, trusting)
    ]
    assert first[0] == first[1]
    assert first[0] != first[2]
    tokens = [SPACE.sample(np.random.default_rng(i)) for i in range(10)]
    with_sources.observe(
        [
            Evaluation(g, "r", 0, "complete", 0.05 * i, (0.05 * i,), 1, 0.0)
            for i, g in enumerate(tokens)
        ]
    )
    later = with_sources.suggest(np.random.default_rng(1), 5)
    assert all(s.predicted is not None for s in later)
