"""Runs `run.py` inside this process."""

import contextlib
import dataclasses
import io
from types import ModuleType

from absl import flags
from absl.testing import flagsaver


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command left: exit code and its two outputs."""

    code: int
    out: str
    err: str


def run_here(run: ModuleType, words: tuple[str, ...]) -> Done:
    """Runs the module `run` with the given words as a command line."""
    out, err = io.StringIO(), io.StringIO()
    code: int | str | None = 0
    with (
        flagsaver.flagsaver(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        flags.FLAGS.unparse_flags()
        try:
            run.guarded(run.parse(["run.py", *words]))
        except SystemExit as stop:
            code = stop.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())
