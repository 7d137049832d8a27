"""Runs `run.py` inside this process, or only reads its flags."""

import contextlib
import dataclasses
import io
import sys
from collections.abc import Iterator
from unittest import mock

from absl import flags
from absl.testing import flagsaver


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command left: exit code and its two outputs."""

    code: int
    out: str
    err: str


@contextlib.contextmanager
def given(*words: str) -> Iterator[None]:
    """Has the flags of a command line."""
    from xfernas_jax.cli.flags import parse  # defines flags

    with flagsaver.flagsaver():
        flags.FLAGS.unparse_flags()
        parse(["run.py", *words])
        yield


def run_here(words: tuple[str, ...], program: str = "run.py") -> Done:
    """Runs the given words as a command line."""
    from xfernas_jax.cli.main import guarded  # defines flags

    out, err = io.StringIO(), io.StringIO()
    with (
        flagsaver.flagsaver(),
        mock.patch.object(sys, "argv", [program, *words]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        flags.FLAGS.unparse_flags()
        code = guarded(words)
    return Done(code, out.getvalue(), err.getvalue())
