"""A frozen dataclass's fields are the options: as `--set` changes, as flags, as what is recorded.

A field's metadata says the rest; `option` writes it.
"""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from xfernas_jax.errors import FlagError, UserError
from xfernas_jax.registry import near_hint

_LARGEST_INT = 2**31  # excluded; counts beyond it do not fit the arrays that they index
T = TypeVar("T")


def option(
    default: Any,
    help: str = "",
    *,
    neutral: bool = False,
    later: bool = False,
    flag: str = "",
    low: int | float | None = None,
) -> Any:
    """Returns a dataclass field.

    Args:
      default: of the field.
      help: of its flag; without one the field has no flag.
      neutral: whether it changes speed or memory alone, never a score.
      later: whether records were written before it existed: it is left out of what is recorded
        while it is the default, so that those are still the same.
      flag: its name, by default the field's.
      low: least value of its flag.
    """
    metadata = {"help": help, "neutral": neutral, "later": later, "flag": flag, "low": low}
    return dataclasses.field(default=default, metadata=metadata)


def recorded(value: Any, *, neutral: bool = True) -> Any:
    """Returns a dataclass as a JSON object without its later fields at defaults, and so its parts.

    Args:
      value: a dataclass, or what is returned as it is.
      neutral: whether its neutral fields are kept too.
    """
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    return {
        field.name: recorded(getattr(value, field.name), neutral=neutral)
        for field in dataclasses.fields(value)
        if (neutral or not field.metadata.get("neutral"))
        and not (field.metadata.get("later") and getattr(value, field.name) == field.default)
    }


def decisive(value: Any) -> Any:
    """Returns `recorded` without neutral fields: what decides a score."""
    return recorded(value, neutral=False)


def neutral_words(*values: Any) -> str:
    """Returns the neutral options that differ from their defaults, as `remat=true programs=own`."""
    return " ".join(
        f"{field.name}={word(getattr(value, field.name))}"
        for value in values
        for field in dataclasses.fields(value)
        if field.metadata.get("neutral") and getattr(value, field.name) != field.default
    )


def parse_changes(value: T, changes: Sequence[str], error: type[UserError] = FlagError) -> T:
    """Returns a dataclass of dataclasses with changed fields.

    Args:
      value: of which a field is a part, and a field of that is changed.
      changes: texts such as "train.epochs=10" or "network.filters=16"; "null" is None.
      error: class of what is raised.

    Raises:
      UserError: of class `error`: there is no such field, or the value is of another type.
    """
    for change in changes:
        place, equals, text = change.partition("=")
        fields = _places(value)
        if not equals or place not in fields:
            parts = ", ".join(dict.fromkeys(known.partition(".")[0] for known in fields))
            raise error(
                f"--set={change:.80}: no such value; {near_hint(place, fields)}The form is "
                f"PART.FIELD=VALUE with part {parts}, such as {next(iter(fields))}=..."
            )
        part, _, field = place.partition(".")
        try:
            changed = parse_value(text, fields[place])
        except ValueError as reason:
            raise error(f"--set={change:.80}: the value is {reason}.") from reason
        inner = dataclasses.replace(getattr(value, part), **{field: changed})
        value = dataclasses.replace(value, **{part: inner})  # type: ignore[type-var]
    return value


def parse_value(text: str, hint: Any) -> Any:
    """Reads a value of a field's declared type; `ValueError` says in words what it must be."""
    kind, may_miss = _kind(hint)
    if may_miss and text in ("null", "None"):
        return None
    if typing.get_origin(kind) is typing.Literal:
        if text not in typing.get_args(kind):
            raise ValueError(f"one of {', '.join(typing.get_args(kind))}")
        return text
    if kind is bool:
        if text not in ("true", "false"):
            raise ValueError("true or false")
        return text == "true"
    if kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            number = math.nan
        if not abs(number) < (math.inf if kind is float else _LARGEST_INT):
            below = "" if kind is float else " below 2^31"
            raise ValueError(f"a finite number ({kind.__name__}{below})")
        return number
    return text


def define_flags(flags: Any, options: type) -> None:
    """Defines a flag for each field that has a help text.

    Args:
      flags: the module `absl.flags`.
      options: a dataclass, whose types, defaults and metadata are those of the flags.
    """
    hints = typing.get_type_hints(options)
    for name, field in _flagged(options):
        kind, _ = _kind(hints[field.name])
        words = (name, field.default, field.metadata["help"])
        if typing.get_origin(kind) is typing.Literal:
            flags.DEFINE_enum(words[0], words[1], list(typing.get_args(kind)), words[2])
        elif kind is bool:
            flags.DEFINE_bool(*words)
        elif kind is int:
            flags.DEFINE_integer(*words, lower_bound=field.metadata["low"])
        elif kind is float:
            flags.DEFINE_float(*words, lower_bound=field.metadata["low"])
            flags.register_validator(name, _is_finite, "give a finite number")
        else:
            flags.DEFINE_string(*words)


def from_flags(values: Any, options: type[T], **others: Any) -> T:
    """Builds a dataclass from its flags.

    Args:
      values: `absl.flags.FLAGS`, parsed.
      options: as `define_flags` was given it.
      **others: fields that have no flag.
    """
    flagged = {field.name: values[name].value for name, field in _flagged(options)}
    return options(**flagged, **others)


def flag_names(options: type) -> tuple[str, ...]:
    """Returns the names of the flags of a dataclass."""
    return tuple(name for name, _ in _flagged(options))


def _flagged(options: type) -> Iterator[tuple[str, Any]]:
    """Gives the flag's name and the field of each that has a flag."""
    for field in dataclasses.fields(options):
        if field.metadata.get("help"):
            yield field.metadata["flag"] or field.name, field


def _places(value: Any) -> dict[str, Any]:
    """Returns the types of the fields of a dataclass's parts by `part.field`."""
    found = {}
    for field in dataclasses.fields(value):
        part = getattr(value, field.name)
        if dataclasses.is_dataclass(part) and not isinstance(part, type):
            for name, hint in typing.get_type_hints(type(part)).items():
                found[f"{field.name}.{name}"] = hint
    return found


def _kind(hint: Any) -> tuple[Any, bool]:
    """Returns the type of a field without None, and whether it may be None."""
    if typing.get_origin(hint) not in (typing.Union, types.UnionType):
        return hint, False
    return next(kind for kind in typing.get_args(hint) if kind is not type(None)), True


def _is_finite(value: float | None) -> bool:
    return value is None or math.isfinite(value)


def word(value: Any) -> str:
    """Returns a text as it is, any other value as JSON."""
    return value if isinstance(value, str) else json.dumps(value)
