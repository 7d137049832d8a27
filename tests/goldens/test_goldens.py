"""Searches must find what version 0.1.0 found: the same architectures in the same order.

A golden, `NAME.json`, is the search `stub.SEARCHES[NAME]` as 0.1.0 (commit dd136e2) ran it with
`search.loop.run_search` in one process on an evaluator that scores as `stub.py` does, which
`golden_search.py` does with today's code. It holds

  versions: of what ran it. Predictions depend on that of jaxlib.
  settings: a copy of the line of `stub.SEARCHES`.
  outcome: the winner, the mean of its confirming trainings, the test accuracy of the first of
    them, the incumbent after each evaluation, counts, and the numbers of the Pareto front.
  evaluations: in the order of their recording. `purpose` tells the phases apart: search (first
    explored), resume (an early-stopped one that went on; it has the number of the stopped one),
    confirm. `predicted` is None where an architecture was drawn at random.

Randomness of a round comes from `default_rng([seed, round_index])`, the seed of a training from
`crc32(f"{seed}/{space.key(genotype)}") >> 1`, that of the k-th confirming training is k more.

What was explored is compared apart from what was confirmed: a rule that chooses other finalists
changes the second alone. 0.2.0 chooses them by posterior mean; `confirmed_0_2.json` holds, of the
searches where that gives others, the confirming trainings and the outcome, as
`golden_search.py NAME...` prints them. A golden is never made anew where a difference is not
explained in the CHANGELOG.
"""

import functools
import importlib.metadata
import json
import math
import pathlib
from typing import Any

import pytest
import stub
from golden_search import run_golden

FOLDER = pathlib.Path(__file__).parent
SEARCHES = sorted(stub.SEARCHES)
CONFIRMED_0_2 = json.loads((FOLDER / "confirmed_0_2.json").read_text())
_TOLERANCE = 1e-4  # of predictions, in standard deviations of the scores


def golden(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


@functools.cache
def run(name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    return run_golden(stub.SEARCHES[name])


def explored(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if row["purpose"] != "confirm"]


def comparable(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the rows that must be the same here: another jaxlib predicts otherwise."""
    wanted = golden(name)
    if wanted["versions"]["jaxlib"] == importlib.metadata.version("jaxlib"):
        return rows
    predicting = [r["round_index"] for r in wanted["evaluations"] if r["predicted"] is not None]
    first = min(predicting, default=stub.BUDGET)
    return [r for r in rows if r["purpose"] == "search" and r["round_index"] < first]


def without_prediction(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "predicted": None} for row in rows]


def predictions(rows: list[dict[str, Any]]) -> list[float]:
    return [math.nan if row["predicted"] is None else row["predicted"] for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_explores_what_0_1_0_explored(name: str) -> None:
    found, wanted = explored(run(name)[0]), explored(golden(name)["evaluations"])
    assert without_prediction(comparable(name, found)) == without_prediction(
        comparable(name, wanted)
    )


@pytest.mark.slow  # the first of a process compiles for all
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_predicts_what_0_1_0_predicted(name: str) -> None:
    found = predictions(comparable(name, explored(run(name)[0])))
    wanted = predictions(comparable(name, explored(golden(name)["evaluations"])))
    assert found == pytest.approx(wanted, abs=_TOLERANCE, rel=0, nan_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_confirms_and_finds_what_it_did(name: str) -> None:
    rows, outcome = run(name)
    wanted = golden(name)
    confirmed = CONFIRMED_0_2.get(name, {"outcome": wanted["outcome"]})
    trainings = confirmed.get("evaluations", wanted["evaluations"])
    if comparable(name, wanted["evaluations"]) == wanted["evaluations"]:
        assert rows[len(explored(rows)) :] == [r for r in trainings if r["purpose"] == "confirm"]
        assert outcome == confirmed["outcome"]
    assert len(rows) == len(wanted["evaluations"])


def test_only_searches_with_a_surrogate_confirm_others_than_0_1_0_did() -> None:
    changed = {stub.SEARCHES[name].optimizer for name in CONFIRMED_0_2}
    assert changed <= {"nao", "xfer_nao", "bananas", "xfer_bananas"}
    for name, confirmed in CONFIRMED_0_2.items():
        curves = [
            confirmed["outcome"]["incumbent_curve"],
            golden(name)["outcome"]["incumbent_curve"],
        ]
        assert curves[0] == curves[1]


@pytest.mark.parametrize("name", SEARCHES)
def test_a_golden_holds_the_numbers_of_the_stub(name: str) -> None:
    recorded = golden(name)
    assert recorded["settings"] == vars(stub.SEARCHES[name])
    for row in recorded["evaluations"]:
        tokens, seed = tuple(row["tokens"]), row["seed"]
        curve = stub.curve(tokens, seed)
        assert tuple(row["curve"]) == curve[: len(row["curve"])]
        complete = row["status"] == "complete"
        assert row["valid_accuracy"] == (stub.score(tokens, seed) if complete else None)
        costs = stub.costs(tokens)
        assert (row["num_params"], row["costs"]["latency_ms"]) == tuple(costs.values())
