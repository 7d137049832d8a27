import copy
from typing import Any

import pytest

from xfernas_jax.errors import StudyError
from xfernas_jax.search.result import read_result

GENOTYPE = {"ops": []}
TODAY: dict[str, Any] = {
    "study": "s",
    "metric": "log_loss",
    "num_evaluations": 2,
    "num_confirmations": 4,
    "best_genotype": GENOTYPE,
    "best_value": 0.5,
    "test_value": None,
    "finalists": [{"genotype": GENOTYPE, "values": [0.5, 0.75], "mean": 0.625}],
    "selection_bias": 0.01,
    "num_params": 10,
    "seconds": 3.0,
    "epochs_trained": 4,
    "epochs_saved": 0,
    "incumbent_curve": [None, 0.5],
    "variables": "a-1",
    "sources": ["m"],
    "devices_per_evaluation": 1,
    "dataset_flag": "digits",
    "data_dir": None,
    "costs": {"params": 10.0},
    "references": [{"name": "a", "value": 0.5, "final_value": None, "is_best": False}],
    "front": [{"evaluation": 1, "value": 0.5, "costs": {"params": 10.0}, "genotype": GENOTYPE}],
    "relations": None,
    "num_valid": 100,
    "member_values": [0.5, 0.25],
    "test_part": None,
}
EARLIER: dict[str, Any] = {  # as 0.1.0 wrote it
    "study": "s",
    "metric": "accuracy",
    "num_evaluations": 3,
    "num_confirmations": 2,
    "best_genotype": GENOTYPE,
    "best_valid_accuracy": 0.75,
    "test_accuracy": 0.625,
    "num_params": 10,
    "seconds": 3.0,
    "sources": [],
    "incumbent_curve": [0.0, 0.5, 0.75],
    "costs": {"flops": 7.0},
    "front": [{"evaluation": 1, "valid_accuracy": 0.5, "costs": {}, "genotype": GENOTYPE}],
}


def test_a_result_of_today_is_read_as_it_is() -> None:
    assert read_result(TODAY, "Study 's'") == TODAY


def test_a_result_of_the_first_version_has_todays_names() -> None:
    found = read_result(EARLIER, "Study 's'")
    assert (found["best_value"], found["test_value"]) == (0.75, 0.625)
    assert found["costs"] == {"params": 10, "flops": 7.0}
    assert found["front"][0]["value"] == 0.5
    assert (found["finalists"], found["selection_bias"]) == ([], None)


def test_zero_for_no_incumbent_becomes_none() -> None:
    assert read_result(EARLIER, "s")["incumbent_curve"] == [None, 0.5, 0.75]


def test_zero_parameters_become_none_known() -> None:
    score = {**EARLIER, "metric": "score", "num_params": 0, "test_accuracy": None, "costs": {}}
    found = read_result(score, "s")
    assert (found["num_params"], found["costs"]) == (None, {})


def test_a_score_of_zero_stays_an_incumbent() -> None:
    score = {**EARLIER, "metric": "score", "incumbent_curve": [None, 0.0]}
    assert read_result(score, "s")["incumbent_curve"] == [None, 0.0]


@pytest.mark.parametrize(
    ("result", "field", "value"),
    [
        *((TODAY, field, object()) for field in TODAY),
        (TODAY, "num_evaluations", True),
        (TODAY, "best_value", float("nan")),
        (TODAY, "incumbent_curve", ["x"]),
        (TODAY, "sources", [1]),
        (TODAY, "costs", {"params": "x"}),
        (TODAY, "front", [{}]),
        (TODAY, "finalists", [{"genotype": {}, "values": [], "mean": 0.5}]),
        (TODAY, "relations", {"names": ["x"]}),
        (TODAY, "test_part", {"num_images": 3}),
        (TODAY, "member_values", ["0.5"]),
        (EARLIER, "best_valid_accuracy", None),
        (EARLIER, "costs", 7),
        (EARLIER, "front", [7]),
        (EARLIER, "incumbent_curve", None),
    ],
)
def test_damage_is_one_line(result: dict[str, Any], field: str, value: Any) -> None:
    with pytest.raises(StudyError, match="Study 's': its recorded result is damaged"):
        read_result({**copy.deepcopy(result), field: value}, "Study 's'")


@pytest.mark.parametrize("value", [None, [], "x", {}])
def test_what_is_no_result_is_damage(value: Any) -> None:
    with pytest.raises(StudyError, match="damaged"):
        read_result(value, "Study 's'")
