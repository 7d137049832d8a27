"""The NAS-Bench-201 topology space."""

import csv
import gzip
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from space_cases import tokens_of

from xfernas_jax.errors import GenotypeError
from xfernas_jax.space import (
    NASBENCH201_BEST,
    SPACES,
    CellGraph,
    Edge,
    TopologyCell,
    format_official,
    parse_official,
)

SPACE = SPACES["nasbench201"]
BEST = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"
)


@given(data=st.data())
def test_official_notation_round_trip(data: st.DataObject) -> None:
    cell = SPACE.decode(data.draw(tokens_of(SPACE)))
    assert parse_official(format_official(cell)) == cell


def test_best_cell_has_the_official_notation_of_index_6111() -> None:
    assert format_official(NASBENCH201_BEST) == BEST
    assert SPACE.encode(NASBENCH201_BEST) == (4, 4, 4, 2, 4, 3)  # ops 333132, plus 1


def test_space_agrees_with_the_table(shared_dir: pathlib.Path) -> None:
    table = shared_dir / "benchmarks" / "nasbench201" / "nasbench201.csv.gz"
    if not table.is_file():
        pytest.skip("the data folder has no nasbench201 table")
    with gzip.open(table, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [SPACE.decode([int(digit) + 1 for digit in row["ops"]]) for row in rows]
    assert [format_official(cell) for cell in cells] == [row["arch_str"] for row in rows]
    assert len(set(cells)) == 15625
    best = max(range(len(rows)), key=lambda i: float(rows[i]["cifar10_valid"]))
    assert cells[best] == NASBENCH201_BEST


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "notation is"),
        (BEST[:-1], "notation is"),
        (BEST + "|", "notation is"),
        (BEST.replace("~2", "~1"), "notation is"),
        (BEST.replace("skip_connect", "identity"), "'identity' is not of NAS-Bench-201"),
        ("|" * 5000, "notation is"),
    ],
)
def test_broken_official_notation_is_refused(text: str, reason: str) -> None:
    with pytest.raises(GenotypeError, match=reason):
        parse_official(text)


def test_unknown_operation_names_the_edge() -> None:
    with pytest.raises(GenotypeError, match="Edge 1->2 has operation 'conv'"):
        TopologyCell(("none", "none", "conv", "none", "none", "none"))


def test_plan_leaves_out_none_and_what_it_cuts_off() -> None:
    # 0->1 conv, 0->2 none, 1->2 none, 0->3 identity, 1->3 none, 2->3 pool of a node of zeros
    cell = TopologyCell(("nor_conv_3x3", "none", "none", "identity", "none", "avg_pool_3x3"))
    plan = SPACE.plan(cell)
    assert plan.reduction is None
    assert plan.normal == CellGraph(1, ((Edge(0, "identity"),),), "last")


def test_plan_of_the_best_cell_keeps_all_edges() -> None:
    graph = SPACE.plan(NASBENCH201_BEST).normal
    assert graph.nodes[2] == (
        Edge(0, "identity"),
        Edge(1, "nor_conv_3x3"),
        Edge(2, "nor_conv_1x1"),
    )
    assert [len(edges) for edges in graph.nodes] == [1, 2, 3]


def test_cells_without_a_live_path_are_all_the_same() -> None:
    dead = TopologyCell(("nor_conv_3x3", "none", "none", "none", "none", "identity"))
    empty = TopologyCell(("none",) * 6)
    assert SPACE.canonical(dead) == empty
    assert SPACE.plan(dead).normal == CellGraph(1, ((),), "last")
