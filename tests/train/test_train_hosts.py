"""What is of many hosts and needs no second process; `tests/cli/test_cli_hosts.py` has two."""

import dataclasses

import jax
import ml_dtypes
import numpy as np
import pytest

from xfernas_jax.errors import StorageError
from xfernas_jax.train.hosts import _as_array_like, on_first, together
from xfernas_jax.train.parallel import own_columns


@dataclasses.dataclass(frozen=True)
class FakeDevice:
    process_index: int


@pytest.mark.parametrize("owners", [(0, 0, 1, 1), (0, 1, 0, 1), (1, 0, 0, 2)])
def test_each_process_takes_the_columns_of_its_devices(
    owners: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    table, devices = np.arange(24).reshape(3, 8), [FakeDevice(owner) for owner in owners]
    for process in sorted(set(owners)):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        expected = [table[:, 2 * d : 2 * d + 2] for d in range(4) if owners[d] == process]
        np.testing.assert_array_equal(own_columns(table, devices), np.hstack(expected))


@pytest.mark.parametrize(
    "value",
    [
        np.array([-0.0, np.nan, 1e-45, np.inf], np.float32),
        np.array(3, np.int32),
        np.ones((2, 3), ml_dtypes.bfloat16),
        np.zeros((0, 2), np.float32),
    ],
)
def test_arrays_are_sent_bit_for_bit(value: np.ndarray) -> None:
    received = _as_array_like(np.frombuffer(value.tobytes(), np.uint8), np.empty_like(value))
    assert (received.shape, received.dtype) == (value.shape, value.dtype)
    assert received.tobytes() == value.tobytes()


def test_a_single_process_keeps_its_own_values_and_errors() -> None:
    value = object()
    assert together(lambda: value) is on_first(lambda: value) is value

    def fail() -> None:
        raise StorageError("full")

    with pytest.raises(StorageError, match="full"):
        together(fail)
