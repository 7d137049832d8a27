"""What all timing scripts need of the machine: its cores, and a file for the result."""

import json
import os
from collections.abc import Mapping
from typing import Any

from xfernas_jax.errors import FlagError
from xfernas_jax.files import check_writable, write_atomically


def limit_threads(threads: int) -> int:
    """Keeps the process on `threads` of its cores, before JAX starts; returns their number.

    XLA takes as many threads as the process may use cores, and has no other setting.

    Raises:
      FlagError: where there are fewer cores, or the system has no such limit.
    """
    if not hasattr(os, "sched_getaffinity"):
        if threads:
            raise FlagError("--threads needs Linux; leave it at 0 for all cores.")
        return os.cpu_count() or 1
    cores = sorted(os.sched_getaffinity(0))
    if threads > len(cores):
        raise FlagError(f"--threads={threads}: this process may use {len(cores)} cores only.")
    if threads:
        os.sched_setaffinity(0, cores[:threads])
    return threads or len(cores)


def check_output(path: str) -> None:
    """Raises `FlagError` where the result cannot be written, before anything is measured."""
    try:
        check_writable(path)
    except OSError as error:
        raise FlagError(f"--output={path}: {error.strerror or error}.") from error


def write_result(path: str, result: Mapping[str, Any]) -> None:
    """Writes the JSON file of a script, whole or not at all."""
    write_atomically(path, (json.dumps(result, indent=1) + "\n").encode())
