import pickle

import numpy as np
import pytest

from xfernas_jax.errors import SpaceError
from xfernas_jax.space.grid import GridSpace, nearest

SPACE = GridSpace("g", {"x": (1, 2, 4, 8), "kind": ("a", "b", "c")}, {"x": (0.0, 0.3, 0.7, 1.0)})


def test_coordinates_are_places_and_categories_lie_one_apart() -> None:
    tokens = np.array(
        [SPACE.encode(SPACE.genotype({"x": x, "kind": k})) for x, k in [(2, "a"), (8, "c")]]
    )
    found = SPACE.coordinates(tokens)
    assert SPACE.columns.tolist() == [0, 1, 1, 1]
    assert found[:, 0].tolist() == [0.3, 1.0]
    assert np.square(found[0, 1:] - found[1, 1:]).sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "places", [(0.0, 0.5), (0.0, 0.5, 0.5, 1.0), (0.0, 0.5, 0.9, 1.1)], ids=str
)
def test_places_that_do_not_rise_within_the_interval_are_refused(places: tuple[float, ...]) -> None:
    with pytest.raises(SpaceError, match="the places of 'x'"):
        GridSpace("g", {"x": (1, 2, 4, 8)}, {"x": places})


def test_what_is_nearby_is_of_the_space_and_differs() -> None:
    rng = np.random.default_rng(0)
    tokens = SPACE.sample_tokens(rng, 200)
    found = SPACE.nearby(rng, tokens, np.full(200, 0.1))
    assert SPACE.mask()[np.arange(2), found].all()
    # A category may be drawn as it was, so of 200 some stay.
    assert (found != tokens).any(1).mean() > 0.5


def test_nearest_takes_the_nearest() -> None:
    assert nearest(np.array([0.0, 0.3, 1.0]), np.array([-1.0, 0.16, 0.6, 2.0])).tolist() == [
        0,
        1,
        1,
        2,
    ]


def test_a_grid_survives_pickling() -> None:
    again = pickle.loads(pickle.dumps(SPACE))
    assert again.places == SPACE.places
    assert again.vocabulary == SPACE.vocabulary
