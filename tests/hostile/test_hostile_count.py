"""The harness itself: it has enough cases, and a case that misbehaves fails."""

import importlib
import os
import pathlib
import pickle
import subprocess
from collections.abc import Callable

import pytest
from hostile_guard import CANARY, Bait, refused, sandbox

MODULES = sorted(file.stem for file in pathlib.Path(__file__).parent.glob("test_hostile_*.py"))


def test_there_are_a_thousand_cases() -> None:
    modules = [importlib.import_module(name) for name in MODULES]
    counts = [getattr(value, "num_cases", 0) for m in modules for value in vars(m).values()]
    assert sum(counts) >= 1000


@pytest.mark.parametrize(
    "misbehave",
    [
        lambda work: pickle.loads(pickle.dumps(Bait(work / "sprung"))),
        lambda work: (work.parent / "escaped").write_text("x"),
        lambda work: (work.parent / "escaped").mkdir(),
        lambda work: (work.parent / f"{CANARY}.py").rename(work / "stolen"),
        lambda work: (work / "half.tmp").write_text("x"),
        lambda work: importlib.import_module(CANARY),
        lambda work: subprocess.run(["true"], check=True),
        lambda work: os.system("true"),
    ],
    ids=["unpickle", "write", "make", "move", "half", "import", "start", "system"],
)
def test_a_case_that_misbehaves_fails(misbehave: Callable[[pathlib.Path], object]) -> None:
    with pytest.raises(AssertionError), sandbox() as work:
        misbehave(work)


def test_a_crash_is_not_taken_for_a_refusal() -> None:
    with pytest.raises(ZeroDivisionError):
        refused(lambda: 1 / 0)
