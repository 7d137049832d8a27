"""What is read off cells of fixed edges: pruned operations, paths, subsets of operations."""

import numpy as np
import pytest

from xfernas_jax.space.nasbench201 import NasBench201Space
from xfernas_jax.space.wiring import FOUR_NODES, WIRINGS, Wiring

CELL = WIRINGS["nasbench201"]
SPACE = NasBench201Space()
DIAMOND = Wiring(((0, 1), (0, 2), (1, 3), (2, 3)), 3, 0)


def tokens(count: int = 200) -> np.ndarray:
    return SPACE.sample_tokens(np.random.default_rng(0), count)


def test_paths_lead_from_input_to_output():
    found = {tuple(FOUR_NODES[i] for i in path) for path in CELL.paths}
    assert found == {
        ((0, 3),),
        ((0, 1), (1, 3)),
        ((0, 2), (2, 3)),
        ((0, 1), (1, 2), (2, 3)),
    }


def test_an_edge_is_live_where_a_path_without_none_takes_it():
    # 0->1 and 1->2 carry something, but nothing leaves node 2, and nothing else leaves node 1.
    operations = np.array([[3, 0, 3, 2, 0, 0]])
    assert CELL.live(operations).tolist() == [[False, False, False, True, False, False]]


def test_live_edges_join_what_the_input_reaches_to_what_reaches_the_output():
    operations = tokens() - 1
    for row, live in zip(operations, CELL.live(operations), strict=True):
        edges = [edge for edge, op in zip(FOUR_NODES, row, strict=True) if op != CELL.none]
        reached, needed = {0}, {CELL.last}
        for _ in edges:  # as often as suffices
            reached |= {node for source, node in edges if source in reached}
            needed |= {source for source, node in edges if node in needed}
        wanted = [e in edges and e[0] in reached and e[1] in needed for e in FOUR_NODES]
        assert live.tolist() == wanted


def test_dead_edges_say_nothing():
    first, second = np.array([[4, 1, 1, 3, 1, 1]]), np.array([[4, 1, 3, 3, 1, 1]])  # 1->2 is dead
    for ours, theirs in zip(SPACE.features(first), SPACE.features(second), strict=True):
        for group, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(group, other)


def test_exchanged_branches_have_the_same_paths():
    # In a diamond the two middle nodes are alike: what stands on one side may stand on the other.
    _, (counts, sequences, _) = DIAMOND.blocks(np.array([[1, 2, 1, 2], [2, 1, 2, 1]]))
    np.testing.assert_array_equal(counts[0], counts[1])
    np.testing.assert_array_equal(sequences[0], sequences[1])
    assert sequences[0].sum() == 2  # paths


def test_subsets_tell_how_far_they_lead():
    # Operation 1 alone leads through node 1; operations 1 and 2 together through node 2 as well.
    _, (_, _, subsets) = DIAMOND.blocks(np.array([[1, 1, 1, 2]]))
    of_one, of_two, of_both = subsets.reshape(3, -1)  # {1}, {2}, {1, 2}
    shortest, longest, *into, away, total = of_one
    assert (shortest, longest) == (2, 2)
    assert into == [1, 1, 1]  # edges with operation 1 into nodes 1, 2 and 3
    assert (away, total) == (2, 3)
    assert of_two[:2].tolist() == [DIAMOND.last + 1, 0]  # it leads nowhere by itself
    assert of_both[-1] == 4


def test_every_number_of_rows_gives_as_many_columns():
    none, some = SPACE.features(tokens(0)), SPACE.features(tokens(3))
    for ours, theirs in zip(none, some, strict=True):
        for group, other in zip(ours, theirs, strict=True):
            assert group.shape == (0, other.shape[1])
            assert np.isfinite(other).all()


def test_without_none_every_edge_carries_something():
    wiring = Wiring(FOUR_NODES, 3, None)
    assert wiring.live(np.zeros((1, 6), int)).all()
    places, _ = wiring.blocks(np.zeros((1, 6), int))
    assert places[0].sum() == 6


@pytest.mark.parametrize(
    ("edges", "count", "none", "part"),
    [
        (((1, 0),), 3, 0, "1->0"),
        (((0, 1), (2, 2)), 3, 0, "2->2"),
        ((), 3, 0, "has edges"),
        (((0, 1),), 1, 0, "choose"),
        (((0, 1),), 11, 0, "10 operations"),
        (((0, 16),), 3, 0, "16 nodes"),
        (((0, 1), (2, 3)), 3, 0, "leads from node 0"),
        (((0, 1),), 3, 3, "Got 3"),
        (tuple((a, b) for b in range(9) for a in range(b)), 3, 0, "too many paths"),
        (tuple((a, a + 1) for a in range(9)), 9, 0, "too many paths"),
    ],
)
def test_a_wiring_that_is_none_is_refused(edges, count, none, part):
    with pytest.raises(ValueError, match=part):
        Wiring(edges, count, none)
