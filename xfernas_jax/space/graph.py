"""What a space hands to the compiler: cells as graphs of named operations.

A genotype is the search's view of an architecture; a `NetworkPlan` is the compiler's. Every
space turns the one into the other (`Space.plan`), so the compiler needs to know no space.
"""

import dataclasses
from typing import Literal


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

    normal: CellGraph
    reduction: CellGraph | None
