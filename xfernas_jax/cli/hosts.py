"""From flags to one process of a training on many hosts, and how such a process ends."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator

import jax
from jax.experimental import multihost_utils

from xfernas_jax.cli import flags
from xfernas_jax.cli.program import one_line, program, say
from xfernas_jax.cli.progress import console
from xfernas_jax.errors import (
    AgreedError,
    FlagError,
    TrainingInterruptedError,
    UserError,
)
from xfernas_jax.train import hosts
from xfernas_jax.train.loop import Interrupt

LOST_CODE = 75  # EX_TEMPFAIL: the same command may succeed later
_FLAGS = {
    "coordinator_address": flags.COORDINATOR_ADDRESS,
    "num_processes": flags.NUM_PROCESSES,
    "process_id": flags.PROCESS_ID,
}


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Joins the other processes that the flags name, if any, and leaves them in order.

    Where another process was lost, or where this one alone has to end, it ends here: the others
    are told by the closed connections, and JAX's own way out would wait for them.

    Raises:
      FlagError: flags that do not fit each other.
      HostsError: the others cannot be found.
    """
    arguments = _arguments()
    if arguments is None:
        yield
        return
    seconds = flags.SILENT_HOST_SECONDS.value
    line = (
        f"{program()}: another process of this training is missing: it did not come within "
        f"{hosts.START_SECONDS} s, ended, or was silent for {seconds} s; see what the others say. "
        "Started again, all of them go on from the latest checkpoint."
    )
    _filter_stderr(line)
    hosts.join(*arguments, silent_seconds=seconds)
    console.quiet = not hosts.is_first()
    try:
        yield
    except (AgreedError, TrainingInterruptedError):
        jax.distributed.shutdown()
        raise
    except UserError as error:
        say(one_line(str(error)))
        _end(2)
    except Exception as error:
        if hosts.is_lost_host(error):
            print(line, file=sys.stderr, flush=True)
            _end(LOST_CODE)
        traceback.print_exc()
        say("this process of the training ends, and with it the others.")
        _end(1)
    jax.distributed.shutdown()


def _given() -> list[str]:
    return [name for name, flag in _FLAGS.items() if flag.value is not None]


def _arguments() -> tuple[str | None, int | None, int | None] | None:
    """Returns what `hosts.join` is to be told; None without any of the flags."""
    address, count, own = (flag.value for flag in _FLAGS.values())
    given = _given()
    if not given:
        return None
    if address == "auto":
        if len(given) > 1:
            raise FlagError(f"--coordinator_address=auto finds --{given[1]} itself; leave it out.")
        return None, None, None
    if len(given) < len(_FLAGS):
        (missing, *_) = [name for name in _FLAGS if name not in given]
        raise FlagError(
            f"--{given[0]} needs --{missing} too; a process of a training on many hosts is given "
            "--coordinator_address, --num_processes and --process_id, or "
            "--coordinator_address=auto alone."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise FlagError(f"--coordinator_address={address} is not HOST:PORT, nor auto.")
    if own >= count:
        raise FlagError(
            f"--process_id={own} is not below --num_processes={count}; they count from 0."
        )
    return address, count, own


@contextlib.contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Gives what tells the trainer that SIGTERM came, to this process or to any of many.

    On many hosts JAX takes the signal and agrees on the step before which all of them leave.
    """
    if jax.distributed.is_initialized():
        yield multihost_utils.reached_preemption_sync_point
        return
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        yield lambda step: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)


def _filter_stderr(line: str) -> None:
    """Sends this process's stderr, also what C++ writes there, through `last_words.py`."""
    script = pathlib.Path(__file__).with_name("last_words.py")
    sys.stderr.flush()
    process = subprocess.Popen([sys.executable, "-S", str(script), line], stdin=subprocess.PIPE)
    assert process.stdin is not None
    os.dup2(process.stdin.fileno(), 2)
    process.stdin.close()


def _end(code: int) -> None:
    sys.stdout.flush()
    os._exit(code)
