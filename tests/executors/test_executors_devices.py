import os

import pytest

from xfernas_jax.errors import DeviceError
from xfernas_jax.executors.devices import Devices, device_groups, find_devices


def test_this_process_sees_the_four_devices_of_the_tests() -> None:
    assert find_devices() == Devices("cpu", 4)


@pytest.mark.parametrize("size", [0, 3, 5, 8])
def test_a_number_that_does_not_divide_the_devices_is_refused(size: int) -> None:
    with pytest.raises(DeviceError, match=rf"={size} does not divide the 4 gpu .* 1, 2, 4\."):
        device_groups(Devices("gpu", 4), size)


def test_every_gpu_belongs_to_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    groups = device_groups(Devices("gpu", 4), 2)
    assert [group.environment["CUDA_VISIBLE_DEVICES"] for group in groups] == ["0,1", "2,3"]
    assert all(group.cores == () for group in groups)


def test_gpus_that_are_hidden_stay_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, GPU-abc")
    groups = device_groups(Devices("gpu", 2), 1)
    assert [group.environment["CUDA_VISIBLE_DEVICES"] for group in groups] == ["5", "GPU-abc"]


def test_tpu_chips_are_divided_in_shapes_that_exist() -> None:
    groups = device_groups(Devices("tpu", 4), 2)
    assert [group.environment["TPU_VISIBLE_CHIPS"] for group in groups] == ["0,1", "2,3"]
    with pytest.raises(DeviceError, match="by 1, 2, 4 only"):
        device_groups(Devices("tpu", 8), 8)


@pytest.mark.parametrize("num_groups", [1, 2, 3, 4])
def test_cpu_workers_share_no_core_while_there_are_enough(num_groups: int) -> None:
    mine = os.sched_getaffinity(0)
    groups = device_groups(Devices("cpu", num_groups), 1)
    given = [core for group in groups for core in group.cores]
    assert set(given) <= mine
    assert all(group.cores for group in groups)
    if num_groups <= len(mine):
        assert sorted(given) == sorted(mine)
    assert all(group.environment["JAX_NUM_CPU_DEVICES"] == "1" for group in groups)
