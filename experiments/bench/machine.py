"""What all timing scripts need of the machine: its cores, and a file for the result."""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
from absl import flags

from experiments.commands import write_json
from xfernas_jax.errors import FlagError
from xfernas_jax.evaluate.trained import versions
from xfernas_jax.files import check_writable


class BenchFlags:
    """The flags of every timing script; each makes them once, at its top."""

    def __init__(self, threads: bool = True) -> None:
        """Defines them: the file of the result and, with `threads`, the number of cores."""
        self._output = flags.DEFINE_string("output", None, "JSON file.")
        self._threads = None
        if threads:
            self._threads = flags.DEFINE_integer(
                "threads", 0, "Processor cores, and threads of all; 0: all.", lower_bound=0
            )

    def begin(self, cpu: bool = True) -> int:
        """Checks the file, and limits the cores before JAX starts; returns their number.

        With `cpu` JAX takes no accelerator.
        """
        if cpu:
            jax.config.update("jax_platforms", "cpu")
        if self._output.value:
            try:
                check_writable(self._output.value)
            except OSError as error:
                reason = error.strerror or error
                raise FlagError(f"--output={self._output.value}: {reason}.") from error
        return limit_threads(0 if self._threads is None else self._threads.value)

    def end(self, result: Mapping[str, Any], **more: str) -> None:
        """Writes the file, if one is wanted, with the versions of what ran, and `more` of them."""
        if self._output.value:
            known = {**dict(versions()), **more}
            write_json(pathlib.Path(self._output.value), {**result, "versions": known})


def shown_versions(**more: str) -> str:
    """Returns the versions of what runs, in a line."""
    return "  ".join(f"{name} {version}" for name, version in {**dict(versions()), **more}.items())


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
