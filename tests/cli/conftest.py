"""Runs `run.py` inside this process, or as a process of its own."""

import dataclasses
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import pytest
from absl import flags
from absl.testing import flagsaver

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Done:
    """What a command left: exit code and its two outputs."""

    code: int
    out: str
    err: str


@pytest.fixture
def run_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """Returns a function that runs `run.py` with the given words."""
    monkeypatch.syspath_prepend(str(ROOT))
    import run

    monkeypatch.setattr(run, "use_compile_cache", lambda folder, max_gib: None)

    def call(*words: str) -> Done:
        capsys.readouterr()
        code: int | str | None = 0
        with flagsaver.flagsaver():
            flags.FLAGS.unparse_flags()
            try:
                run.guarded(run.parse(["run.py", *words]))
            except SystemExit as stop:
                code = stop.code
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Done(code, captured.out, captured.err)

    return call


@pytest.fixture
def start_process() -> Callable[..., subprocess.Popen]:
    """Returns a function that starts `run.py` with the given words as a process."""
    started: list[subprocess.Popen] = []
    inherited = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}

    def start(*words: str, **environment: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "run.py", *words],
            cwd=ROOT,
            env={**inherited, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
