import dataclasses
import pickle
from typing import Any

import numpy as np
import pytest
from search_toy import SPACE, Toy, distinct_cells, evaluated, explored, search

from xfernas_jax.errors import FlagError
from xfernas_jax.history.memory import MemoryRecord
from xfernas_jax.history.metric import SCORE
from xfernas_jax.history.record import Evaluation, Job, Result
from xfernas_jax.search.early_stop import EarlyStop, Stopper, make_early_stop
from xfernas_jax.search.plan import SearchPlan
from xfernas_jax.search.seen import Seen

EPOCHS = 8


CELLS = distinct_cells(6)


def curved(number: int, curve: tuple[float, ...], epochs: int = EPOCHS) -> Evaluation:
    return evaluated(CELLS[number], curve_result(curve, epochs), number)


def curve_result(curve: tuple[float, ...], epochs: int = EPOCHS, seconds: float = 0.0) -> Result:
    if len(curve) == epochs:
        return Result("complete", curve[-1], curve, seconds=seconds)
    return Result("stopped", None, curve, seconds=seconds)


def flat(*levels: float) -> list[Evaluation]:
    return [curved(i, (level,) * EPOCHS) for i, level in enumerate(levels)]


def stopper(rule: str, evaluations: list[Evaluation]) -> Stopper:
    early_stop = make_early_stop(rule, EPOCHS)
    assert early_stop is not None
    found = early_stop.stopper(evaluations)
    assert found is not None
    return found


def test_the_median_rule_stops_below_the_median_beyond_the_first_quarter() -> None:
    stops = stopper("median", flat(0.1, 0.2, 0.3, 0.4))
    assert [k for k in range(1, EPOCHS + 1) if stops((0.15,) * k)] == [3, 4, 5, 6, 7]
    assert not any(stops((0.25,) * k) for k in range(1, EPOCHS + 1))
    assert not stops((0.5, 0.0, 0.0, 0.0))  # curves jump; the best so far counts


def test_asha_asks_at_epochs_that_double() -> None:
    stops = stopper("asha", flat(0.1, 0.2, 0.3, 0.4))
    assert [k for k in range(1, EPOCHS + 1) if stops((0.0,) * k)] == [3, 6]


def test_who_was_stopped_before_counts_as_worse() -> None:
    mixed = [*flat(0.1, 0.1, 0.3, 0.4), *(curved(i, (0.9,) * 3) for i in range(4, 6))]
    assert stopper("median", mixed)((0.25,) * 3)  # 4 of 6 lie above
    assert not stopper("median", mixed)((0.25,) * 4)  # 2 of 6: two ended before


def test_nothing_is_stopped_before_enough_are_complete() -> None:
    rule = make_early_stop("median", EPOCHS)
    assert rule is not None
    few = [*flat(0.1, 0.2, 0.3), curved(3, (0.5,) * 3)]
    assert rule.stopper(few) is None
    assert rule.stopper(flat(0.1, 0.2, 0.3, 0.4), num_needed=5) is None
    assert rule.stopper(flat(0.1, 0.2, 0.3, 0.4)) is not None


def test_sources_teach_how_far_behind_the_best_may_lie() -> None:
    # The one best of five is last after epoch 2 and first after epoch 3.
    late = [(0.1, 0.1, 0.9, 0.9), *((level,) * 4 for level in (0.2, 0.3, 0.4, 0.5))]
    rule = make_early_stop("median", 4, [late, [(0.5,) * 7] * 5])  # the second has other epochs
    assert rule == EarlyStop(4, (1.0, 0.8, 0.0))
    assert make_early_stop("median", 4, [late[:3]]) == make_early_stop("median", 4)


def test_a_stopper_is_a_value_that_workers_can_get() -> None:
    stops = stopper("asha", flat(0.1, 0.2, 0.3, 0.4))
    assert pickle.loads(pickle.dumps(stops)) == stops


def test_an_unknown_rule_is_refused_by_name() -> None:
    assert make_early_stop("none", EPOCHS) is None
    with pytest.raises(FlagError, match="--early_stop=mean"):
        make_early_stop("mean", EPOCHS)


def test_a_metric_that_is_minimised_stops_what_lies_above() -> None:
    loss = dataclasses.replace(SCORE, name="loss", maximize=False)
    rule = make_early_stop("median", EPOCHS, metric=loss)
    assert rule is not None
    stops = rule.stopper(flat(0.1, 0.2, 0.3, 0.4))
    assert stops is not None
    assert stops((0.35,) * 3)
    assert not stops((0.25,) * 3)


def test_the_predictor_sees_no_partial_value() -> None:
    failed = evaluated(CELLS[2], Result("failed", curve=(0.3,), failure="diverged"))
    found = (curved(0, (0.1, 0.1, 0.5), 3), curved(1, (0.2, 0.9), 3), failed)
    seen = Seen(SPACE, evaluations=found)
    assert seen.history().scores.tolist() == [0.5, 0.5]  # the failed one has the worst
    assert seen.complete == [found[0]]


def test_a_stopped_architecture_is_not_suggested_again() -> None:
    seen = Seen(SPACE, evaluations=(curved(0, (0.5,), 3),))
    assert seen.history().scores.shape == (0,)
    assert not seen.batch().add_tokens(np.array(SPACE.encode(CELLS[0])))


class Curves(Toy):
    """Curves of noisy networks by genotype; dies like a killed process after `limit` calls."""

    def evaluate(self, job: Job, on_epoch: Any = None, stop: Any = None) -> Any:
        rng = np.random.default_rng(job.seed)
        final, noise = rng.random(), rng.normal(size=EPOCHS) * np.linspace(0.3, 0, EPOCHS)
        curve = tuple(float(x) for x in np.clip(0.3 + 0.4 * final + noise, 0, 1))
        epoch = EPOCHS
        if stop is not None:
            epoch = next((k for k in range(1, EPOCHS) if stop(curve[:k])), EPOCHS)
        self.score = lambda job: curve_result(curve[:epoch], seconds=float(epoch))
        return super().evaluate(job)


def stopping_search(toy: Curves, record: MemoryRecord, budget: int = 24) -> Any:
    rule = make_early_stop("median", EPOCHS)
    plan = SearchPlan(budget, 4, 3, 1)
    outcome = search("evolution", toy, record, plan, early_stop=rule)
    return outcome, record.evaluations()


def test_a_killed_search_that_stops_early_ends_as_an_unbroken_one() -> None:
    whole, recorded = stopping_search(Curves(), MemoryRecord())
    purposes = [e.purpose for e in recorded]
    assert {e.status for e in recorded} == {"complete", "stopped"}
    assert purposes.count("resume") >= 1  # else this test would not see the last part
    for limit in (14, purposes.index("resume") + 1):
        record, rest = MemoryRecord(), Curves()
        with pytest.raises(KeyboardInterrupt):
            stopping_search(Curves(limit=limit), record)
        outcome, again = stopping_search(rest, record)
        assert (outcome, [e for e in again if e.purpose != "test"]) == (whole, list(recorded))
        assert rest.calls >= len(recorded) - limit


def test_stopped_evaluations_win_nothing_and_are_counted() -> None:
    outcome, recorded = stopping_search(Curves(), MemoryRecord())
    searched = {e.key: e for e in recorded if e.purpose != "confirm"}
    assert outcome.num_evaluations == len(searched) == 24
    stopped = {key for key, e in searched.items() if e.status == "stopped"}
    confirmed = [e.key for e in recorded if e.purpose == "confirm"]
    assert stopped
    assert len(confirmed) == 3
    assert not stopped & set(confirmed)
    saved = sum(EPOCHS - len(e.curve) for e in searched.values())
    assert outcome.epochs_saved == saved
    assert outcome.epochs_trained == 24 * EPOCHS - saved
    assert outcome.incumbent_curve[-1] == max(e.value or 0.0 for e in searched.values())
    assert all(e.status == "complete" for e in searched.values() if e.job.after == 0)


def test_a_larger_budget_goes_on_as_if_it_had_been_given_first() -> None:
    at_once, in_two = MemoryRecord(), MemoryRecord()
    stopping_search(Curves(), at_once)
    stopping_search(Curves(), in_two, budget=16)
    stopping_search(Curves(), in_two)
    assert explored(at_once) == explored(in_two)
