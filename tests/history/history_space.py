"""A space of one short chain, and evaluations in it, for tests that need any space at all."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.history.record import Evaluation, Job, Result, StudySpec, Task
from xfernas_jax.space.base import Genotype, Space
from xfernas_jax.space.graph import CellGraph, Edge, NetworkPlan

OPS = ("identity", "conv_1x1", "conv_3x3", "max_pool_3x3")


@dataclasses.dataclass(frozen=True)
class Chain:
    """Eight operations; equal as networks when equal up to order."""

    ops: tuple[int, ...]


class ChainSpace(Space):
    """Chains of eight of four operations."""

    name = "chain"
    vocabulary = ("start", *OPS)
    choices = ((1, 2, 3, 4),) * 8

    def encode(self, genotype: Genotype) -> tuple[int, ...]:
        return tuple(op + 1 for op in genotype.ops)

    def decode(self, tokens: Sequence[int]) -> Genotype:
        if len(tokens) != 8 or any(token not in self.choices[0] for token in tokens):
            raise GenotypeError(f"A chain has 8 tokens of 1..4. Got {tokens!r:.60}.")
        return Chain(tuple(int(token) - 1 for token in tokens))

    def plan(self, genotype: Genotype) -> NetworkPlan:
        nodes = tuple((Edge(i, OPS[op]),) for i, op in enumerate(genotype.ops))
        return NetworkPlan(CellGraph(1, nodes, "last"), None)

    def canonical(self, genotype: Genotype) -> Genotype:
        return Chain(tuple(sorted(genotype.ops)))

    def to_json(self, genotype: Genotype) -> dict[str, Any]:
        return {"space": self.name, "ops": list(genotype.ops)}

    def from_json(self, value: Mapping[str, Any]) -> Genotype:
        self.check_json_space(value, "genotype")
        ops = value.get("ops")
        if not isinstance(ops, list) or any(type(op) is not int for op in ops):
            raise GenotypeError(f"ops is a list of integers. Got {ops!r:.60}.")
        return self.decode([op + 1 for op in ops])


CHAIN = ChainSpace()
RECIPE = "recipe01"
NUM_NETWORKS = 165  # multisets of 8 out of 4: C(11, 3)
DIGITS = Task("digits", "60/20/20 by index", 10)
MNIST = Task("mnist", "official, last tenth for validation", 10)


def get_space(name: str) -> Space:
    if name != CHAIN.name:
        raise SpaceError(f"There is no space {name!r}; known: chain.")
    return CHAIN


def make_spec(name: str = "study", task: Task = DIGITS, **changes: Any) -> StudySpec:
    config = {"optimizer": "random", "seed": 1, "recipe": {"epochs": 8, "filters": [8, 16]}}
    spec = StudySpec(name, "search", task, "chain", RECIPE, config)
    return dataclasses.replace(spec, **changes)


def make_evaluation(index: int, recipe: str = RECIPE, **changes: Any) -> Evaluation:
    """Makes a different network for each index below 165, and floats that need every bit."""
    genotype = changes.pop("genotype", Chain(multiset(index)))
    space = changes.pop("space", CHAIN)
    job = Job(0, genotype, space.key(genotype), 0, after=index // 4 * 4, predicted=-index / 3)
    result = Result(
        status="complete",
        value=1 / (index + 2),
        curve=tuple((epoch + 1) / (8 * (index + 2)) for epoch in range(8)),
        costs=(("params", 1000.0 + index), ("flops", 12.0 * index), ("latency_ms", index / 11)),
        seconds=index / 7,
        versions=(("python", "3.11.7"), ("jax", "0.10.2")),
    )
    of_job = {field.name for field in dataclasses.fields(Job)}
    asked = {name: value for name, value in changes.items() if name in of_job}
    answered = {name: value for name, value in changes.items() if name not in of_job}
    return Evaluation(
        dataclasses.replace(job, **asked), dataclasses.replace(result, **answered), recipe
    )


def index_of(evaluation: Evaluation) -> int:
    """Inverts `make_evaluation`."""
    return int(evaluation.costs["params"]) - 1000


def numbered_evaluation(index: int) -> Evaluation:
    """Makes a different key for every index: networks first, then the next seed."""
    return make_evaluation(index % NUM_NETWORKS, seed=index // NUM_NETWORKS)


def make_failure(index: int) -> Evaluation:
    return make_evaluation(
        index,
        status="failed",
        value=None,
        curve=(0.25, 0.5),
        failure="The loss is not finite in epoch 3.",
    )


def make_stopped(index: int) -> Evaluation:
    return make_evaluation(index, status="stopped", value=None, curve=(0.25, 0.5))


def make_broken(index: int, runtime: str = "", **changes: Any) -> Evaluation:
    return make_evaluation(
        index,
        status="broken",
        value=None,
        curve=(),
        failure="out of memory",
        runtime=runtime,
        **changes,
    )


def multiset(index: int) -> tuple[int, ...]:
    """Returns the index-th sorted tuple of eight numbers of 0..3."""
    combinations = itertools.combinations_with_replacement(range(4), 8)
    return next(itertools.islice(combinations, index, None))
