"""What a training takes over from an earlier network."""

import pathlib

import numpy as np
import pytest

from xfernas_jax.errors import ModelError
from xfernas_jax.train.initial import EarlierVariables, read_arrays


def variables(width: int, classes: int = 3) -> dict:
    zeros = np.zeros
    return {
        "params": {
            "stem": {"kernel": zeros((3, 3, 1, width), np.float32)},
            "classifier": {"kernel": zeros((8, classes)), "bias": zeros(classes)},
        },
        "batch_stats": {"norm": {"mean": zeros(4, np.float32)}},
    }


EARLIER = EarlierVariables(
    {
        "params/stem/kernel": np.ones((3, 3, 1, 4), np.float32),
        "params/classifier/kernel": np.ones((8, 5), np.float32),
        "params/classifier/bias": np.ones(5, np.float32),
        "batch_stats/norm/mean": np.ones(4, np.float32),
    }
)


def test_what_agrees_in_path_and_shape_is_taken_and_the_rest_stays() -> None:
    own = variables(4)
    found = EARLIER.into(own)
    assert EARLIER.agreeing(own) == ("params/stem/kernel", "batch_stats/norm/mean")
    assert found["params"]["stem"]["kernel"].all()
    assert found["batch_stats"]["norm"]["mean"].all()
    assert not found["params"]["classifier"]["kernel"].any()
    assert not own["params"]["stem"]["kernel"].any()  # not changed
    assert len(EARLIER.agreeing(variables(4, 5))) == 4
    assert EARLIER.agreeing(variables(8)) == ("batch_stats/norm/mean",)


def test_a_digest_follows_from_paths_shapes_and_values() -> None:
    arrays = dict(EARLIER.arrays)
    assert EarlierVariables(dict(reversed(arrays.items()))).digest == EARLIER.digest
    changed = {**arrays, "batch_stats/norm/mean": np.zeros(4, np.float32)}
    renamed = {f"{path}x": array for path, array in arrays.items()}
    reshaped = {path: array[None] for path, array in arrays.items()}
    digests = {EarlierVariables(each).digest for each in (arrays, changed, renamed, reshaped)}
    assert len(digests) == 4


def test_only_finite_floats_are_read(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "variables.npz"
    np.savez(file, a=np.ones(3, np.float32))
    np.testing.assert_array_equal(read_arrays(file)["a"], np.ones(3))
    for wrong in (np.array([1.0, np.inf]), np.arange(3), np.array(["a"])):
        np.savez(file, a=wrong)
        with pytest.raises(ModelError, match="'a' holds values that are not finite numbers"):
            read_arrays(file)
    with pytest.raises(ModelError, match="cannot be read"):
        read_arrays(tmp_path / "missing.npz")
