import dataclasses

import hypothesis.strategies as st
import pytest
from hypothesis import given
from report_cases import (
    CELLS,
    SPACE,
    finished_study,
    make_evaluation,
    make_spec,
    make_study,
    score_study,
    study_of,
)

from xfernas_jax.history.metric import Metric
from xfernas_jax.history.record import Task
from xfernas_jax.report.study import cost_names, pareto_set

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def test_the_incumbent_counts_what_failed_and_the_devices() -> None:
    study = make_study([0.5, None, 0.4, 0.75])
    study = dataclasses.replace(study, result={"devices_per_evaluation": 3})
    found = [(s.evaluations, s.device_seconds, s.value) for s in study.incumbent()]
    # 1.5 s of wall time each, on 3 devices
    assert found == [(1, 4.5, 0.5), (2, 9.0, 0.5), (3, 13.5, 0.5), (4, 18.0, 0.75)]


def test_there_is_no_incumbent_before_the_first_value() -> None:
    assert [step.value for step in make_study([None, None, 0.5]).incumbent()] == [None, None, 0.5]


def test_confirmations_are_not_in_the_curve_and_a_result_is_of_them() -> None:
    study = finished_study()
    assert len(study.incumbent()) == 8
    assert study.confirmed(study.searched[6].key) == [0.85, 0.9]


def test_evaluations_count_in_the_order_of_suggestion() -> None:
    study = make_study([0.5, 0.6, 0.7])
    mixed = dataclasses.replace(study, evaluations=study.evaluations[::-1])
    assert mixed.incumbent() == study.incumbent()


def test_a_resumed_evaluation_counts_once_and_where_it_ended() -> None:
    whole = make_evaluation(1, 0.9, purpose="resume", seconds=4.0)  # seconds of both parts
    stopped = make_evaluation(1, None, status="stopped", curve=(0.4,))
    search = (make_evaluation(0, 0.5), stopped, make_evaluation(2, 0.6))
    study = study_of(*search, whole)
    assert [e.value for e in study.searched] == [0.5, 0.9, 0.6]
    found = [(s.evaluations, s.device_seconds, s.value) for s in study.incumbent()]
    # three trainings of 1.5 s, then the 4.0 - 1.5 = 2.5 s that the resumed one took more
    assert found == [(1, 1.5, 0.5), (2, 3.0, 0.5), (3, 4.5, 0.6), (3, 7.0, 0.9)]
    assert found[-1][1] == sum(e.seconds for e in study.searched)


def test_a_resumed_part_that_broke_leaves_the_stopped_evaluation() -> None:
    stopped = make_evaluation(0, None, status="stopped", curve=(0.4,))
    broken = make_evaluation(0, None, purpose="resume", status="broken", failure="out of memory")
    assert study_of(stopped, broken).searched == (stopped,)


def test_what_is_over_a_limit_or_unknown_is_no_incumbent() -> None:
    goal = {"limits": {"flops": 10.0}, "pareto": "latency_ms"}
    known = (("flops", 10.0), ("latency_ms", 1.0))
    costs = [(("flops", 11.0), ("latency_ms", 1.0)), (("flops", 9.0),), known]
    values = [0.9, 0.8, 0.7]
    evaluations = [make_evaluation(i, v, costs=costs[i]) for i, v in enumerate(values)]
    study = study_of(*evaluations, spec=make_spec(goal=goal))
    assert [step.value for step in study.incumbent()] == [None, None, 0.7]


def test_the_smallest_value_is_the_incumbent_where_smaller_is_better() -> None:
    loss = Metric("log_loss", "log loss", "nats", 0.0, None, False)
    spec = dataclasses.replace(make_spec(), task=Task("digits", "by index", 10, loss))
    study = study_of(*(make_evaluation(i, v) for i, v in enumerate((2.0, 0.5, 1.5))), spec=spec)
    assert [step.value for step in study.incumbent()] == [2.0, 0.5, 0.5]
    assert [e.number for e in study.best(2)] == [1, 2]
    assert study.value_label == "validation log loss (nats)"


def test_the_winner_comes_first_then_the_best_of_the_search_each_once() -> None:
    study = finished_study()
    assert study.result is not None
    winner = {**study.result, "best_genotype": SPACE.to_json(CELLS[1])}
    best = dataclasses.replace(study, result=winner).best(3)
    assert [e.number for e in best] == [1, 6, 4]
    assert [e.number for e in dataclasses.replace(study, result=None).best(2)] == [6, 4]


@given(POINTS)
def test_the_pareto_set_is_what_no_other_point_beats(points: list[tuple[int, int]]) -> None:
    costs, values = [float(c) for c, _ in points], [float(v) for _, v in points]
    beaten = [
        any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points)
        for cost, value in points
    ]
    assert pareto_set(costs, values) == [not is_beaten for is_beaten in beaten]


def test_costs_name_parameters_first() -> None:
    costs = (("latency_ms", 2.0), ("flops", 7.0), ("params", 100.0))
    evaluation = make_evaluation(0, 0.5, costs=costs)
    assert cost_names([evaluation]) == ("params", "flops", "latency_ms")
    assert cost_names([make_evaluation(0, 0.5, costs=())]) == ()


def test_values_are_named_and_shown_by_their_metric() -> None:
    score = score_study([-12.5])
    assert (score.shown(-12.5), score.value_label) == (-12.5, "score")
    accuracy = make_study([0.5])
    assert (accuracy.shown(0.5), accuracy.value_label) == (50.0, "validation accuracy (%)")


def test_a_round_is_what_was_suggested_knowing_the_same() -> None:
    evaluations = [make_evaluation(i, 0.5, after=after) for i, after in enumerate((0, 0, 7, 9))]
    confirmed = make_evaluation(0, 0.5, purpose="confirm")
    study = study_of(*evaluations, confirmed)
    assert [study.round_of(e) for e in study.evaluations] == [1, 1, 2, 3, None]


@pytest.mark.parametrize("devices", [0, -1, True, "2", None, 1.5])
def test_a_damaged_number_of_devices_is_1(devices: object) -> None:
    study = dataclasses.replace(make_study([0.5]), result={"devices_per_evaluation": devices})
    assert study.devices == 1
