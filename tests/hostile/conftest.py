"""The command, and a check that no property ran out of cases."""

from collections.abc import Callable, Iterator

import pytest
from command import Done
from hostile_guard import WATCH


@pytest.fixture
def command(run_command: Callable[..., Done]) -> Callable[..., Done]:
    """Returns a function that runs `run.py` on a mistake and checks how it is refused."""

    def call(*words: str) -> Done:
        done = run_command(*words)
        assert done.code == 2, done
        assert done.err.startswith("run.py: "), done.err
        mistakes = [line for line in done.err.splitlines() if not line.endswith("not use it.")]
        assert len(mistakes) == 1, done.err
        assert all(line.isprintable() for line in done.err.split("\n")), ascii(done.err)
        return done

    return call


@pytest.fixture(autouse=True)
def _all_cases_ran(request: pytest.FixtureRequest) -> Iterator[None]:
    before = WATCH.num_cases
    yield
    assert WATCH.num_cases - before >= getattr(request.function, "num_cases", 0)
