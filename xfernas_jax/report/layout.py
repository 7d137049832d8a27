"""Where the parts of a cell are drawn: rows from inputs to output, wires around the boxes.

A node stands one row below the lowest node that it reads (longest path), the operations of its
edges in a row of boxes above it. A wire that passes a row has a place of its own in that row, so no
wire crosses a box. Source: the method of Sugiyama, Tagawa & Toda (1981), our own short form.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from scipy.optimize import isotonic_regression

from xfernas_jax.space.graph import CellGraph
from xfernas_jax.space.ops import NONE

BOX_WIDTH, WIRE_WIDTH, GAP = 1.0, 0.14, 0.08  # in widths of a box
_MAX_BOXES = 4  # of a row
_SWEEPS = 8
_INPUTS = {1: ("input",), 2: ("one before it", "previous cell")}

Kind = Literal["input", "op", "node", "output", "wire"]


@dataclasses.dataclass(frozen=True)
class Part:
    """Something that has a place.

    Attributes:
      kind: "wire" is the passage of a wire through a row.
      text: what is written in it.
      row: from 0, the inputs.
      x: its middle, in widths of a box.
    """

    kind: Kind
    text: str
    row: int
    x: float = 0.0


@dataclasses.dataclass(frozen=True)
class Layout:
    """A cell to be drawn.

    Attributes:
      parts: with their places.
      wires: (upper, lower) indices of parts in neighbouring rows.
    """

    parts: tuple[Part, ...]
    wires: tuple[tuple[int, int], ...]

    @property
    def num_rows(self) -> int:
        """Returns the number of rows."""
        return 1 + max(part.row for part in self.parts)

    @property
    def width(self) -> float:
        """Returns the distance of the outermost edges, in widths of a box."""
        return 2.0 * max(abs(part.x) + part_width(part.kind) / 2 for part in self.parts)


def part_width(kind: Kind) -> float:
    """Returns how wide a part is, in widths of a box."""
    return {"wire": WIRE_WIDTH, "input": 1.5, "output": 1.5}.get(kind, BOX_WIDTH)


def layout_cell(graph: CellGraph) -> Layout:
    """Places the parts of a cell; edges with the operation `none` are left out."""
    builder = _Builder()
    for i in range(graph.num_inputs):
        names = _INPUTS.get(graph.num_inputs, ())
        builder.add_source(Part("input", names[i] if i < len(names) else f"input {i}", 0))
    boxes_in_row: dict[int, int] = {}
    for index, edges in enumerate(graph.nodes, start=graph.num_inputs):
        drawn = [edge for edge in edges if edge.op != NONE]
        above = (builder.parts[builder.sources[edge.source]] for edge in drawn)
        row = 2 + max([part.row for part in above], default=0)
        while boxes_in_row.get(row, 0) and boxes_in_row[row] + len(drawn) > _MAX_BOXES:
            row += 2
        boxes_in_row[row] = boxes_in_row.get(row, 0) + max(len(drawn), 1)
        is_output = graph.output == "last" and index == graph.num_inputs + len(graph.nodes) - 1
        text = "output: sum" if is_output else "sum"
        builder.add_source(Part("output" if is_output else "node", text, row))
        for edge in drawn:
            box = builder.add(Part("op", edge.op, row - 1))
            builder.connect(edge.source, box)
            builder.wires.append((box, builder.sources[index]))
    if graph.output == "concat_unused":
        last = 1 + max(part.row for part in builder.parts)
        output = builder.add(Part("output", "output: join", last))
        for index in graph.unused():
            builder.connect(index, output)
    return Layout(tuple(_placed(builder.parts, builder.wires)), tuple(builder.wires))


class _Builder:
    """Parts and wires, growing."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.wires: list[tuple[int, int]] = []
        self.sources: list[int] = []  # parts of the graph's indices
        self._passages: dict[tuple[int, int], int] = {}

    def add(self, part: Part) -> int:
        self.parts.append(part)
        return len(self.parts) - 1

    def add_source(self, part: Part) -> None:
        self.sources.append(self.add(part))

    def connect(self, source: int, target: int) -> None:
        """Draws a wire down to `target`; wires of one source share their passages."""
        above = self.sources[source]
        for row in range(self.parts[above].row + 1, self.parts[target].row):
            if (source, row) not in self._passages:
                self._passages[source, row] = self.add(Part("wire", "", row))
                self.wires.append((above, self._passages[source, row]))
            above = self._passages[source, row]
        self.wires.append((above, target))


def _placed(parts: Sequence[Part], wires: Sequence[tuple[int, int]]) -> list[Part]:
    """Orders each row by the places of its neighbours, sweeping down and up, then spreads it."""
    rows: dict[int, list[int]] = {}
    for i, part in enumerate(parts):
        rows.setdefault(part.row, []).append(i)
    neighbours: dict[int, list[int]] = {i: [] for i in range(len(parts))}
    for upper, lower in wires:
        neighbours[upper].append(lower)
        neighbours[lower].append(upper)
    x = dict.fromkeys(range(len(parts)), 0.0)
    for row in rows.values():
        x.update(_spread(parts, row, {i: float(place) for place, i in enumerate(row)}))
    for sweep in range(_SWEEPS):
        for number in sorted(rows, reverse=sweep % 2 == 1):
            above = number - 1 if sweep % 2 == 0 else number + 1
            wanted = {}
            for i in rows[number]:
                near = [x[j] for j in neighbours[i] if parts[j].row == above] or [x[i]]
                wanted[i] = sum(near) / len(near)
            rows[number].sort(key=lambda i: (wanted[i], x[i]))
            x.update(_spread(parts, rows[number], wanted))
    for _ in range(_SWEEPS):  # the order stands; straighten
        for number in sorted(rows):
            wanted = {
                i: float(np.mean([x[j] for j in neighbours[i]] or [x[i]])) for i in rows[number]
            }
            x.update(_spread(parts, rows[number], wanted))
    middle = (max(x.values()) + min(x.values())) / 2
    return [dataclasses.replace(part, x=x[i] - middle) for i, part in enumerate(parts)]


def _spread(
    parts: Sequence[Part], row: Sequence[int], wanted: Mapping[int, float]
) -> dict[int, float]:
    """Puts a row's parts as near to the wanted places as their widths allow, in this order."""
    widths = [part_width(parts[i].kind) for i in row]
    steps = [(a + b) / 2 + GAP for a, b in itertools.pairwise(widths)]
    offsets = np.concatenate([[0.0], np.cumsum(steps)])
    found = isotonic_regression(np.array([wanted[i] for i in row]) - offsets).x + offsets
    return dict(zip(row, found.tolist(), strict=True))
