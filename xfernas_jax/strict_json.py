"""JSON as data files hold it: what is read here, later code can rely on."""

import itertools
import json
import math
from typing import Any

_MOST_LEVELS = 100  # far below Python's limit, so that every value can be shown and written again


def parse_json(text: str | bytes) -> Any:
    """Reads one JSON value: no NaN, no number beyond float, no name twice, at most 100 levels.

    Raises:
      ValueError: the text breaks a rule; `json.JSONDecodeError` where it is no JSON at all.
    """
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            object_pairs_hook=_unique_object,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _is_too_deep(value):
        raise ValueError("nested too deeply")
    return value


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MOST_LEVELS + 1):
        nested = [item for item in level if isinstance(item, dict | list)]
        if not nested:
            return False
        children = (item.values() if isinstance(item, dict) else item for item in nested)
        level = list(itertools.chain.from_iterable(children))
    return True


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not allowed")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"number {text:.40} is too large")
    return value


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))
        raise ValueError(f"name {twice!r:.60} stands twice in one object")
    return value
