"""What a space hands to the compiler: cells as graphs of named operations.

A genotype is the search's view of an architecture; a plan is the compiler's. Every space turns
the one into the other (`Space.plan`), so the compiler needs to know no space. A `NetworkPlan` is
what our own spaces return; a space may bring plans of its own class, and what builds them.
"""

import dataclasses
from typing import Any, ClassVar, Literal

Plan = Any
"""What a network is built from: a frozen, hashable value; equal plans give the same network.

Its class attribute `builder` is `module:NAME` of the function that builds it, imported when a
network is needed; see `nn/builders.py`.
"""


@dataclasses.dataclass(frozen=True, order=True)
class Edge:
    """One branch of a node: operation `op` applied to the output of `source`."""

    source: int
    op: str


@dataclasses.dataclass(frozen=True)
class CellGraph:
    """A cell: node `i` sums its edges; indices `0..num_inputs-1` are the cell's inputs.

    With two inputs, 0 is the output of the cell before the previous one and 1 that of the
    previous cell. Node `nodes[i]` has index `num_inputs + i` and may read any smaller index.

    Attributes:
      num_inputs: 1 or 2.
      nodes: for each node its edges; a node without edges outputs zeros.
      output: "concat_unused" joins the channels of every index that no node reads (cell
        inputs included) in index order; "last" is the output of the last node.
    """

    num_inputs: int
    nodes: tuple[tuple[Edge, ...], ...]
    output: Literal["concat_unused", "last"]

    def unused(self) -> tuple[int, ...]:
        """Returns the indices that no node reads, in ascending order."""
        read = {edge.source for node in self.nodes for edge in node}
        return tuple(i for i in range(self.num_inputs + len(self.nodes)) if i not in read)


@dataclasses.dataclass(frozen=True)
class NetworkPlan:
    """The cells of a network.

    Attributes:
      normal: the cell that keeps resolution.
      reduction: the cell that halves it; None means a basic residual block of stride 2,
        as in NAS-Bench-201.
    """

    builder: ClassVar[str] = "xfernas_jax.nn.network:Network"

    normal: CellGraph
    reduction: CellGraph | None
