"""Draws a cell as a graph: boxes are operations, circles sum what comes in."""

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from xfernas_jax.report.figures import (
    AMBER,
    BLACK,
    GREEN,
    GREY,
    SKY,
    WIDTH_INCHES,
    new_figure,
    printable,
)
from xfernas_jax.report.layout import Part, layout_cell, part_width
from xfernas_jax.report.table import Table
from xfernas_jax.space.graph import CellGraph

_BOX_INCHES = 0.86  # width of an operation's box
_ROW_INCHES = 0.62
_HEIGHTS = {"op": 0.7, "input": 0.48, "output": 0.48, "node": 0.48, "wire": 0.7}  # of a row
_COLORS = {"op": "#ffffff", "input": SKY, "output": AMBER, "node": GREEN}
_LETTERS = 9  # of a line in a box


def cell_table(graph: CellGraph) -> Table:
    """Returns the edges of a cell, as `CellGraph` numbers its nodes."""
    rows = [
        (edge.source, node, edge.op)
        for node, edges in enumerate(graph.nodes, start=graph.num_inputs)
        for edge in edges
    ]
    if graph.output == "concat_unused":
        rows += [(index, "output", "join") for index in graph.unused()]
    return Table(("from_node", "to_node", "operation"), tuple(rows))


def draw_cell(graph: CellGraph) -> Figure:
    """Draws a cell from its inputs at the top to its output at the bottom."""
    layout = layout_cell(graph)
    width = max(WIDTH_INCHES, _BOX_INCHES * (layout.width + 0.15))
    figure = new_figure(_ROW_INCHES * layout.num_rows, width)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    half = width / _BOX_INCHES / 2.0
    axes.set_xlim(-half, half)
    axes.set_ylim(layout.num_rows - 0.5, -0.5)
    for upper, lower in layout.wires:
        _draw_wire(axes, layout.parts[upper], layout.parts[lower])
    for part in layout.parts:
        _draw_part(axes, part)
    return figure


def _draw_wire(axes: Axes, upper: Part, lower: Part) -> None:
    """Draws a wire that leaves and enters vertically, so it stays out of the rows between."""
    top = upper.row + _HEIGHTS[upper.kind] / 2
    bottom = lower.row - _HEIGHTS[lower.kind] / 2
    bend = 0.6 * (bottom - top)
    points = [(upper.x, top), (upper.x, top + bend), (lower.x, bottom - bend), (lower.x, bottom)]
    codes = [Path.MOVETO, *[Path.CURVE4] * 3]
    if lower.kind == "wire":
        points.append((lower.x, lower.row + _HEIGHTS["wire"] / 2))
        codes.append(Path.LINETO)
    path = Path(points, codes)
    axes.add_patch(PathPatch(path, facecolor="none", edgecolor=GREY, linewidth=1.2, zorder=1))


def _draw_part(axes: Axes, part: Part) -> None:
    if part.kind == "wire":
        return
    width, height = part_width(part.kind), _HEIGHTS[part.kind]
    if part.kind == "node":
        width = 0.55
    box = FancyBboxPatch(
        (part.x - width / 2, part.row - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.12",
        facecolor=_COLORS[part.kind],
        edgecolor=BLACK,
        linewidth=0.9,
        zorder=2,
    )
    axes.add_patch(box)
    text = part.text
    if part.kind == "op":
        words = printable(text.replace("_", " "))
        text = textwrap.fill(words, _LETTERS, max_lines=2, placeholder="…")
    axes.text(part.x, part.row, text, ha="center", va="center", zorder=3, linespacing=1.0)
