"""The two-cell spaces and the published genotypes."""

import math

import numpy as np
import pytest

from xfernas_jax.errors import GenotypeError, SpaceError
from xfernas_jax.space import (
    NAONET,
    NAONET_B,
    NASBENCH201_BEST,
    SPACES,
    Block,
    Cell,
    TwoCell,
    TwoCellSpace,
)

BLOCK = Block((0, 1), ("identity", "identity"))


@pytest.mark.parametrize(
    ("name", "num_ops", "per_cell"),
    # op set size, and codes of a cell: ops^10 times (2 * 3 * 4 * 5 * 6)^2 = 518,400 inputs
    [("nao5", 5, 5**10 * 518_400), ("nao11", 11, 11**10 * 518_400), ("nasnet", 13, None)],
)
def test_sizes_are_those_of_nao(name: str, num_ops: int, per_cell: int | None) -> None:
    space = SPACES[name]
    assert len(space.choices) == 40
    assert len(space.vocabulary) == 1 + 6 + num_ops
    if per_cell is not None:
        assert math.prod(len(options) for options in space.choices) == per_cell**2


def test_tokens_are_inputs_then_operations() -> None:
    space = SPACES["nao5"]
    assert space.vocabulary[:8] == (
        "<start>",
        *(f"input_{i}" for i in range(6)),
        "sep_conv_3x3",
    )
    # NAONet-B opens with (input 0, sep_conv_5x5), (input 0, avg_pool_3x3): 1 + 0 and 7 + 1, 7 + 2
    assert space.encode(NAONET_B)[:4] == (1, 8, 1, 9)


def read_script(text: str, space: str, first_op: int) -> TwoCell:
    """Reads a `fixed_arc` of the public training scripts: input, operation id, input, ..."""
    numbers = [int(word) for word in text.split()]
    return SPACES[space].decode(
        [n + (1 if i % 2 == 0 else 7 - first_op) for i, n in enumerate(numbers)]
    )


def test_naonet_b_is_that_of_the_public_script() -> None:
    arc = "0 1 0 2 0 1 2 2 1 3 0 2 4 0 1 3 2 1 0 3 1 1 1 0 2 1 2 4 1 0 2 3 3 1 2 2 0 2 0 2"
    assert read_script(arc, "nao5", 0) == NAONET_B


def test_naonet_differs_from_the_pytorch_script_in_one_block() -> None:
    arc = "0 7 1 15 2 8 1 7 0 6 1 7 0 8 4 7 1 5 0 7 0 7 1 13 0 6 0 14 0 9 1 10 0 14 2 6 1 11 0 7"
    script = read_script(arc, "nao11", 5)
    assert script.normal == NAONET.normal
    pairs = zip(script.reduction.blocks, NAONET.reduction.blocks, strict=True)
    differing = [(b, left, right) for b, (left, right) in enumerate(pairs) if left != right]
    ops = ("conv_1x7_7x1", "max_pool_2x2")
    assert differing == [(2, Block((0, 1), ops), Block((1, 0), ops))]


def test_naonet_joins_what_no_block_reads() -> None:
    plan = SPACES["nao11"].plan(NAONET)
    assert plan.reduction is not None
    assert plan.normal.unused() == (3, 5, 6)  # blocks 1, 3, 4; block 0 is read by 1, block 2 by 3
    assert plan.reduction.unused() == (3, 4, 5, 6)  # block 3 reads block 0


def test_a_block_cannot_read_ahead() -> None:
    with pytest.raises(GenotypeError, match=r"Block 1 reads input 3, but its inputs are 0\.\.2"):
        Cell((BLOCK, Block((3, 0), ("identity", "identity"))))


@pytest.mark.parametrize("source", [-1, 2, 10**30])
def test_inputs_out_of_range_name_the_cell_in_json(source: int) -> None:
    space = TwoCellSpace("tiny", ("identity",), 1)
    value = space.to_json(TwoCell(Cell((BLOCK,)), Cell((BLOCK,))))
    value["reduction"][0]["inputs"][1] = source
    with pytest.raises(GenotypeError, match="reduction cell: Block 0 reads input"):
        space.from_json(value)


def test_genotypes_of_other_spaces_are_refused() -> None:
    nao5 = SPACES["nao5"]
    short = TwoCell(Cell((BLOCK,)), Cell((BLOCK,)))
    for use in (nao5.encode, nao5.plan, nao5.canonical, nao5.to_json, nao5.key):
        with pytest.raises(GenotypeError, match="normal cell has operation 'conv_3x3' in block 0"):
            use(NAONET)
        with pytest.raises(GenotypeError, match="has 1 blocks, but those of space 'nao5' have 5"):
            use(short)


@pytest.mark.parametrize("method", ["encode", "plan", "canonical", "to_json"])
def test_nasbench201_and_two_cell_genotypes_do_not_mix(method: str) -> None:
    # the message comes from the space, or from the type checks that tests switch on
    for space, genotype in (("nao5", NASBENCH201_BEST), ("nasbench201", NAONET)):
        with pytest.raises(Exception, match=r"TwoCell|TopologyCell"):
            getattr(SPACES[space], method)(genotype)


@pytest.mark.parametrize(("ops", "num_blocks"), [((), 5), (("identity",), 0), (("a", "a"), 1)])
def test_a_space_needs_blocks_and_distinct_operations(ops: tuple, num_blocks: int) -> None:
    with pytest.raises(SpaceError, match="at least 1 block"):
        TwoCellSpace("bad", ops, num_blocks)


def test_number_of_blocks_is_free() -> None:
    space = TwoCellSpace("tiny", ("identity", "conv_1x1"), 2)
    assert space.choices[4:8] == (
        (1, 2, 3),
        (4, 5),
        (1, 2, 3),
        (4, 5),
    )  # block 1 of the normal cell
    assert len(space.choices) == 16
    assert len(space.sample(np.random.default_rng(0)).reduction.blocks) == 2


def test_keys_stay_what_stored_histories_hold() -> None:
    # A change of these makes every recorded evaluation look new: give it a new format version.
    assert SPACES["nao11"].key(NAONET) == "fb6fa22e5aa6bd93"
    assert SPACES["nao5"].key(NAONET_B) == "66a99d10e66a57a3"
