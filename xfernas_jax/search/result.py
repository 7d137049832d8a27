"""The result of a search as it is recorded: a JSON object, checked when it is read again."""

import math
from collections.abc import Mapping
from typing import Any

from xfernas_jax.errors import HistoryError, StudyError
from xfernas_jax.predictor.explain import TaskRelations

_KINDS: Mapping[str, tuple[type, ...]] = {
    "study": (str,),
    "metric": (str,),
    "num_evaluations": (int,),
    "num_confirmations": (int,),
    "best_genotype": (dict,),
    "best_value": (float,),
    "test_value": (float, type(None)),
    "finalists": (list,),
    "selection_bias": (float, type(None)),
    "num_params": (int, type(None)),
    "seconds": (int, float),
    "epochs_trained": (int,),
    "epochs_saved": (int,),
    "incumbent_curve": (list,),
    "variables": (str,),
    "sources": (list,),
    "devices_per_evaluation": (int,),
    "dataset_flag": (str,),
    "data_dir": (str, type(None)),
    "costs": (dict,),
    "front": (list,),
    "references": (list,),
    "test_part": (dict, type(None)),
    "num_valid": (int, type(None)),
    "member_values": (list,),
}
_TEST_KINDS: Mapping[str, tuple[type, ...]] = {
    "num_images": (int,),
    "low": (float, type(None)),
    "high": (float, type(None)),
    "majority_class": (str,),
    "majority_share": (float,),
    "num_in_train": (int, type(None)),
}
_REFERENCE_KINDS: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "value": (float, type(None)),
    "final_value": (float, type(None)),
    "is_best": (bool,),
}
_FRONT_KINDS: Mapping[str, tuple[type, ...]] = {
    "evaluation": (int,),
    "value": (float,),
    "costs": (dict,),
    "genotype": (dict,),
}
_FINALIST_KINDS: Mapping[str, tuple[type, ...]] = {
    "genotype": (dict,),
    "values": (list,),
    "mean": (float, type(None)),
}
_LATE_FIELDS: Mapping[str, Any] = {  # that versions before 0.2 did not write, or not at first
    "metric": "accuracy",
    "finalists": [],
    "selection_bias": None,
    "epochs_trained": 0,
    "epochs_saved": 0,
    "variables": "",
    "devices_per_evaluation": 1,
    "dataset_flag": "",
    "data_dir": None,
    "costs": {},
    "front": [],
    "references": [],
    "relations": None,
    "test_part": None,
    "num_valid": None,
    "member_values": [],
}


def read_result(value: Any, where: str) -> dict[str, Any]:
    """Checks the recorded result of a finished search and brings one of 0.1.0 to today's form.

    Args:
      value: what `Storage.result` gave.
      where: whose it is, for the message.

    Raises:
      StudyError: it was damaged since.
    """
    result = _upgraded(value) if isinstance(value, dict) else None
    if result is None or not _is_whole(result):
        raise StudyError(
            f"{where}: its recorded result is damaged; choose another --study to search anew."
        )
    return result


def _upgraded(value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of today; what is no result at all comes out as none."""
    result = {**_LATE_FIELDS, **value}
    if "best_value" in result:
        return result
    result["best_value"] = result.get("best_valid_accuracy")
    result["test_value"] = result.get("test_accuracy")
    result["num_params"] = num_params = result.get("num_params") or None
    if num_params is not None and isinstance(result["costs"], dict):
        result["costs"] = {"params": num_params, **result["costs"]}
    curve, front = result.get("incumbent_curve"), result["front"]
    if isinstance(curve, list) and result["metric"] == "accuracy":
        known = next((i for i, best in enumerate(curve) if best != 0.0), len(curve))
        result["incumbent_curve"] = [None] * known + curve[known:]  # 0 stood for none yet
    if isinstance(front, list):
        rows = (row if isinstance(row, dict) else {} for row in front)
        result["front"] = [{**row, "value": row.get("valid_accuracy")} for row in rows]
    return result


def _is_whole(result: Mapping[str, Any]) -> bool:
    return (
        _has_fields(result, _KINDS)
        and all(isinstance(source, str) for source in result["sources"])
        and all(value is None or _is_value(value) for value in result["incumbent_curve"])
        and all(map(_is_number, result["costs"].values()))
        and all(map(_is_value, result["member_values"]))
        and all(map(_is_front_row, result["front"]))
        and all(map(_is_finalist, result["finalists"]))
        and all(_has_fields(row, _REFERENCE_KINDS) for row in result["references"])
        and _are_relations(result["relations"])
        and (result["num_valid"] is None or result["num_valid"] > 0)
        and (result["test_part"] is None or _has_fields(result["test_part"], _TEST_KINDS))
    )


def _is_front_row(value: Any) -> bool:
    return _has_fields(value, _FRONT_KINDS) and all(map(_is_number, value["costs"].values()))


def _is_finalist(value: Any) -> bool:
    return (
        _has_fields(value, _FINALIST_KINDS)
        and all(map(_is_value, value["values"]))
        and (value["mean"] is None) == (not value["values"])
    )


def _are_relations(value: Any) -> bool:
    try:
        return value is None or bool(TaskRelations.from_json(value))
    except HistoryError:
        return False


def _has_fields(value: Any, kinds: Mapping[str, tuple[type, ...]]) -> bool:
    """Tells whether a value is an object with fields of these very types, numbers finite."""
    return isinstance(value, dict) and all(
        name in value
        and type(value[name]) in types
        and (type(value[name]) is not float or math.isfinite(value[name]))
        for name, types in kinds.items()
    )


def _is_value(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
