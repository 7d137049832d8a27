"""Which cells are the same network: pruning, and one representative of each class.

Two cells are the same when a renumbering of their nodes and an exchange of the branches of
nodes turns what reaches the output of the one into that of the other. Their networks are then
equal up to a permutation of channels and of parameters. The cell inputs keep their numbers, and
an identity is not merged with its source: it is a branch of its own.
"""

import itertools
from collections.abc import Iterator, Sequence

from xfernas_jax.space.graph import CellGraph, Edge
from xfernas_jax.space.ops import NONE, ZERO_KEEPING

_Branches = tuple[tuple[int, str], ...]  # (source, op) of each edge of a node


def prune(graph: CellGraph) -> CellGraph:
    """Drops edges and nodes that cannot influence the output; the rest keeps its order.

    Dropped are edges that carry zeros for any parameters (`none`, and identity or pooling of a
    node without edges) and then nodes that do not reach the output. The last node of a "last"
    cell stays, if need be without edges. In a "concat_unused" cell a read decides what is
    joined at the end, so there `none` is an edge like any other, and no index becomes unused.
    """
    first = graph.num_inputs
    total = first + len(graph.nodes)
    ends_in_last = graph.output == "last"
    zeros: set[int] = set()
    kept: dict[int, tuple[Edge, ...]] = {}
    for index, edges in enumerate(graph.nodes, start=first):
        kept[index] = tuple(
            edge
            for edge in edges
            if not (ends_in_last and edge.op == NONE)
            and not (edge.source in zeros and edge.op in ZERO_KEEPING)
        )
        if not kept[index]:
            zeros.add(index)
    needed = {total - 1} if ends_in_last else set(graph.unused())
    for index in reversed(range(first, total)):
        if index in needed:
            needed.update(edge.source for edge in kept[index])
    numbers = {index: index for index in range(first)}
    nodes: list[tuple[Edge, ...]] = []
    for index in range(first, total):
        if index in needed:
            numbers[index] = first + len(nodes)
            nodes.append(tuple(Edge(numbers[edge.source], edge.op) for edge in kept[index]))
    return CellGraph(first, tuple(nodes), graph.output)


def canonical_graph(graph: CellGraph) -> CellGraph:
    """Returns the representative of all cells that are the same as `graph`, pruned.

    Nodes are ordered by what can be told without numbers: their level, what they compute, and
    who reads them. Nodes that this leaves tied are put into every order, and the smallest edge
    list wins, so the answer is exact, not a heuristic.
    """
    graph = prune(graph)
    first = graph.num_inputs
    nodes: list[_Branches] = [tuple((e.source, e.op) for e in edges) for edges in graph.nodes]
    best = min(_renumbered(first, nodes, order) for order in _orders(first, nodes))
    edges = tuple(tuple(Edge(source, op) for source, op in branches) for branches in best)
    return CellGraph(first, edges, graph.output)


def _renumbered(
    first: int, nodes: Sequence[_Branches], order: Sequence[int]
) -> tuple[_Branches, ...]:
    """Lists the nodes in `order` (indices) with sources renumbered and branches sorted."""
    numbers = {index: index for index in range(first)}
    for number, index in enumerate(order, start=first):
        numbers[index] = number
    return tuple(
        tuple(sorted((numbers[source], op) for source, op in nodes[index - first]))
        for index in order
    )


def _orders(first: int, nodes: Sequence[_Branches]) -> Iterator[tuple[int, ...]]:
    """Yields the orders among which the smallest edge list is looked for."""
    readers: dict[int, list[tuple[str, int]]] = {first + i: [] for i in range(len(nodes))}
    for index, branches in enumerate(nodes, start=first):
        for source, op in branches:
            if source >= first:
                readers[source].append((op, index))
    alternatives = [
        [tuple(group)]
        if _are_twins(first, nodes, readers, group)
        else itertools.permutations(group)
        for group in _tied_groups(first, nodes, readers)
    ]
    for parts in itertools.product(*alternatives):
        yield tuple(itertools.chain.from_iterable(parts))


def _are_twins(
    first: int,
    nodes: Sequence[_Branches],
    readers: dict[int, list[tuple[str, int]]],
    group: Sequence[int],
) -> bool:
    """Whether exchanging nodes of the group changes nothing: same sources, same readers."""
    return len({(tuple(sorted(nodes[i - first])), tuple(sorted(readers[i]))) for i in group}) == 1


def _tied_groups(
    first: int, nodes: Sequence[_Branches], readers: dict[int, list[tuple[str, int]]]
) -> list[list[int]]:
    """Groups the indices that level, sources and readers do not tell apart, in order.

    The order is topological: a node's level is above those of its sources.
    """
    level = dict.fromkeys(range(first), 0)
    by_level: dict[int, list[int]] = {}
    for index, branches in enumerate(nodes, start=first):
        level[index] = 1 + max((level[source] for source, _ in branches), default=0)
        by_level.setdefault(level[index], []).append(index)
    rank = {index: index for index in range(first)}  # by level, then by what is computed
    for depth in sorted(by_level):
        computed = {
            index: tuple(sorted((rank[source], op) for source, op in nodes[index - first]))
            for index in by_level[depth]
        }
        _add_ranks(rank, computed)
    role: dict[int, int] = {}  # from the last level to the first, by rank and by readers
    for depth in sorted(by_level, reverse=True):
        read = {
            index: (rank[index], tuple(sorted((op, role[reader]) for op, reader in readers[index])))
            for index in by_level[depth]
        }
        _add_ranks(role, read)
    groups: dict[tuple[int, int], list[int]] = {}
    for index in rank:
        if index >= first:
            groups.setdefault((rank[index], role[index]), []).append(index)
    return [groups[key] for key in sorted(groups)]


def _add_ranks(ranks: dict[int, int], keys: dict[int, tuple]) -> None:
    """Gives the indices of `keys` ranks above all in `ranks`; equal keys share one."""
    start = 1 + max(ranks.values(), default=-1)
    places = {key: start + place for place, key in enumerate(sorted(set(keys.values())))}
    ranks.update((index, places[key]) for index, key in keys.items())
