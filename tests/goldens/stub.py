"""A stub of an evaluator: scores, curves, costs and sources as pure functions of tokens.

The goldens (`test_goldens.py`) are searches over this stub, so whatever changes a number here
makes them worthless: leave it alone. It uses nothing but whole numbers, sums, products and
quotients of floats, which are the same on every machine, and nothing of the package.

A task is a number: 0 is the target, 1 and 2 are the sources. A third of what makes an
architecture good is a task's own, the rest all tasks share.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

TARGET = 0
SOURCES = (1, 2)
NUM_SOURCE_ARCHITECTURES = 40
NUM_EPOCHS = 4

Tokens = tuple[int, ...]
Choices = Sequence[Sequence[int]]


def unit(*parts: object) -> float:
    """Returns a number in [0, 1) that depends on the parts alone: a multiple of 2**-32."""
    texts = [str(tuple(map(int, p)) if isinstance(p, tuple) else p) for p in parts]
    return int.from_bytes(hashlib.sha256("/".join(texts).encode()).digest()[:4], "big") / 2**32


def score(tokens: Tokens, seed: int, task: int = TARGET) -> float | None:
    """Returns a validation accuracy in [0.1, 0.95], 6 decimals; None where the training fails.

    Whether it fails depends on the tokens and the task (about one of twelve), not on the seed,
    which moves the accuracy by at most 0.01.
    """
    if unit("fails", task, tokens) < 1 / 12:
        return None
    noise = 0.02 * (unit("noise", task, tokens, seed) - 0.5)
    return round(_clip(_level(tokens, task) + noise), 6)


def score_on_test(tokens: Tokens, seed: int, task: int = TARGET) -> float:
    """Returns an accuracy on the test part, 6 decimals."""
    noise = 0.02 * (unit("test", task, tokens, seed) - 0.5)
    return round(_clip(_level(tokens, task) - 0.01 + noise), 6)


def curve(tokens: Tokens, seed: int, task: int = TARGET) -> tuple[float, ...]:
    """Returns the accuracy after each of the four epochs; empty where the training fails.

    The last one is `score`. Some architectures learn faster than others, and curves cross.
    """
    final = score(tokens, seed, task)
    if final is None:
        return ()
    halving = 0.15 + 0.35 * unit("speed", tokens)  # share of the way that an epoch leaves
    ways = [1 - halving**epoch for epoch in range(1, NUM_EPOCHS)]
    return (*(round(0.1 + (final - 0.1) * way, 6) for way in ways), final)


def costs(tokens: Tokens) -> dict[str, float]:
    """Returns `params` (whole, about 10,000 a position) and `latency_ms` (about 1 a position).

    Parameters are a sum over positions; the latency has a part that is no such sum.
    """
    params = sum(int(20_000 * unit("params", i, t)) for i, t in enumerate(tokens))
    pairs = enumerate(itertools.pairwise(tokens))
    waits = sum(unit("latency", i, t) for i, t in enumerate(tokens))
    waits += sum(unit("latency", i, pair) for i, pair in pairs)
    return {"params": float(1_000 + params), "latency_ms": round(0.1 + waits, 6)}


def source_tokens_and_scores(task: int, choices: Choices) -> tuple[list[Tokens], list[float]]:
    """Returns 40 different random architectures of a source task and their scores (seed 0).

    Args:
      task: one of `SOURCES`.
      choices: for each position the tokens that may stand there, as in `Space.choices`.
    """
    rows: dict[Tokens, float] = {}
    number = 0
    while len(rows) < NUM_SOURCE_ARCHITECTURES:
        tokens = tuple(
            options[int(unit("draw", task, number, i) * len(options))]
            for i, options in enumerate(choices)
        )
        value = score(tokens, 0, task)
        if value is not None:
            rows.setdefault(tokens, value)
        number += 1
    return list(rows), list(rows.values())


def _level(tokens: Tokens, task: int) -> float:
    """Returns the accuracy without noise: weights of single tokens and of neighbours, squashed."""
    total = 0.0
    for i, token in enumerate(tokens):
        total += 2.0 * (unit("weight", i, token) - 0.5) + unit("own", task, i, token) - 0.5
    for i, pair in enumerate(itertools.pairwise(tokens)):
        total += unit("pair", i, pair) - 0.5
    return 0.55 + 0.4 * total / (1.5 + abs(total))


def _clip(accuracy: float) -> float:
    return min(max(accuracy, 0.1), 0.95)


@dataclasses.dataclass(frozen=True)
class GoldenSearch:
    """The settings of a golden search, in names and numbers only.

    All have a budget of 16 in batches of 4, the seed 1, two finalists with two confirming
    trainings each and the predictor of `PREDICTOR`.

    Attributes:
      optimizer: by its name.
      space: by its name; `golden_categorical` has the parameters of `CATEGORICAL`.
      surrogate: by its name.
      early_stop: by its name; it is given the curves of the sources where `with_sources`.
      limits: largest admitted value by the name of the cost. That of params is known before an
        evaluation (an architecture over it is never evaluated), that of latency_ms after it.
      pareto: the cost that is traded against accuracy, or empty.
      with_sources: whether the optimizer is given the two sources.
      source_costs: whether the sources know the costs that matter.
    """

    optimizer: str
    space: str = "nasbench201"
    surrogate: str = "head"
    early_stop: str = "none"
    limits: Mapping[str, float] = dataclasses.field(default_factory=dict)
    pareto: str = ""
    with_sources: bool = False
    source_costs: bool = False


BUDGET, BATCH_SIZE, SEED, CONFIRM_SEEDS, NUM_FINALISTS = 16, 4, 1, 2, 2
NUM_INITIAL, POPULATION_SIZE, TOURNAMENT_SIZE = 4, 6, 3
PREDICTOR: Mapping[str, Any] = {
    "num_members": 2,
    "source_steps": 60,
    "target_steps": 20,
    "num_unlabelled": 256,
    "latent_size": 16,
    "hidden_size": 32,
}
"""Fields of `PredictorConfig`."""

CATEGORICAL: Mapping[str, tuple[str | int, ...]] = {
    "activation": ("relu", "gelu", "silu"),
    "depth": (2, 4, 8),
    "width": (16, 32, 64, 128),
    "kernel": (3, 5),
    "pooling": ("avg", "max"),
}

SEARCHES: Mapping[str, GoldenSearch] = {
    "random": GoldenSearch("random"),
    "evolution": GoldenSearch("evolution"),
    "nao": GoldenSearch("nao"),
    "xfer_nao": GoldenSearch("xfer_nao", with_sources=True),
    "bananas": GoldenSearch("bananas"),
    "xfer_bananas": GoldenSearch("xfer_bananas", with_sources=True),
    "early_stop": GoldenSearch("random", early_stop="median"),
    "costs": GoldenSearch(
        "xfer_nao",
        limits={"params": 60_000.0, "latency_ms": 5.0},
        with_sources=True,
        source_costs=True,
    ),
    # Beyond the eight: what else must not change unseen.
    "early_stop_sources": GoldenSearch("xfer_nao", early_stop="median", with_sources=True),
    "pareto": GoldenSearch("nao", pareto="params"),
    "joint": GoldenSearch("xfer_nao", surrogate="joint", with_sources=True),
    "two_cell_evolution": GoldenSearch("evolution", space="nao5"),
    "categorical_xfer_nao": GoldenSearch("xfer_nao", space="golden_categorical", with_sources=True),
}
