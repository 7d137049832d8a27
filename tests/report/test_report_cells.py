import itertools

import numpy as np
import pytest
from report_cases import SPACE, TWO_CELL

from xfernas_jax.report.cells import cell_table, draw_cell
from xfernas_jax.report.figures import styled
from xfernas_jax.report.layout import Layout, layout_cell, part_width
from xfernas_jax.space import get_space
from xfernas_jax.space.graph import CellGraph, Edge
from xfernas_jax.space.nasbench201 import TopologyCell

NASNET = get_space("nasnet")


def graphs(count: int) -> list[CellGraph]:
    """Random cells of three spaces: of one input and of two."""
    found = []
    for space, seed in itertools.product((SPACE, TWO_CELL, NASNET), range(count)):
        plan = space.plan(space.sample(np.random.default_rng(seed)))
        found += [graph for graph in (plan.normal, plan.reduction) if graph is not None]
    return found


def drawn_edges(layout: Layout, graph: CellGraph) -> set[tuple[int, str, int]]:
    """Follows the wires up from each box, and says what is computed from what, by parts."""
    above: dict[int, list[int]] = {}
    for upper, lower in layout.wires:
        above.setdefault(lower, []).append(upper)

    def source_of(part: int) -> int:
        while layout.parts[part].kind == "wire":
            (part,) = above[part]
        return part

    found = []
    for lower, part in enumerate(layout.parts):
        if part.kind in ("node", "output"):
            for upper in above.get(lower, []):
                box = layout.parts[upper]
                if box.kind == "op":
                    (source,) = above[upper]
                    found.append((source_of(source), box.text, lower))
                else:
                    found.append((source_of(upper), "join", lower))
    return set(found)


def test_every_edge_is_drawn_once_and_no_other() -> None:
    for graph in graphs(15):
        layout = layout_cell(graph)
        sources = [
            i
            for i, part in enumerate(layout.parts)
            if part.kind in ("input", "node") or part.text == "output: sum"
        ]
        wanted = {
            (sources[edge.source], edge.op, sources[node])
            for node, edges in enumerate(graph.nodes, start=graph.num_inputs)
            for edge in edges
        }
        if graph.output == "concat_unused":
            output = next(i for i, p in enumerate(layout.parts) if p.kind == "output")
            wanted |= {(sources[index], "join", output) for index in graph.unused()}
        assert drawn_edges(layout, graph) == wanted
        num_boxes = sum(part.kind == "op" for part in layout.parts)
        assert num_boxes == sum(map(len, graph.nodes))


def test_wires_join_neighbouring_rows_and_parts_keep_apart() -> None:
    for graph in graphs(15):
        layout = layout_cell(graph)
        for upper, lower in layout.wires:
            assert layout.parts[lower].row == layout.parts[upper].row + 1
        for row in range(layout.num_rows):
            parts = sorted((p for p in layout.parts if p.row == row), key=lambda p: p.x)
            for left, right in itertools.pairwise(parts):
                gap = right.x - left.x - (part_width(left.kind) + part_width(right.kind)) / 2
                assert gap > 0.05, (row, left, right)


def test_a_node_stands_below_all_that_it_reads() -> None:
    chain = CellGraph(1, ((Edge(0, "a"),), (Edge(1, "b"),), (Edge(2, "c"), Edge(0, "d"))), "last")
    layout = layout_cell(chain)
    rows = {part.text: part.row for part in layout.parts}
    assert [rows[op] for op in "abcd"] == [1, 3, 5, 5]
    assert layout.num_rows == 7


@pytest.mark.slow
def test_texts_stay_in_their_boxes() -> None:
    from matplotlib.patches import FancyBboxPatch

    long = CellGraph(2, ((Edge(0, "an_operation_of_a_users_own"), Edge(1, "x" * 60)),), "last")
    for graph in [*graphs(2), long]:
        with styled():
            figure = draw_cell(graph)
            figure.draw_without_rendering()
            axes = figure.axes[0]
            boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
            texts = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) == len(texts)
        frame = figure.bbox
        for box, text in zip(boxes, texts, strict=True):
            assert box.x0 <= text.x0
            assert text.x1 <= box.x1
            assert box.y0 <= text.y0
            assert text.y1 <= box.y1
            assert frame.x0 <= box.x0
            assert box.x1 <= frame.x1
        for first, second in itertools.combinations(texts, 2):
            assert not first.overlaps(second)


def test_operations_that_carry_nothing_are_left_out() -> None:
    graph = CellGraph(2, ((Edge(0, "none"), Edge(1, "conv")), (Edge(2, "none"),)), "concat_unused")
    layout = layout_cell(graph)
    assert [part.text for part in layout.parts if part.kind == "op"] == ["conv"]
    ops = ("none", "none", "nor_conv_1x1", "identity", "none", "none")
    plan = SPACE.plan(TopologyCell(ops))  # 0->3 alone reaches the output
    assert [part.text for part in layout_cell(plan.normal).parts if part.kind == "op"] == [
        "identity"
    ]


def test_a_cell_of_zeros_is_drawn() -> None:
    plan = SPACE.plan(TopologyCell(("none",) * 6))
    assert [part.kind for part in layout_cell(plan.normal).parts] == ["input", "output"]
    with styled():
        assert draw_cell(plan.normal).axes


def test_the_data_behind_a_cell_are_its_edges() -> None:
    graph = TWO_CELL.plan(TWO_CELL.sample(np.random.default_rng(1))).reduction
    assert graph is not None
    rows = cell_table(graph).rows
    inner = [row for row in rows if row[2] != "join"]
    assert inner == [
        (edge.source, node, edge.op) for node, edges in enumerate(graph.nodes, 2) for edge in edges
    ]
    assert [row[0] for row in rows if row[2] == "join"] == list(graph.unused())


@pytest.mark.parametrize("num_inputs", [1, 2, 3])
def test_any_number_of_inputs_is_drawn(num_inputs: int) -> None:
    edges = tuple(Edge(i, "conv") for i in range(num_inputs))
    parts = layout_cell(CellGraph(num_inputs, (edges,), "last")).parts
    assert sum(part.kind == "input" for part in parts) == num_inputs
