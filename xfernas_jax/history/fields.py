"""Strict fields of JSON objects; each message says where, which field and its rule."""

from collections.abc import Mapping
from typing import Any

from xfernas_jax.errors import HistoryError

_LARGEST_INT = 2**63 - 1  # of the databases


def check_fields(value: Any, fields: frozenset[str], where: str, what: str) -> None:
    """Raises `HistoryError` unless `value` is an object of exactly these fields."""
    check_object(value, what, where)
    missing, unknown = sorted(fields - value.keys()), sorted(value.keys() - fields)
    if missing or unknown:
        raise HistoryError(
            f"{where}: {what} has exactly the fields {', '.join(sorted(fields))}. "
            f"Missing: {missing}, unknown: {unknown!r:.120}."
        )


def check_object(value: Any, field: str, where: str) -> None:
    """Raises `HistoryError` unless `value` is an object."""
    if not isinstance(value, dict):
        raise HistoryError(f"{where}: {field} is a JSON object. Got {value!r:.60}.")


def string(value: Any, field: str, where: str) -> str:
    """Returns a text of any characters."""
    if not isinstance(value, str):
        raise HistoryError(f"{where}: {field} is text. Got {value!r:.60}.")
    return value


def line(value: Mapping[str, Any], field: str, where: str) -> str:
    """Returns a text that a message and a terminal can show."""
    text = string(value[field], field, where)
    if not text.isprintable():
        raise HistoryError(f"{where}: {field} is printable text in one line. Got {text!r:.60}.")
    return text


def one_of(known: tuple[Any, ...], value: Any, field: str, where: str) -> Any:
    """Returns a value that is one of `known`."""
    if value not in known:
        raise HistoryError(f"{where}: {field} is one of {', '.join(known)}. Got {value!r:.60}.")
    return value


def integer(value: Mapping[str, Any], field: str, where: str) -> int:
    """Returns an integer that a database can hold, not negative."""
    number = value[field]
    if type(number) is not int or not 0 <= number <= _LARGEST_INT:
        raise HistoryError(f"{where}: {field} is an integer from 0 to 2^63-1. Got {number!r:.60}.")
    return number


def boolean(value: Mapping[str, Any], field: str, where: str) -> bool:
    """Returns true or false."""
    if type(value[field]) is not bool:
        raise HistoryError(f"{where}: {field} is true or false. Got {value[field]!r:.60}.")
    return value[field]


def number(value: Any, field: str, where: str) -> float:
    """Returns a finite number."""
    if type(value) not in (int, float) or not abs(value) <= 1e300:
        raise HistoryError(f"{where}: {field} is a number. Got {str(value)!r:.60}.")
    return float(value)


def number_or_none(value: Mapping[str, Any], field: str, where: str) -> float | None:
    """Returns a finite number, or None for null."""
    return None if value[field] is None else number(value[field], field, where)


def texts(value: Any, field: str, where: str) -> tuple[tuple[str, str], ...]:
    """Returns the pairs of an object of texts, in its order."""
    check_object(value, field, where)
    return tuple((name, string(text, field, where)) for name, text in value.items())


def numbers(value: Any, field: str, where: str) -> tuple[tuple[str, float], ...]:
    """Returns the pairs of an object of numbers, in its order."""
    check_object(value, field, where)
    return tuple((name, number(item, field, where)) for name, item in value.items())
