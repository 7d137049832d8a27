"""The topology space of NAS-Bench-201: one cell of 4 nodes and 6 edges."""

import dataclasses
import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from xfernas_jax.errors import GenotypeError
from xfernas_jax.space.base import Space
from xfernas_jax.space.canonical import canonical_graph, prune
from xfernas_jax.space.checks import check_fields, check_list, checked_tokens
from xfernas_jax.space.graph import CellGraph, Edge, NetworkPlan
from xfernas_jax.space.ops import NASBENCH201, NONE
from xfernas_jax.space.wiring import FOUR_NODES, WIRINGS

EDGES = FOUR_NODES

_OFFICIAL = {op: "skip_connect" if op == "identity" else op for op in NASBENCH201}
_OURS = {official: op for op, official in _OFFICIAL.items()}
_TOKENS = {op: token for token, op in enumerate(NASBENCH201, start=1)}


@dataclasses.dataclass(frozen=True)
class TopologyCell:
    """A genotype: the operation of each edge, in the order of `EDGES`.

    Node 0 is the cell's input, node 3 its output; each node sums its edges.
    Source: Dong & Yang (2020), NAS-Bench-201.
    """

    ops: tuple[str, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.ops, tuple) or len(self.ops) != len(EDGES):
            raise GenotypeError(f"A topology cell has a tuple of 6 ops. Got {self.ops!r:.120}.")
        for (source, node), op in zip(EDGES, self.ops, strict=True):
            if not isinstance(op, str) or op not in _TOKENS:
                raise GenotypeError(
                    f"Edge {source}->{node} has operation {op!r:.40}; a topology cell has "
                    f"{', '.join(NASBENCH201)}."
                )


class NasBench201Space(Space):
    """The 15,625 topology cells of NAS-Bench-201 (NATS-Bench calls them its topology space).

    Token `1 + i` is operation `i` of the benchmark's index order; position `p` is edge `EDGES[p]`.
    Stages are joined by residual blocks, so there is no reduction cell.

    `canonical` gives the cell with the smallest tokens among the cells that are the same network
    by the rules of `space/canonical.py`; `none` has the smallest token, so dead edges become it.
    There are 9,550 classes. Deviates: NAS-Bench-201 counts 6,466 unique cells; it also merges an
    identity with its source and takes a convolution of zeros for zeros, though its batch norm
    adds a bias.
    """

    name = "nasbench201"
    vocabulary = ("<start>", *NASBENCH201)
    choices = (tuple(range(1, 1 + len(NASBENCH201))),) * len(EDGES)

    def encode(self, genotype: TopologyCell) -> tuple[int, ...]:
        return tuple(_TOKENS[op] for op in self._checked(genotype).ops)

    def decode(self, tokens: Sequence[int]) -> TopologyCell:
        ops = [self.vocabulary[token] for token in checked_tokens(self, tokens)]
        return TopologyCell(tuple(ops))

    def plan(self, genotype: TopologyCell) -> NetworkPlan:
        return NetworkPlan(prune(_graph(self._checked(genotype))), None)

    def canonical(self, genotype: TopologyCell) -> TopologyCell:
        graph = canonical_graph(_graph(self._checked(genotype)))
        return min(_embeddings(graph), key=self.encode)

    def features(self, tokens: np.ndarray) -> tuple[tuple[np.ndarray, ...], ...]:
        return WIRINGS[self.name].blocks(tokens - 1)

    def to_json(self, genotype: TopologyCell) -> dict[str, Any]:
        """Returns `{"space", "ops"}` with the six names in the order of `EDGES`."""
        return {"space": self.name, "ops": list(self._checked(genotype).ops)}

    def from_json(self, value: Any) -> TopologyCell:
        self.check_json_space(value, "genotype")
        check_fields(value, ("space", "ops"), "A topology genotype")
        check_list(value["ops"], str, len(EDGES), "ops of a topology genotype")
        return TopologyCell(tuple(value["ops"]))

    def _checked(self, genotype: TopologyCell) -> TopologyCell:
        if not isinstance(genotype, TopologyCell):
            raise GenotypeError(
                f"A genotype of space {self.name!r} is a TopologyCell. Got {genotype!r:.80}."
            )
        return genotype


def parse_official(text: str) -> TopologyCell:
    """Reads the benchmark's own notation, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`.

    Raises:
      GenotypeError: the text has another form or an unknown operation.
    """
    branch = r"([a-z0-9_]+)~{}\|"
    nodes = [r"\|" + "".join(branch.format(s) for s in range(node)) for node in (1, 2, 3)]
    match = re.fullmatch(r"\+".join(nodes), text.strip())
    if match is None:
        raise GenotypeError(
            "A cell in NAS-Bench-201's notation is '|op~0|+|op~0|op~1|+|op~0|op~1|op~2|'. "
            f"Got {text!r:.200}."
        )
    for name in match.groups():
        if name not in _OURS:
            raise GenotypeError(
                f"Operation {name!r} is not of NAS-Bench-201, which has {', '.join(_OURS)}. "
                f"Got {text!r:.200}."
            )
    return TopologyCell(tuple(_OURS[name] for name in match.groups()))


def format_official(cell: TopologyCell) -> str:
    """Writes a cell in the benchmark's own notation; `parse_official` reads it."""
    nodes = {node: "|" for _, node in EDGES}
    for (source, node), op in zip(EDGES, cell.ops, strict=True):
        nodes[node] += f"{_OFFICIAL[op]}~{source}|"
    return "+".join(nodes.values())


def _graph(cell: TopologyCell) -> CellGraph:
    nodes: dict[int, list[Edge]] = {1: [], 2: [], 3: []}
    for (source, node), op in zip(EDGES, cell.ops, strict=True):
        if op != NONE:
            nodes[node].append(Edge(source, op))
    return CellGraph(1, tuple(tuple(edges) for edges in nodes.values()), "last")


def _embeddings(graph: CellGraph) -> list[TopologyCell]:
    """Returns the cells without dead edges that have this graph (1 or 2 of them)."""
    last = len(graph.nodes)
    cells = []
    for places in itertools.permutations((1, 2), last - 1):
        place = dict(enumerate((0, *places, 3)))  # node of the graph -> node of the cell
        ops = dict.fromkeys(EDGES, NONE)
        edges = [
            ((place[edge.source], place[node]), edge.op)
            for node, branches in enumerate(graph.nodes, start=1)
            for edge in branches
        ]
        if all(edge in ops for edge, _ in edges):
            cells.append(TopologyCell(tuple((ops | dict(edges)).values())))
    return cells
