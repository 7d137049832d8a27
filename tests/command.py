"""Runs `run.py` inside this process."""

import contextlib
import dataclasses
import io
import sys
from unittest import mock

from absl import flags
from absl.testing import flagsaver


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command left: exit code and its two outputs."""

    code: int
    out: str
    err: str


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
