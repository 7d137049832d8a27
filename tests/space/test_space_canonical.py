"""Pruning is exact, and canonical forms coincide exactly for equal networks."""

import itertools
import math
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from space_cases import Classes, exchange_neighbours, neighbours, swap_branches, tokens_of

from xfernas_jax.space import (
    NAONET,
    SPACES,
    Block,
    Cell,
    CellGraph,
    Edge,
    TwoCell,
    TwoCellSpace,
    canonical_graph,
    prune,
)
from xfernas_jax.space.ops import NASBENCH201

FREE = {"none": 0.0, "identity": 1.0, "avg_pool_3x3": 0.7, "max_pool_3x3": 0.6}


def apply(op: str, x: float) -> float:
    """Stands in for an operation on images: those with parameters have a bias of their own.

    Factors and biases are arbitrary reals fixed by the name, so sums of different branches
    agree by chance with probability about 1e-9.
    """
    if op in FREE:
        return FREE[op] * x
    rng = np.random.default_rng(zlib.crc32(op.encode()))
    return float(rng.uniform(0.5, 1.5) * x + rng.uniform(0.1, 1.0))


def output(graph: CellGraph) -> tuple[float, ...]:
    """Computes what the cell hands on, one number for each joined index."""
    values = [1.234567, 2.345678][: graph.num_inputs]
    for edges in graph.nodes:
        values.append(math.fsum(apply(edge.op, values[edge.source]) for edge in edges))
    if graph.output == "last":
        return (values[-1],)
    return tuple(values[i] for i in graph.unused())


Plain = tuple[int, tuple[tuple[tuple[int, str], ...], ...], str]


def build(plain: Plain) -> CellGraph:
    """Builds a graph in the test, not in a strategy: the type checks there draw from `random`."""
    first, nodes, ends = plain
    edges = tuple(tuple(Edge(source, op) for source, op in node) for node in nodes)
    return CellGraph(first, edges, ends)  # pyright: ignore[reportArgumentType]


@st.composite
def graphs(draw: st.DrawFn, ends: Sequence[str] = ("last", "concat_unused")) -> Plain:
    """Draws graphs in which every operation with parameters has a name of its own."""
    first = draw(st.integers(1, 2))
    nodes = []
    for index in range(first, first + draw(st.integers(1, 5))):
        edges = []
        for e in range(draw(st.integers(0, 3))):
            kind = draw(st.sampled_from((*FREE, "conv", "conv")))
            op = f"conv_{index}_{e}" if kind == "conv" else kind
            edges.append((draw(st.integers(0, index - 1)), op))
        nodes.append(tuple(edges))
    return first, tuple(nodes), draw(st.sampled_from(ends))


@pytest.mark.slow
@settings(max_examples=500)
@given(plain=graphs())
def test_pruning_keeps_the_output_exactly(plain: Plain) -> None:
    graph = build(plain)
    assert output(prune(graph)) == output(graph)


@settings(max_examples=500)
@given(plain=graphs(ends=("last",)))
def test_pruning_leaves_only_edges_that_matter(plain: Plain) -> None:
    pruned = prune(build(plain))
    whole = output(pruned)
    for n, edges in enumerate(pruned.nodes):
        for e in range(len(edges)):
            nodes = list(pruned.nodes)
            nodes[n] = edges[:e] + edges[e + 1 :]
            assert output(CellGraph(pruned.num_inputs, tuple(nodes), "last")) != whole


def test_a_convolution_of_zeros_stays_for_its_bias() -> None:
    graph = CellGraph(1, ((), (Edge(0, "conv_1x1"), Edge(1, "nor_conv_1x1"))), "last")
    assert prune(graph) == graph
    pooled = CellGraph(1, ((), (Edge(0, "conv_1x1"), Edge(1, "avg_pool_3x3"))), "last")
    assert prune(pooled) == CellGraph(1, ((Edge(0, "conv_1x1"),),), "last")


def test_an_unread_node_of_zeros_stays_joined() -> None:
    graph = CellGraph(2, ((Edge(0, "conv_1x1"), Edge(1, "identity")), ()), "concat_unused")
    assert prune(graph) == graph


@st.composite
def renumbered(draw: st.DrawFn, ties: bool) -> tuple[Plain, Plain]:
    """Draws a graph and the same one with nodes in another valid order and edges shuffled."""
    first, nodes, ends = draw(graphs())
    total = first + len(nodes)
    if ties:  # few names, so that nodes compute the same
        nodes = tuple(tuple((s, op[:4]) if "conv" in op else (s, op) for s, op in n) for n in nodes)
    order: list[int] = []
    waiting = list(range(first, total))
    while waiting:
        ready = [
            index
            for index in waiting
            if all(s < first or s in order for s, _ in nodes[index - first])
            and (ends != "last" or index != total - 1 or len(waiting) == 1)
        ]
        order.append(draw(st.sampled_from(ready)))
        waiting.remove(order[-1])
    numbers = {i: i for i in range(first)} | {index: first + i for i, index in enumerate(order)}
    moved = tuple(
        tuple((numbers[s], op) for s, op in draw(st.permutations(nodes[index - first])))
        for index in order
    )
    return (first, nodes, ends), (first, moved, ends)


@settings(max_examples=300)
@given(pair=st.booleans().flatmap(renumbered))
def test_canonical_graph_ignores_numbers_and_branch_order(pair: tuple[Plain, Plain]) -> None:
    graph, other = map(build, pair)
    assert canonical_graph(other) == canonical_graph(graph)


@settings(max_examples=300)
@given(plain=graphs())
def test_canonical_graph_computes_the_same(plain: Plain) -> None:
    whole = sorted(output(build(plain)))
    canonical = sorted(output(canonical_graph(build(plain))))
    assert canonical == pytest.approx(whole, rel=1e-12)


def test_many_equal_nodes_are_ordered_in_no_time() -> None:
    # 12! = 479 million orders, were the nodes not known to be exchangeable
    equal = (Edge(0, "conv_3x3"), Edge(1, "identity"))
    graph = CellGraph(2, (equal,) * 12, "concat_unused")
    assert canonical_graph(graph) == graph


@pytest.mark.parametrize("readers", [(2, 3), (3, 2)])
def test_tied_nodes_with_readers_of_their_own_are_put_in_order(readers: tuple[int, int]) -> None:
    # nodes 2 and 3 compute the same and are read alike, as are 4 and 5; which of these reads
    # which must not matter, but that they read different ones must
    equal = (Edge(0, "conv_3x3"), Edge(1, "conv_3x3"))
    nodes = [equal, equal, *((Edge(r, "conv_1x1"), Edge(0, "identity")) for r in readers)]
    own = canonical_graph(CellGraph(2, tuple(nodes), "concat_unused"))
    assert [node[1].source for node in own.nodes[2:]] == [2, 3]
    nodes[3] = nodes[2]
    assert canonical_graph(CellGraph(2, tuple(nodes), "concat_unused")) != own


@pytest.mark.slow
@given(data=st.data())
def test_key_survives_any_walk_of_swaps_and_renumberings(data: st.DataObject) -> None:
    space = SPACES["nao11"]
    genotype = space.decode(data.draw(tokens_of(space)))
    cells = [genotype.normal, genotype.reduction]
    for _ in range(data.draw(st.integers(1, 12))):
        which = data.draw(st.integers(0, 1))
        cells[which] = data.draw(st.sampled_from(list(neighbours(cells[which]))))
    moved = TwoCell(*cells)
    assert space.key(moved) == space.key(genotype)
    assert space.canonical(moved) == space.canonical(genotype)


@given(data=st.data())
def test_plan_of_the_canonical_genotype_is_the_canonical_graph(data: st.DataObject) -> None:
    space = SPACES["nao5"]
    genotype = space.decode(data.draw(tokens_of(space)))
    plan, canonical = space.plan(genotype), space.plan(space.canonical(genotype))
    assert plan.reduction is not None
    assert canonical.normal == canonical_graph(plan.normal)
    assert canonical.reduction == canonical_graph(plan.reduction)


@pytest.mark.parametrize(
    ("num_blocks", "num_ops"),
    [
        pytest.param(2, 3, marks=pytest.mark.slow),
        (3, 1),
        pytest.param(4, 1, marks=pytest.mark.slow),
    ],
)
def test_classes_are_exactly_the_orbits(num_blocks: int, num_ops: int) -> None:
    # 2 blocks, 3 ops: (2 * 3)^2 * (3 * 3)^2 = 2,916 cells; 4 blocks, 1 op: (2 * 3 * 4 * 5)^2.
    space = TwoCellSpace("tiny", NASBENCH201[1 : 1 + num_ops], num_blocks)
    half = len(space.choices) // 2
    fixed = space.sample(np.random.default_rng(0)).reduction
    orbits, forms = Classes(), {}
    for tokens in itertools.product(*space.choices[:half]):
        cell = space.decode((*tokens, *space.encode(TwoCell(fixed, fixed))[half:])).normal
        forms[cell] = canonical_graph(space.plan(TwoCell(cell, fixed)).normal)
        for moved in neighbours(cell):
            orbits.join(cell, moved)
    pairs = {(orbits.find(cell), form) for cell, form in forms.items()}
    assert len(pairs) == len({orbit for orbit, _ in pairs}) == len({form for _, form in pairs})
    assert len(pairs) < len(forms)


def test_moves_used_by_these_tests_do_change_cells() -> None:
    assert swap_branches(NAONET.normal, 0) != NAONET.normal
    assert exchange_neighbours(NAONET.normal, 0) is None  # block 1 reads block 0
    assert exchange_neighbours(NAONET.normal, 1) not in (None, NAONET.normal)


def test_exchanging_the_cell_inputs_gives_another_network() -> None:
    space = SPACES["nao5"]
    block = Block((0, 0), ("sep_conv_3x3", "identity"))
    mirror = Block((1, 1), ("sep_conv_3x3", "identity"))
    cells = [Cell((b, *[Block((0, 1), ("identity", "identity"))] * 4)) for b in (block, mirror)]
    assert len({space.key(TwoCell(cell, cells[0])) for cell in cells}) == 2


def test_reading_one_of_two_equal_nodes_twice_differs_from_reading_both() -> None:
    space = TwoCellSpace("tiny", ("conv_3x3",), 3)
    equal = Block((0, 1), ("conv_3x3", "conv_3x3"))
    once, both, other = (
        Cell((equal, equal, Block(inputs, ("conv_3x3", "conv_3x3"))))
        for inputs in ((2, 2), (2, 3), (3, 3))
    )
    keys = [space.key(TwoCell(cell, once)) for cell in (once, both, other)]
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.slow
def test_nasbench201_classes_are_those_of_an_independent_count() -> None:
    """Joins cells by what a random stand-in network computes, without any graph code.

    Setting an edge to `none` joins two cells where it changes no output; exchanging nodes 1 and
    2 joins two cells where no edge runs between them.
    """
    space = SPACES["nasbench201"]
    cells = np.array(list(itertools.product(range(5), repeat=6)))  # [15625, 6]
    rng = np.random.default_rng(0)
    factor, bias = rng.uniform(0.5, 1.5, (2, 6)), rng.uniform(0.1, 1.0, (2, 6))

    def edge(p: int, ops: np.ndarray, x: np.ndarray) -> np.ndarray:
        branches = [0 * x, x, *(factor[i, p] * x + bias[i, p] for i in range(2)), 0.7 * x]
        return np.choose(ops[:, p], branches)

    def value(ops: np.ndarray) -> np.ndarray:
        node0 = np.full(len(ops), 1.2345)
        node1 = edge(0, ops, node0)
        node2 = edge(1, ops, node0) + edge(2, ops, node1)
        return edge(3, ops, node0) + edge(4, ops, node1) + edge(5, ops, node2)

    classes, whole = Classes(), value(cells)
    for p in range(6):
        without = cells.copy()
        without[:, p] = 0
        for i in np.flatnonzero(value(without) == whole):
            classes.join(tuple(cells[i].tolist()), tuple(without[i].tolist()))
    for a, b, c, d, e, f in cells[cells[:, 2] == 0].tolist():
        classes.join((a, b, c, d, e, f), (b, a, c, d, f, e))

    canonical: dict[tuple[int, ...], tuple[int, ...]] = {}
    smallest: dict[tuple[int, ...], tuple[int, ...]] = {}
    for cell in map(tuple, cells.tolist()):  # in ascending order
        tokens = space.encode(space.canonical(space.decode([op + 1 for op in cell])))
        canonical[cell] = tuple(token - 1 for token in tokens)
        smallest.setdefault(classes.find(cell), cell)
    assert all(canonical[cell] == smallest[classes.find(cell)] for cell in canonical)
    assert len(smallest) == len(set(canonical.values())) == 9550
    assert len(
        {space.key(space.decode([op + 1 for op in cell])) for cell in smallest.values()}
    ) == (len(smallest))
