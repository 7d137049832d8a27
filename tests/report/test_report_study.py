import dataclasses

import hypothesis.strategies as st
import pytest
from hypothesis import given
from report_cases import CELLS, SPACE, finished_study, make_evaluation, make_spec, make_study

from xfernas_jax.history.goal import Goal, costs_of
from xfernas_jax.report.study import StudyRecord, cost_names, pareto_set
from xfernas_jax.search.loop import incumbent_curve

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
    assert study.confirmed(SPACE, study.searched[6]) == [0.85, 0.9]


def test_evaluations_count_in_the_order_of_suggestion() -> None:
    study = make_study([0.5, 0.6, 0.7])
    mixed = dataclasses.replace(study, evaluations=study.evaluations[::-1])
    assert mixed.incumbent() == study.incumbent()


def test_a_resumed_evaluation_counts_once_and_where_it_ended() -> None:
    whole = make_evaluation(1, 0.9, purpose="resume", seconds=4.0)  # seconds of both parts
    stopped = make_evaluation(1, 0.9, status="stopped", valid_accuracy=None, curve=(0.4,))
    search = (make_evaluation(0, 0.5), stopped, make_evaluation(2, 0.6))
    study = StudyRecord(make_spec(), (*search, whole))
    assert [e.valid_accuracy for e in study.searched] == [0.5, 0.9, 0.6]
    found = [(s.evaluations, s.device_seconds, s.value) for s in study.incumbent()]
    # three trainings of 1.5 s, then the 4.0 - 1.5 = 2.5 s that the resumed one took more
    assert found == [(1, 1.5, 0.5), (2, 3.0, 0.5), (3, 4.5, 0.6), (3, 7.0, 0.9)]
    assert found[-1][1] == sum(e.seconds for e in study.searched)


def test_what_is_over_a_limit_or_unknown_is_no_incumbent() -> None:
    goal = {"limits": {"flops": 10.0}, "pareto": "latency_ms"}
    known = (("flops", 10.0), ("latency_ms", 1.0))
    costs = [(("flops", 11.0), ("latency_ms", 1.0)), (("flops", 9.0),), known]
    values = [0.9, 0.8, 0.7]
    study = StudyRecord(
        make_spec(goal=goal),
        tuple(make_evaluation(i, v, costs=costs[i]) for i, v in enumerate(values)),
    )
    assert [step.value for step in study.incumbent()] == [None, None, 0.7]


COSTS = st.dictionaries(st.sampled_from(["flops", "latency_ms"]), st.sampled_from([1.0, 2.0, 3.0]))


@given(st.lists(st.tuples(st.integers(0, 4), COSTS), max_size=6), COSTS, st.booleans())
def test_the_incumbent_is_that_of_the_search(
    rows: list[tuple[int, dict[str, float]]], limits: dict[str, float], is_traded: bool
) -> None:
    goal = Goal(tuple(limits.items()), "flops" if is_traded else "")
    evaluations = tuple(
        make_evaluation(i, value / 4 if value else None, costs=tuple(costs.items()))
        for i, (value, costs) in enumerate(rows)
    )
    config = {"goal": {"limits": dict(goal.limits), "pareto": goal.pareto}}
    study = StudyRecord(make_spec(**config), evaluations)
    found = tuple(step.value or 0.0 for step in study.incumbent())
    assert found == incumbent_curve(evaluations, goal)


def test_the_winner_comes_first_then_the_best_of_the_search_each_once() -> None:
    study = finished_study()
    assert study.result is not None
    winner = {**study.result, "best_genotype": SPACE.to_json(CELLS[1])}
    best = dataclasses.replace(study, result=winner).best(SPACE, 3)
    assert [e.number for e in best] == [1, 6, 4]
    assert [e.number for e in dataclasses.replace(study, result=None).best(SPACE, 2)] == [6, 4]


@given(POINTS)
def test_the_pareto_set_is_what_no_other_point_beats(points: list[tuple[int, int]]) -> None:
    costs, values = [float(c) for c, _ in points], [float(v) for _, v in points]
    beaten = [
        any(c <= cost and v >= value and (c, v) != (cost, value) for c, v in points)
        for cost, value in points
    ]
    assert pareto_set(costs, values) == [not is_beaten for is_beaten in beaten]


def test_costs_name_parameters_first() -> None:
    evaluation = make_evaluation(0, 0.5, costs=(("latency_ms", 2.0), ("flops", 7.0)))
    assert cost_names([evaluation]) == ("params", "flops", "latency_ms")
    assert costs_of(evaluation) == {"params": 100.0, "flops": 7.0, "latency_ms": 2.0}
    assert cost_names([make_evaluation(0, 0.5, num_params=0)]) == ()


def test_scores_of_a_users_own_are_shown_as_they_are() -> None:
    score = make_evaluation(0, 0.5, metric="score", valid_accuracy=-12.5, curve=(-12.5,))
    unit = StudyRecord(make_spec(), (score,)).unit
    assert (unit.shown(-12.5), unit.label, unit.text(-12.5)) == (-12.5, "score", "-12.5")
    unit = make_study([0.5]).unit
    assert (unit.shown(0.5), unit.label, unit.text(0.5)) == (
        50.0,
        "validation accuracy (%)",
        "50.00 %",
    )


@pytest.mark.parametrize("devices", [0, -1, True, "2", None, 1.5])
def test_a_damaged_number_of_devices_is_1(devices: object) -> None:
    study = dataclasses.replace(make_study([0.5]), result={"devices_per_evaluation": devices})
    assert study.devices == 1
