"""Tests here take long, and one that cannot run fails: `make test-faults` gives what they need."""

import pathlib
import sys
from collections.abc import Callable, Generator
from typing import Any

import pytest
from searches import outcomes, recorded, result, run, search_words

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "executors"))  # for what those tests share


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets these tests take their time: each runs whole searches."""
    for item in items:
        if pathlib.Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Turns a skip into a failure."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], tuple[Any, Any]]:
    """Returns a function from a budget to outcomes and result of a search that nothing disturbs."""
    known: dict[int, tuple[Any, Any]] = {}

    def of(budget: int) -> tuple[Any, Any]:
        if budget not in known:
            work: pathlib.Path = tmp_path_factory.mktemp("unbroken")
            code, err = run(*search_words(budget), f"--workdir={work}")
            assert code == 0, err
            known[budget] = (outcomes(recorded(work)), result(work))
        return known[budget]

    return of
