"""Collections: what comes first, what is left out, and what a rerun adds."""

from typing import Any

import pytest
from search_toy import SPACE, Toy, distinct_cells

from xfernas_jax.errors import UserError
from xfernas_jax.executors.in_process import InProcessExecutor
from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.search.collect import collect_random
from xfernas_jax.search.desk import Desk
from xfernas_jax.space.base import Genotype


def collected(record: MemoryRecord, count: int, **options: Any) -> list[Genotype]:
    """Returns the architectures of a record once it holds `count` of them."""
    desk = Desk(InProcessExecutor(Toy()), record, "r")
    collect_random(desk, count, 0, **options)
    return [e.genotype for e in sorted(record.evaluations(), key=lambda e: e.number)]


def has_convolution(genotype: Any) -> bool:
    return "nor_conv_3x3" in genotype.ops


@pytest.fixture
def record() -> MemoryRecord:
    return MemoryRecord()


def test_what_is_named_comes_first_and_counts(record: MemoryRecord) -> None:
    first = distinct_cells(2, seed=9)
    found = collected(record, 5, first=first)
    assert found[:2] == first
    assert len({SPACE.key(cell) for cell in found}) == 5


def test_what_is_not_admitted_is_left_out_even_where_it_is_named(record: MemoryRecord) -> None:
    first = distinct_cells(30, seed=9)
    assert not all(map(has_convolution, first))
    found = collected(record, 40, first=first, admits=has_convolution)
    assert len(found) == 40
    assert all(map(has_convolution, found))
    assert found[0] == next(cell for cell in first if has_convolution(cell))


def test_a_rerun_adds_what_is_missing(record: MemoryRecord) -> None:
    first = distinct_cells(2, seed=9)
    before = collected(record, 4, first=first, num_repeated=1, admits=has_convolution)
    after = collected(record, 7, first=first, num_repeated=1, admits=has_convolution)
    assert after[: len(before)] == before
    assert len(after) == 8  # one of them twice
    whole = collected(MemoryRecord(), 7, first=first, num_repeated=1, admits=has_convolution)
    assert after == whole


def test_limits_that_nothing_keeps_end_it(record: MemoryRecord) -> None:
    with pytest.raises(UserError, match=r"1,000 random architectures.*--max_params"):
        collected(record, 3, admits=lambda _: False)
