"""Evaluations that break: what the machine or the user's code failed is a result too."""

import os
import time
import traceback

from xfernas_jax.errors import UserError
from xfernas_jax.evaluate.base import Evaluator, OnEpoch, Scored, Stop
from xfernas_jax.history.record import Job, Result

_MAX_LINE = 300  # characters


class _Telling:
    """Passes epochs on, and remembers what the listener raised: that is no breakage."""

    def __init__(self, on_epoch: OnEpoch) -> None:
        self._on_epoch = on_epoch
        self.error: Exception | None = None

    def __call__(self, epoch: int, value: float) -> None:
        try:
            self._on_epoch(epoch, value)
        except Exception as error:
            self.error = error
            raise


def evaluate_safely(
    evaluator: Evaluator, job: Job, on_epoch: OnEpoch, stop: Stop | None = None
) -> Scored:
    """Evaluates; an exception that is no user's mistake makes a broken result.

    Raises:
      UserError: the evaluation met a user's mistake.
      Exception: what `on_epoch` raised.
    """
    start, telling = time.monotonic(), _Telling(on_epoch)
    try:
        return evaluator.evaluate(job, telling, stop)
    except UserError:
        raise
    except Exception as error:
        if error is telling.error:
            raise
        return broken(describe(error), time.monotonic() - start)


def broken(failure: str, seconds: float) -> Scored:
    """Returns the result of an evaluation that broke."""
    return Scored(Result("broken", seconds=seconds, failure=one_line(failure)))


def describe(error: BaseException) -> str:
    """Returns type, place and message of an exception in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    try:
        text = str(error)
    except Exception:
        text = "its text cannot be had"
    return one_line(f"{type(error).__name__}{place}: {text}")


def one_line(text: str) -> str:
    """Returns a text in one printable line of bounded length."""
    line = " ".join(text.split())[:_MAX_LINE]
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
