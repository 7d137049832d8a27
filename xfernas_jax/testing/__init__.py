"""Contracts: what every space, optimizer, schedule, surrogate and executor must keep, as tests.

A class of your own is tested by inheriting, in a file that pytest collects:

    class TestMySpace(SpaceContract):
        space = MY_SPACE

The methods are plain asserts over seeded draws and need nothing but pytest to run them.
"""

from xfernas_jax.testing.executors import ExecutorContract
from xfernas_jax.testing.optimizers import OptimizerContract
from xfernas_jax.testing.schedules import ScheduleContract
from xfernas_jax.testing.spaces import SpaceContract
from xfernas_jax.testing.surrogates import SurrogateContract

__all__ = [
    "ExecutorContract",
    "OptimizerContract",
    "ScheduleContract",
    "SpaceContract",
    "SurrogateContract",
]
