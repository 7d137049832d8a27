"""Strict fields of JSON objects; each message says where, which field and its rule."""

from collections.abc import Callable, Mapping
from typing import Any

from xfernas_jax.errors import HistoryError

Reader = Callable[[Any, str, str], Any]
"""Returns the value of a field: takes what stands there, the field's name and where that is."""

_LARGEST_INT = 2**63 - 1  # of the databases


def read(value: Any, readers: Mapping[str, Reader], where: str, what: str) -> dict[str, Any]:
    """Returns the fields of an object, each by its reader; `HistoryError` for other fields."""
    check_fields(value, frozenset(readers), where, what)
    return {field: reader(value[field], field, where) for field, reader in readers.items()}


def check_fields(value: Any, fields: frozenset[str], where: str, what: str) -> None:
    """Raises `HistoryError` unless `value` is an object of exactly these fields."""
    check_object(value, what, where)
    missing, unknown = sorted(fields - value.keys()), sorted(value.keys() - fields)
    if missing or unknown:
        raise HistoryError(
            f"{where}: {what} has exactly the fields {', '.join(sorted(fields))}. "
            f"Missing: {missing}, unknown: {unknown!r:.120}."
        )


def check_object(value: Any, field: str, where: str) -> dict[str, Any]:
    """Returns an object; `HistoryError` for another value."""
    if not isinstance(value, dict):
        raise HistoryError(f"{where}: {field} is a JSON object. Got {value!r:.60}.")
    return value


def string(value: Any, field: str, where: str) -> str:
    """Returns a text of any characters."""
    if not isinstance(value, str):
        raise HistoryError(f"{where}: {field} is text. Got {value!r:.60}.")
    return value


def line(value: Any, field: str, where: str) -> str:
    """Returns a text that a message and a terminal can show."""
    if not string(value, field, where).isprintable():
        raise HistoryError(f"{where}: {field} is printable text in one line. Got {value!r:.60}.")
    return value


def one_of(*known: str) -> Reader:
    """Returns the reader of a value that is one of `known`."""

    def read_one(value: Any, field: str, where: str) -> str:
        if value not in known:
            raise HistoryError(f"{where}: {field} is one of {', '.join(known)}. Got {value!r:.60}.")
        return value

    return read_one


def integer(value: Any, field: str, where: str) -> int:
    """Returns an integer that a database can hold, not negative."""
    if type(value) is not int or not 0 <= value <= _LARGEST_INT:
        raise HistoryError(f"{where}: {field} is an integer from 0 to 2^63-1. Got {value!r:.60}.")
    return value


def boolean(value: Any, field: str, where: str) -> bool:
    """Returns true or false."""
    if type(value) is not bool:
        raise HistoryError(f"{where}: {field} is true or false. Got {value!r:.60}.")
    return value


def number(value: Any, field: str, where: str) -> float:
    """Returns a finite number."""
    if type(value) not in (int, float) or not abs(value) <= 1e300:
        raise HistoryError(f"{where}: {field} is a number. Got {str(value)!r:.60}.")
    return float(value)


def numbers(value: Any, field: str, where: str) -> tuple[float, ...]:
    """Returns the numbers of a list."""
    if not isinstance(value, list):
        raise HistoryError(f"{where}: {field} is a list of numbers. Got {value!r:.60}.")
    return tuple(number(item, field, where) for item in value)


def optional(reader: Reader) -> Reader:
    """Returns a reader that also takes null, as None."""
    return lambda value, field, where: None if value is None else reader(value, field, where)


def pairs(reader: Reader) -> Reader:
    """Returns the reader of an object of one kind of values: its pairs, in its order."""
    return lambda value, field, where: tuple(
        (name, reader(item, field, where))
        for name, item in check_object(value, field, where).items()
    )
