"""The two-cell spaces of NAO and NASNet: a normal and a reduction cell of blocks."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.space.base import Space
from xfernas_jax.space.canonical import canonical_graph
from xfernas_jax.space.checks import check_fields, check_list, checked_tokens
from xfernas_jax.space.graph import CellGraph, Edge, NetworkPlan

_CELLS = ("normal", "reduction")


@dataclasses.dataclass(frozen=True)
class Block:
    """Adds two branches; branch `i` applies `ops[i]` to the output number `inputs[i]`."""

    inputs: tuple[int, int]
    ops: tuple[str, str]

    def __post_init__(self) -> None:
        for field, kind in (("inputs", int), ("ops", str)):
            value = getattr(self, field)
            if not isinstance(value, tuple) or [type(entry) for entry in value] != [kind, kind]:
                raise GenotypeError(
                    f"{field} of a block is a tuple of 2 {kind.__name__}. Got {value!r:.80}."
                )


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of blocks; block `b` reads two of the `b + 2` outputs before it.

    Input 0 is the output of the cell before the previous one, 1 that of the previous cell, and
    `b + 2` that of block `b`. What no block reads is joined to the cell's output.
    Source: NAO's public code, github renqianluo/NAO, `NAO/cnn/model.py`.
    """

    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.blocks, tuple) or not self.blocks:
            raise GenotypeError(f"A cell is a tuple of blocks. Got {self.blocks!r:.80}.")
        for b, block in enumerate(self.blocks):
            if not isinstance(block, Block):
                raise GenotypeError(f"Block {b} is a Block. Got {block!r:.80}.")
            for source in block.inputs:
                if not 0 <= source < b + 2:
                    raise GenotypeError(
                        f"Block {b} reads input {source}, but its inputs are 0..{b + 1}. "
                        f"Got {block!r}; `sample` of the space gives valid cells."
                    )


@dataclasses.dataclass(frozen=True)
class TwoCell:
    """A genotype: the cell that keeps resolution and the one that halves it."""

    normal: Cell
    reduction: Cell

    def __post_init__(self) -> None:
        for name in _CELLS:
            cell = getattr(self, name)
            if not isinstance(cell, Cell):
                raise GenotypeError(f"{name} of a two-cell genotype is a Cell. Got {cell!r:.80}.")


class TwoCellSpace(Space):
    """Pairs of cells of `num_blocks` blocks over an op set.

    A branch takes two tokens, its input and its operation, so a cell of 5 blocks takes 20 and a
    genotype 40, the normal cell first. Token 0 starts a sequence, 1..6 are the inputs 0..5, then
    come the operations in the order of the op set.

    A space over operations of your own is an instance: `MINE = TwoCellSpace("mine", OPS)` in your
    package, `register_op` of `nn/ops.py` for each new name, and `--space=my_package.my_file:MINE`.

    Source: NAO's public code: github renqianluo/NAO_pytorch, `NAO_V1/utils.py` and `model.py`.
    Deviates: NAO's TensorFlow code writes an operation of its large set as two tokens, type and
    kernel size, some pairs of which do not exist; here every operation is one token.
    """

    def __init__(self, name: str, ops: Sequence[str], num_blocks: int = 5) -> None:
        """Makes the space.

        Args:
          name: unique, stored with every study.
          ops: names of operations; their order is that of the tokens.
          num_blocks: in each cell, at least 1.
        """
        if num_blocks < 1 or not ops or len(set(ops)) != len(ops):
            raise SpaceError(
                f"Space {name!r} needs at least 1 block and operations, each named once. "
                f"Got {num_blocks} blocks and {tuple(ops)!r}."
            )
        self.name = name
        self.ops = tuple(ops)
        self.num_blocks = num_blocks
        num_inputs = num_blocks + 1
        self.vocabulary = ("<start>", *(f"input_{i}" for i in range(num_inputs)), *self.ops)
        self._op_tokens = {op: 1 + num_inputs + i for i, op in enumerate(self.ops)}
        cell = []
        for b in range(num_blocks):
            cell += [tuple(range(1, b + 3)), tuple(self._op_tokens.values())] * 2
        self.choices = tuple(cell * 2)
        self._num_choices = np.array([len(options) for options in self.choices])

    def sample(self, rng: np.random.Generator) -> TwoCell:
        """Draws as `Space.sample` does, by one call of `rng` in place of one for each token."""
        places = rng.integers(self._num_choices).tolist()
        return self._from_tokens(
            [options[place] for options, place in zip(self.choices, places, strict=True)]
        )

    def encode(self, genotype: TwoCell) -> tuple[int, ...]:
        self._check(genotype)
        tokens: list[int] = []
        for block in (*genotype.normal.blocks, *genotype.reduction.blocks):
            for source, op in zip(block.inputs, block.ops, strict=True):
                tokens += [1 + source, self._op_tokens[op]]
        return tuple(tokens)

    def decode(self, tokens: Sequence[int]) -> TwoCell:
        return self._from_tokens(checked_tokens(self, tokens))

    def plan(self, genotype: TwoCell) -> NetworkPlan:
        self._check(genotype)  # nothing to prune: every block has branches and is read or joined
        return NetworkPlan(_cell_graph(genotype.normal), _cell_graph(genotype.reduction))

    def canonical(self, genotype: TwoCell) -> TwoCell:
        self._check(genotype)
        return TwoCell(_canonical_cell(genotype.normal), _canonical_cell(genotype.reduction))

    def to_json(self, genotype: TwoCell) -> dict[str, Any]:
        """Returns `{"space", "normal", "reduction"}`; a cell is a list of its blocks."""
        self._check(genotype)
        value: dict[str, Any] = {"space": self.name}
        for name in _CELLS:
            value[name] = [
                {"inputs": list(block.inputs), "ops": list(block.ops)}
                for block in getattr(genotype, name).blocks
            ]
        return value

    def from_json(self, value: Any) -> TwoCell:
        self.check_json_space(value, "genotype")
        check_fields(value, ("space", *_CELLS), "A two-cell genotype")
        cells = [_read_cell(value[name], f"{name} cell") for name in _CELLS]
        genotype = TwoCell(*cells)
        self._check(genotype)
        return genotype

    def _from_tokens(self, tokens: Sequence[int]) -> TwoCell:
        half = len(tokens) // 2
        return TwoCell(
            *(Cell(tuple(self._blocks(part))) for part in (tokens[:half], tokens[half:]))
        )

    def _blocks(self, tokens: Sequence[int]) -> Iterator[Block]:
        for i in range(0, len(tokens), 4):
            source0, op0, source1, op1 = tokens[i : i + 4]
            yield Block((source0 - 1, source1 - 1), (self.vocabulary[op0], self.vocabulary[op1]))

    def _check(self, genotype: TwoCell) -> None:
        """Raises `GenotypeError` unless the genotype is of this space."""
        if not isinstance(genotype, TwoCell):
            raise GenotypeError(
                f"A genotype of space {self.name!r} is a TwoCell. Got {genotype!r:.80}."
            )
        for name in _CELLS:
            blocks = getattr(genotype, name).blocks
            if len(blocks) != self.num_blocks:
                raise GenotypeError(
                    f"The {name} cell has {len(blocks)} blocks, but those of space {self.name!r} "
                    f"have {self.num_blocks}."
                )
            for b, block in enumerate(blocks):
                for op in block.ops:
                    if op not in self._op_tokens:
                        raise GenotypeError(
                            f"The {name} cell has operation {op!r:.40} in block {b}; space "
                            f"{self.name!r} has {', '.join(self.ops)}."
                        )


def _cell_graph(cell: Cell) -> CellGraph:
    nodes = tuple(
        tuple(Edge(source, op) for source, op in zip(block.inputs, block.ops, strict=True))
        for block in cell.blocks
    )
    return CellGraph(2, nodes, "concat_unused")


def _canonical_cell(cell: Cell) -> Cell:
    graph = canonical_graph(_cell_graph(cell))
    return Cell(
        tuple(
            Block((left.source, right.source), (left.op, right.op)) for left, right in graph.nodes
        )
    )


def _read_cell(value: Any, where: str) -> Cell:
    check_list(value, dict, None, f"The {where}")
    blocks = []
    for b, fields in enumerate(value):
        place = f"Block {b} of the {where}"
        check_fields(fields, ("inputs", "ops"), place)
        check_list(fields["inputs"], int, 2, f"{place}: inputs")
        check_list(fields["ops"], str, 2, f"{place}: ops")
        blocks.append(Block(tuple(fields["inputs"]), tuple(fields["ops"])))
    try:
        return Cell(tuple(blocks))
    except GenotypeError as error:
        raise GenotypeError(f"The {where}: {error}") from None
