import numpy as np
import pytest

from xfernas_jax.data import epoch_indices, eval_indices
from xfernas_jax.errors import RecipeError


@pytest.mark.parametrize(("num_examples", "batch_size"), [(10, 3), (10, 10), (64, 16)])
def test_an_epoch_shows_each_example_at_most_once(num_examples: int, batch_size: int) -> None:
    indices = epoch_indices(num_examples, batch_size, seed=1, epoch=2)
    assert indices.shape == (num_examples // batch_size, batch_size)
    assert indices.dtype == np.int32
    assert len(np.unique(indices)) == indices.size
    assert indices.min() >= 0
    assert indices.max() < num_examples


def test_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> tuple[int, ...]:
        return tuple(epoch_indices(100, 10, seed, epoch).ravel().tolist())

    assert order(1, 2) == order(1, 2)
    # 4 random orders of 100 coincide with chance below 1e-150.
    assert len({order(1, 2), order(2, 1), order(1, 1), order(2, 2)}) == 4


@pytest.mark.parametrize("batch_size", [0, 11])
def test_no_whole_batch_is_refused(batch_size: int) -> None:
    with pytest.raises(RecipeError, match=rf"1 to 10 examples.*Got batch size {batch_size}"):
        epoch_indices(10, batch_size, seed=0, epoch=0)


@pytest.mark.parametrize(("num_examples", "batch_size"), [(10, 3), (9, 3), (1, 8), (10, 64)])
def test_evaluation_covers_every_example_once(num_examples: int, batch_size: int) -> None:
    indices, mask = eval_indices(num_examples, batch_size)
    assert indices.shape == mask.shape == (-(-num_examples // batch_size), batch_size)
    assert indices.dtype == np.int32
    assert indices[mask].tolist() == list(range(num_examples))
    assert (indices[~mask] == 0).all()


@pytest.mark.parametrize(("num_examples", "batch_size"), [(10, 0), (0, 4)])
def test_empty_evaluation_is_refused(num_examples: int, batch_size: int) -> None:
    with pytest.raises(RecipeError):
        eval_indices(num_examples, batch_size)
