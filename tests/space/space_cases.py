"""Spaces, token sequences and elementary equivalences that the tests of spaces share."""

from collections.abc import Iterator

from hypothesis import strategies as st

from xfernas_jax.space import SPACES, Block, Cell, Space, TwoCellSpace

SMALL = TwoCellSpace("small", ("conv_3x3", "identity", "none"), num_blocks=2)
CASES = {**SPACES, "small": SMALL}


def tokens_of(space: Space) -> st.SearchStrategy[tuple[int, ...]]:
    return st.tuples(*(st.sampled_from(options) for options in space.choices))


def swap_branches(cell: Cell, b: int) -> Cell:
    blocks = list(cell.blocks)
    left, right = blocks[b].inputs
    first, second = blocks[b].ops
    blocks[b] = Block((right, left), (second, first))
    return Cell(tuple(blocks))


def exchange_neighbours(cell: Cell, b: int) -> Cell | None:
    """Exchanges blocks `b` and `b + 1`; None where the later one reads the earlier one.

    Every order of the blocks in which sources come first is reached by such exchanges.
    """
    if b + 2 in cell.blocks[b + 1].inputs:
        return None
    renumber = {b + 2: b + 3, b + 3: b + 2}
    blocks = list(cell.blocks)
    blocks[b], blocks[b + 1] = blocks[b + 1], blocks[b]
    return Cell(
        tuple(
            Block((renumber.get(x, x), renumber.get(y, y)), block.ops)
            for block in blocks
            for x, y in [block.inputs]
        )
    )


def neighbours(cell: Cell) -> Iterator[Cell]:
    """Yields the cells that one elementary move turns `cell` into."""
    for b in range(len(cell.blocks)):
        yield swap_branches(cell, b)
    for b in range(len(cell.blocks) - 1):
        exchanged = exchange_neighbours(cell, b)
        if exchanged is not None:
            yield exchanged


class Classes:
    """A union-find over hashable members."""

    def __init__(self) -> None:
        self._parent: dict = {}

    def find(self, member):
        parent = self._parent.setdefault(member, member)
        while parent != member:
            grandparent = self._parent.setdefault(parent, parent)
            self._parent[member] = grandparent
            member, parent = parent, grandparent
        return member

    def join(self, left, right) -> None:
        self._parent[self.find(left)] = self.find(right)
