"""Shared type aliases."""

from typing import Any

Device = Any  # a jax.Device, which type checkers take for a variable
PyTree = Any  # nested dictionaries, tuples and dataclasses of arrays
