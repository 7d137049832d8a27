import pytest

from xfernas_jax.errors import DeviceError
from xfernas_jax.executors.ray_resources import (
    Reservation,
    cores_of_share,
    free_share,
    reserve,
)

HEAD = {"CPU": 8.0, "memory": 1e10, "node:10.0.0.1": 1.0}
TWO_GPUS = {"CPU": 16.0, "GPU": 2.0}
FIVE_GPUS = {"CPU": 16.0, "GPU": 5.0}


def test_a_cluster_with_gpus_has_one_worker_for_each_group_of_them() -> None:
    assert reserve([HEAD, TWO_GPUS, FIVE_GPUS], 1) == (Reservation("gpu", 1), 7)
    assert reserve([HEAD, TWO_GPUS, FIVE_GPUS], 2) == (Reservation("gpu", 2), 3)  # 1 and 2


def test_a_cluster_without_accelerators_trains_on_its_cpus() -> None:
    assert reserve([HEAD, {"CPU": 3.0}], 2) == (Reservation("cpu", 2), 5)


def test_more_devices_than_any_node_has_are_refused() -> None:
    with pytest.raises(DeviceError, match=r"=6: no node .* so many GPUs; the largest has 5\."):
        reserve([HEAD, TWO_GPUS, FIVE_GPUS], 6)
    with pytest.raises(DeviceError, match="offer no CPU"):
        reserve([{"memory": 1e10}], 1)


def test_a_gpu_worker_reserves_gpus_and_a_cpu_worker_cpus() -> None:
    assert Reservation("gpu", 2).options == {"num_cpus": 0, "num_gpus": 2}
    assert Reservation("cpu", 2).options == {"num_cpus": 2, "num_gpus": 0}
    assert Reservation("tpu", 4).options == {"num_cpus": 0, "resources": {"TPU": 4}}


def test_a_cpu_worker_sees_as_many_devices_as_it_reserves() -> None:
    assert Reservation("cpu", 2).environment["JAX_NUM_CPU_DEVICES"] == "2"
    assert "JAX_PLATFORMS" not in Reservation("gpu", 2).environment


def test_shares_of_a_node_have_different_cores_while_there_are_enough() -> None:
    cores = [2, 3, 5, 7, 11]
    assert [cores_of_share(cores, share, 2) for share in range(3)] == [[2, 3], [5, 7], [2, 11]]
    assert cores_of_share([4], 3, 2) == [4]


def test_a_share_that_is_given_back_is_the_next_to_be_taken() -> None:
    assert free_share([]) == 0
    assert free_share([0, 2, 3]) == 1
