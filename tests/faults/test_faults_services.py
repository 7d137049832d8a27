import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from searches import (
    finish,
    kill,
    num_recorded,
    outcomes,
    recorded,
    result,
    run,
    search_words,
    start,
    wait_until,
)

from experiments.bench.postgres import PostgresServer, running_postgres

BUDGET = 30


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with running_postgres() as started:
        yield started


def count(url: str) -> int:
    try:
        return len(recorded(url))
    except Exception:  # the study, or the server, is not there yet
        return 0


def test_a_database_that_stops_and_starts_costs_no_recorded_evaluation(
    server: PostgresServer, tmp_path: pathlib.Path, unbroken: Callable[[int], tuple[Any, Any]]
) -> None:
    url = f"{server.url}/postgres"
    words = [*search_words(BUDGET), f"--workdir={tmp_path}", f"--storage={url}"]
    before: set[tuple[object, ...]] = set()
    for least in (1, 8):
        process = start(*words)
        wait_until(lambda wanted=least: count(url) >= wanted, process)
        assert process.poll() is None, "the search ended before the database stopped"
        server.stop()
        code, err = finish(process)
        assert code == 2, err
        assert "Traceback" not in err, err
        assert err.strip().splitlines()[-1].startswith("run.py: "), err
        code, err = run(*words)  # while it is down
        assert code == 2, err
        assert "Traceback" not in err, err
        server.start()
        now = outcomes(recorded(url))
        assert before <= now
        before = now
    code, err = run(*words)
    assert code == 0, err
    after = outcomes(recorded(url))
    assert before <= after
    assert after == unbroken(BUDGET)[0]


def test_the_second_of_two_searches_of_a_study_ends_and_names_the_first(
    tmp_path: pathlib.Path, unbroken: Callable[[int], tuple[Any, Any]]
) -> None:
    words = [*search_words(BUDGET), f"--workdir={tmp_path}"]
    first = start(*words)
    wait_until(lambda: num_recorded(tmp_path) > 0, first)
    code, err = run(*words)
    assert first.poll() is None, "the first ended too soon to be in the way"
    assert code == 2, err
    assert err.count("\n") == 1
    assert str(first.pid) in err
    assert "--take_over" in err
    code, err = finish(first)
    assert code == 0, err
    assert (outcomes(recorded(tmp_path)), result(tmp_path)) == unbroken(BUDGET)


def test_a_search_that_is_taken_over_records_no_more_and_the_second_completes(
    tmp_path: pathlib.Path, unbroken: Callable[[int], tuple[Any, Any]]
) -> None:
    words = [*search_words(BUDGET), f"--workdir={tmp_path}"]
    first = start(*words)
    wait_until(lambda: num_recorded(tmp_path) > 0, first)
    second = start(*words, "--take_over")
    first_code, first_err = finish(first)
    code, err = finish(second)
    assert code == 0, err
    assert first_code == 2, first_err
    assert "Traceback" not in first_err, first_err
    assert (outcomes(recorded(tmp_path)), result(tmp_path)) == unbroken(BUDGET)


def test_a_killed_search_is_followed_at_once(tmp_path: pathlib.Path) -> None:
    words = [*search_words(BUDGET), f"--workdir={tmp_path}"]
    process = start(*words)
    wait_until(lambda: num_recorded(tmp_path) > 0, process)
    assert kill(process)
    begin = time.monotonic()
    code, err = run(*words)
    assert code == 0, err
    assert time.monotonic() - begin < 60, "it waited for the lease to run out"
